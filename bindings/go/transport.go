package cmauth

import (
	"errors"
	"io"
	"net/http"
	"net/url"
)

// Transport returns an http.RoundTripper that adds the access token of the session to each request and sends it with base.
// nil is http.DefaultTransport. The CA files and the proxy of Config are not those of base.
//
// A request to a URL that may not get the token fails before anything is sent: see Client.CheckURL. This also holds for the
// target of a redirect that an http.Client follows.
//
// After a 401 the session gets another token, and the request is sent once more with it. The response is the 401 if the
// request has a body without GetBody, or if the session does not refresh again (StatusTokenRejected). If the refresh fails
// for another reason, so does the request. The next request has the other token.
func (s *Session) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{s, base}
}

type transport struct {
	session *Session
	base    http.RoundTripper
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	tokens, err := t.tokens(request)
	if err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}
	response, err := t.send(request, request.Body, tokens)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}

	// Also if the request cannot be sent again: the next one needs the other token.
	fresh, err := t.session.Rejected(ctx, tokens.AccessToken)
	body := request.Body
	if body != nil && body != http.NoBody {
		if request.GetBody == nil {
			return response, nil
		}
	}
	if err != nil {
		var failure *Error
		if errors.As(err, &failure) && failure.Status == StatusTokenRejected {
			return response, nil
		}
		response.Body.Close()
		return nil, err
	}
	if body != nil && body != http.NoBody {
		if body, err = request.GetBody(); err != nil {
			response.Body.Close()
			return nil, err
		}
	}
	// A connection can be used again when its response was read to the end.
	io.CopyN(io.Discard, response.Body, 64<<10)
	response.Body.Close()
	return t.send(request, body, fresh)
}

// tokens returns the tokens for a request, if its URL may get them.
func (t *transport) tokens(request *http.Request) (Tokens, error) {
	if request.URL == nil {
		return Tokens{}, invalidArgument("the request has no URL", nil)
	}
	// A transport connects to the host, even if the URL has an opaque part that looks like another host.
	origin := url.URL{Scheme: request.URL.Scheme, Host: request.URL.Host, Path: "/"}
	if err := t.session.checkURL(origin.String()); err != nil {
		return Tokens{}, err
	}
	return t.session.Tokens(request.Context())
}

// send sends a copy of the request with the token. The caller's request must not change.
func (t *transport) send(request *http.Request, body io.ReadCloser, tokens Tokens) (*http.Response, error) {
	sent := request.Clone(request.Context())
	if sent.Header == nil {
		sent.Header = http.Header{}
	}
	sent.Header.Set("Authorization", tokens.Authorization())
	sent.Body = body
	response, err := t.base.RoundTrip(sent)
	if response != nil {
		response.Request = request // Without the token, for a program that logs it.
	}
	return response, err
}
