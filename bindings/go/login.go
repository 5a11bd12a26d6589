package cmauth

// #include <cmauth.h>
import "C"

import (
	"context"
	"time"
)

// Login is one login of a user. Open its URL in a browser, then pass the redirect to Finish, or receive it with Wait.
type Login struct {
	handle *handle[*C.cm_login]
}

func newLogin(login *C.cm_login, err error) (*Login, error) {
	if err != nil {
		return nil, err
	}
	return &Login{newHandle("login", login, func(p *C.cm_login) { C.cm_login_free(p) })}, nil
}

// BeginLogin begins a login. It sends nothing.
func (c *Client) BeginLogin(redirectURI string) (*Login, error) {
	var texts texts
	defer texts.free()
	uri := texts.add("redirectURI", redirectURI)
	if texts.err != nil {
		return nil, texts.err
	}
	var login *C.cm_login
	err := c.handle.call(context.Background(), func(p *C.cm_client, e **C.cm_error) C.cm_status {
		return C.cm_login_new(p, uri, &login, e)
	})
	return newLogin(login, err)
}

// Listen begins a login whose redirect this machine receives, on a port of 127.0.0.1. 0 is a free port. Call Wait.
func (c *Client) Listen(port int) (*Login, error) {
	var login *C.cm_login
	err := c.handle.call(context.Background(), func(p *C.cm_client, e **C.cm_error) C.cm_status {
		return C.cm_login_listen(p, clamp(port), &login, e)
	})
	return newLogin(login, err)
}

// LoginFromJSON continues a login that another process or machine began, from the text of ToJSON. The login does not listen.
func (c *Client) LoginFromJSON(text string) (*Login, error) {
	var texts texts
	defer texts.free()
	encoded := texts.add("json", text)
	if texts.err != nil {
		return nil, texts.err
	}
	var login *C.cm_login
	err := c.handle.call(context.Background(), func(p *C.cm_client, e **C.cm_error) C.cm_status {
		return C.cm_login_from_json(p, encoded, &login, e)
	})
	return newLogin(login, err)
}

// URL returns the URL of the login page. It contains the state of the login: do not log it. After Close it is empty.
func (l *Login) URL() (url string) {
	l.handle.with(func(p *C.cm_login) { url = C.GoString(C.cm_login_url(p)) })
	return url
}

// IsRedirect reports whether a URL that a browser is about to open is the redirect of this login. If it is, close the browser and
// call Finish.
func (l *Login) IsRedirect(url string) (yes bool) {
	var texts texts
	defer texts.free()
	text := texts.add("url", url)
	if texts.err != nil {
		return false
	}
	l.handle.with(func(p *C.cm_login) { yes = C.cm_login_is_redirect(p, text) != 0 })
	return yes
}

// Finish checks the URL of the redirect, or its part from the path on, and exchanges its code for tokens.
func (l *Login) Finish(ctx context.Context, redirectedURL string) (Tokens, error) {
	var texts texts
	defer texts.free()
	text := texts.add("redirectedURL", redirectedURL)
	if texts.err != nil {
		return Tokens{}, texts.err
	}
	var tokens *C.cm_tokens
	err := l.handle.call(ctx, func(p *C.cm_login, e **C.cm_error) C.cm_status {
		return C.cm_login_finish(p, text, &tokens, e)
	})
	return takeTokens(tokens, err)
}

// The context says how long Wait waits. C wants a number: ten years.
const forever = 10 * 365 * 24 * time.Hour

// Wait waits until the browser returns to a login of Listen, and finishes the login. It has no other limit than the context.
func (l *Login) Wait(ctx context.Context) (Tokens, error) {
	var tokens *C.cm_tokens
	err := l.handle.call(ctx, func(p *C.cm_login, e **C.cm_error) C.cm_status {
		return C.cm_login_wait(p, C.int64_t(forever.Milliseconds()), &tokens, e)
	})
	return takeTokens(tokens, err)
}

// PageText is a text of the page that the browser shows after Wait.
type PageText int32

// The texts of the page. The default is English and names no product.
const (
	PageLanguage PageText = C.CM_PAGE_TEXT_LANGUAGE // the language of the other texts: "de-AT"
	PageTitle    PageText = C.CM_PAGE_TEXT_TITLE    // the title of the page
	PageSuccess  PageText = C.CM_PAGE_TEXT_SUCCESS  // after a successful login
	PageFailure  PageText = C.CM_PAGE_TEXT_FAILURE  // after a login that failed or that the user denied
	PageProduct  PageText = C.CM_PAGE_TEXT_PRODUCT  // the name of the product
)

// SetPage sets a text of the page that the browser shows after Wait. Wait reports the first bad text before it waits.
func (l *Login) SetPage(key PageText, text string) error {
	var texts texts
	defer texts.free()
	copied := texts.add("text", text)
	if texts.err != nil {
		return texts.err
	}
	return l.handle.with(func(p *C.cm_login) { C.cm_login_set_page(p, C.int32_t(key), copied) })
}

// ToJSON returns the login as JSON, for LoginFromJSON within an hour. Protect it like a password. After Close it is empty.
func (l *Login) ToJSON() (text string) {
	l.handle.with(func(p *C.cm_login) { text = C.GoString(C.cm_login_to_json(p)) })
	return text
}

// Close ends a Wait and frees the login. If the login listens, this closes its port. Closing again does nothing. It returns nil.
func (l *Login) Close() error {
	// Otherwise the port stays open until the context of Wait ends.
	l.handle.with(func(p *C.cm_login) { C.cm_login_cancel(p) })
	l.handle.close()
	return nil
}

// OpenBrowser opens a web page, such as Login.URL, in the user's browser. It can take some seconds. The browser may still not
// show the page, for example because it runs on another screen, so show the URL to the user as well.
func OpenBrowser(url string) error {
	var texts texts
	defer texts.free()
	text := texts.add("url", url)
	if texts.err != nil {
		return texts.err
	}
	return call(context.Background(), func(e **C.cm_error) C.cm_status { return C.cm_open_browser(text, e) })
}
