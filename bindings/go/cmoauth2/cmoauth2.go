// Package cmoauth2 gives the tokens of a session to a library that wants an oauth2.TokenSource.
//
// For an http.Client, Session.Transport is better: it gives the token to the right URLs only, and gets another one after a 401.
package cmoauth2

import (
	"context"

	"golang.org/x/oauth2"

	cmauth "libcmauth/bindings/go"
)

// TokenSource returns a source that asks the session for each token. The context ends these calls. A token has no refresh token,
// because only the session refreshes.
//
// Pass the source to oauth2.Transport, not to oauth2.NewClient or oauth2.ReuseTokenSource: they keep a token until it expires,
// but a refresh of the session ends it earlier.
func TokenSource(ctx context.Context, session *cmauth.Session) oauth2.TokenSource {
	return source{ctx, session}
}

type source struct {
	ctx     context.Context
	session *cmauth.Session
}

func (s source) Token() (*oauth2.Token, error) {
	tokens, err := s.session.Tokens(s.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: tokens.AccessToken, TokenType: tokens.TokenType, Expiry: tokens.ExpiresAt}, nil
}
