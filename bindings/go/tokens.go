package cmauth

// #include <cmauth.h>
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Tokens are the tokens of one logged-in user. They are a value: a refresh makes new ones.
//
// fmt, log and slog do not show the tokens. Exception: package fmt cannot call methods of an unexported field of your own
// struct, and shows its content. Keep a *Tokens there.
type Tokens struct {
	AccessToken  string    // for the header Authorization: see Authorization
	RefreshToken string    // empty: the server sent none
	TokenType    string    // "bearer" in the spelling of the server
	Scope        string    // in the words of the server; empty: it did not send it
	ExpiresAt    time.Time // when the access token expires; zero: never
}

// Authorization returns the value of the header Authorization for a request to the API.
func (t Tokens) Authorization() string { return "Bearer " + t.AccessToken }

// String does not show the tokens.
func (t Tokens) String() string {
	if t == (Tokens{}) {
		return "cmauth.Tokens{}"
	}
	expires := "never"
	if !t.ExpiresAt.IsZero() {
		expires = t.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("cmauth.Tokens{[hidden], scope %q, expires %s}", t.Scope, expires)
}

// GoString does not show the tokens.
func (t Tokens) GoString() string { return t.String() }

// Format does not show the tokens, whatever the verb is.
func (t Tokens) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue does not show the tokens.
func (t Tokens) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON fails, so that a log in JSON does not show the tokens. To save tokens, use ToJSON.
func (t Tokens) MarshalJSON() ([]byte, error) {
	return nil, errors.New("cmauth: tokens are secret: call ToJSON to save them")
}

// record is the JSON of cm_tokens_to_json.
type record struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresAt    *int64 `json:"expires_at,omitempty"`
}

// use calls f with a handle of the tokens. It fails if the library does not accept them.
func (t Tokens) use(f func(*C.cm_tokens) error) error {
	fields := record{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, TokenType: t.TokenType, Scope: t.Scope}
	if !t.ExpiresAt.IsZero() {
		seconds := t.ExpiresAt.Unix()
		fields.ExpiresAt = &seconds
	}
	encoded, err := json.Marshal(fields)
	if err != nil {
		return invalidArgument("the tokens cannot be encoded", nil)
	}
	return withTokens(string(encoded), f)
}

func withTokens(text string, f func(*C.cm_tokens) error) error {
	var texts texts
	defer texts.free()
	encoded := texts.add("json", text)
	if texts.err != nil {
		return texts.err
	}
	var tokens *C.cm_tokens
	err := call(context.Background(), func(e **C.cm_error) C.cm_status { return C.cm_tokens_from_json(encoded, &tokens, e) })
	if err != nil {
		return err
	}
	defer C.cm_tokens_free(tokens)
	return f(tokens)
}

// ToJSON returns the tokens as JSON, to save them yourself. Protect it as you protect the tokens.
func (t Tokens) ToJSON() (string, error) {
	var text string
	err := t.use(func(tokens *C.cm_tokens) error {
		text = C.GoString(C.cm_tokens_to_json(tokens))
		return nil
	})
	return text, err
}

// TokensFromJSON makes tokens from the text of ToJSON. It ignores unknown keys.
func TokensFromJSON(text string) (Tokens, error) {
	var copied Tokens
	err := withTokens(text, func(tokens *C.cm_tokens) error {
		copied = copyTokens(tokens)
		return nil
	})
	return copied, err
}

func copyTokens(t *C.cm_tokens) Tokens {
	return Tokens{
		AccessToken:  C.GoString(C.cm_tokens_access_token(t)),
		RefreshToken: C.GoString(C.cm_tokens_refresh_token(t)),
		TokenType:    C.GoString(C.cm_tokens_token_type(t)),
		Scope:        C.GoString(C.cm_tokens_scope(t)),
		ExpiresAt:    unix(C.cm_tokens_expires_at(t)),
	}
}

// takeTokens copies the tokens of a call and frees their handle. Freeing it wipes the secrets there.
func takeTokens(t *C.cm_tokens, err error) (Tokens, error) {
	if err != nil {
		return Tokens{}, err
	}
	defer C.cm_tokens_free(t)
	return copyTokens(t), nil
}

// User says who a login is of. It contains no secret.
type User struct {
	ID    string // the same for every login
	Name  string // with which the user logs in; empty: the API did not send it
	Email string // empty: the API did not send it
}
