// Package cmauth logs a user in to CameraManager, keeps the tokens valid, and logs out. It is a thin layer over the C library
// libcmauth, which sends all requests of the login itself.
//
// A Client has the API key. A Login sends a user to the login page and gives Tokens. A Session keeps the tokens in a Store,
// refreshes them in time, and gives them to all goroutines. Session.Transport adds them to the requests of an http.Client.
//
// All methods can be called by many goroutines at the same time. A method that can wait takes a context, and ends within 100 ms
// after the context. Every failure is an *Error: see ErrLogIn and its neighbours.
package cmauth

// #cgo pkg-config: cmauth
// #include <cmauth.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Config has the settings of a client. The zero value of a field means its default.
type Config struct {
	// The API key: request one at https://dealer.cameramanager.com.
	ClientID, ClientSecret string
	// Public is for a machine that must not have the secret. Its client can begin logins and log out.
	Public bool

	BaseURL        string        // the server; default "https://rest.cameramanager.com"
	Scope          string        // default "write"
	Timeout        time.Duration // of a whole call, with its retries; default 30 s
	ConnectTimeout time.Duration // of one connection; default 10 s
	CAFile         string        // a PEM file: certificates to trust in place of those of the system
	AddCAFiles     []string      // PEM files: certificates to trust in addition
	Proxy          *string       // nil: from the environment; "": none; otherwise a URL
	UserAgent      string        // your product: "Recorder/1.0"
	MaxRetries     *int          // of a refresh or a logout: 0 to 10; nil: 2
	ParamsInBody   bool          // send the parameters of token requests in the body, not in the query
	AllowOrigins   []string      // further origins that may get the access token of a user
}

// String does not show the secret.
func (c Config) String() string {
	return fmt.Sprintf("cmauth.Config{ClientID: %q, [hidden]}", c.ClientID)
}

// GoString does not show the secret.
func (c Config) GoString() string { return c.String() }

// Format does not show the secret, whatever the verb is.
func (c Config) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue does not show the secret.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON fails, so that a log in JSON does not show the secret.
func (c Config) MarshalJSON() ([]byte, error) {
	return nil, errors.New("cmauth: the settings contain a secret")
}

// Client sends requests to the server for one API key. It stores no user and no token.
type Client struct {
	handle *handle[*C.cm_client]
}

// NewClient makes a client. It reads the CA files and sends nothing. The message of its error names the setting that is bad.
func NewClient(config Config) (*Client, error) {
	var texts texts
	defer texts.free()
	var c *C.cm_config
	id := texts.add("ClientID", config.ClientID)
	secret := texts.add("ClientSecret", config.ClientSecret)
	switch {
	case config.Public && config.ClientSecret != "":
		return nil, invalidArgument("Public and ClientSecret exclude each other", nil)
	case config.Public:
		c = C.cm_config_new_public(id)
	default:
		c = C.cm_config_new(id, secret)
	}
	defer C.cm_config_free(c)
	if config.BaseURL != "" {
		C.cm_config_set_base_url(c, texts.add("BaseURL", config.BaseURL))
	}
	if config.Scope != "" {
		C.cm_config_set_scope(c, texts.add("Scope", config.Scope))
	}
	if config.Timeout != 0 {
		C.cm_config_set_timeout_ms(c, C.int64_t(ceil(config.Timeout, time.Millisecond)))
	}
	if config.ConnectTimeout != 0 {
		C.cm_config_set_connect_timeout_ms(c, C.int64_t(ceil(config.ConnectTimeout, time.Millisecond)))
	}
	if config.CAFile != "" {
		C.cm_config_set_ca_file(c, texts.add("CAFile", config.CAFile))
	}
	for _, path := range config.AddCAFiles {
		C.cm_config_add_ca_file(c, texts.add("AddCAFiles", path))
	}
	if config.Proxy != nil {
		C.cm_config_set_proxy(c, texts.add("Proxy", *config.Proxy))
	}
	if config.UserAgent != "" {
		C.cm_config_set_user_agent(c, texts.add("UserAgent", config.UserAgent))
	}
	if config.MaxRetries != nil {
		C.cm_config_set_max_retries(c, clamp(*config.MaxRetries))
	}
	if config.ParamsInBody {
		C.cm_config_set_params_in_body(c, 1)
	}
	for _, origin := range config.AllowOrigins {
		C.cm_config_allow_origin(c, texts.add("AllowOrigins", origin))
	}
	if texts.err != nil {
		return nil, texts.err
	}
	var client *C.cm_client
	err := call(context.Background(), func(e **C.cm_error) C.cm_status { return C.cm_client_new(c, &client, e) })
	if err != nil {
		return nil, err
	}
	return &Client{newHandle("client", client, func(p *C.cm_client) { C.cm_client_free(p) })}, nil
}

// Close frees the client. Calls in progress, logins and sessions go on. Closing again does nothing. It returns nil.
func (c *Client) Close() error {
	c.handle.close()
	return nil
}

// Cancel ends all calls of the client, of its logins and of its sessions, for a program that must stop. Later calls fail at
// once. To end one call only, use its context.
func (c *Client) Cancel() {
	c.handle.with(func(p *C.cm_client) { C.cm_client_cancel(p) })
}

// ExchangeCode exchanges a code for tokens. Most programs call Login.Finish instead, which also checks the state of the redirect.
func (c *Client) ExchangeCode(ctx context.Context, code, redirectURI string) (Tokens, error) {
	var texts texts
	defer texts.free()
	code0, uri := texts.add("code", code), texts.add("redirectURI", redirectURI)
	if texts.err != nil {
		return Tokens{}, texts.err
	}
	var tokens *C.cm_tokens
	err := c.handle.call(ctx, func(p *C.cm_client, e **C.cm_error) C.cm_status {
		return C.cm_exchange_code(p, code0, uri, &tokens, e)
	})
	return takeTokens(tokens, err)
}

// Refresh gets a new access token. The server ends the old one at once. In a program with a Session, only the session refreshes.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	var texts texts
	defer texts.free()
	text := texts.add("refreshToken", refreshToken)
	if texts.err != nil {
		return Tokens{}, texts.err
	}
	var tokens *C.cm_tokens
	err := c.handle.call(ctx, func(p *C.cm_client, e **C.cm_error) C.cm_status { return C.cm_refresh(p, text, &tokens, e) })
	return takeTokens(tokens, err)
}

// Logout ends the access token and its refresh token. If the access token has expired, refresh it first: see ErrRefresh.
func (c *Client) Logout(ctx context.Context, accessToken string) error {
	var texts texts
	defer texts.free()
	text := texts.add("accessToken", accessToken)
	if texts.err != nil {
		return texts.err
	}
	return c.handle.call(ctx, func(p *C.cm_client, e **C.cm_error) C.cm_status { return C.cm_logout(p, text, e) })
}

// User asks the API who the user of an access token is.
func (c *Client) User(ctx context.Context, accessToken string) (User, error) {
	var texts texts
	defer texts.free()
	text := texts.add("accessToken", accessToken)
	if texts.err != nil {
		return User{}, texts.err
	}
	var user *C.cm_user
	err := c.handle.call(ctx, func(p *C.cm_client, e **C.cm_error) C.cm_status { return C.cm_get_user(p, text, &user, e) })
	if err != nil {
		return User{}, err
	}
	defer C.cm_user_free(user)
	return User{
		ID:    C.GoString(C.cm_user_id(user)),
		Name:  C.GoString(C.cm_user_name(user)),
		Email: C.GoString(C.cm_user_email(user)),
	}, nil
}

// CheckURL fails if a URL may not get the access token of a user. It sends nothing. Transport calls it for each request.
func (c *Client) CheckURL(url string) (err error) {
	if closed := c.handle.with(func(p *C.cm_client) { err = checkURL(p, url) }); closed != nil {
		return closed
	}
	return err
}

func checkURL(client *C.cm_client, url string) error {
	var texts texts
	defer texts.free()
	text := texts.add("url", url)
	if texts.err != nil {
		return texts.err
	}
	return call(context.Background(), func(e **C.cm_error) C.cm_status { return C.cm_client_check_url(client, text, e) })
}

// Version returns the version of the library that is loaded.
func Version() string { return C.GoString(C.cm_version()) }
