package cmoauth2

import (
	"context"
	"errors"
	"testing"
	"time"

	cmauth "libcmauth/bindings/go"
)

func TestTheSourceGivesTheTokensOfTheSession(t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	// Nothing is sent: no server listens there.
	client, err := cmauth.NewClient(cmauth.Config{ClientID: "id", ClientSecret: "secret", BaseURL: "http://127.0.0.1:1"})
	check(err)
	defer client.Close()
	session, err := client.OpenSession(ctx, cmauth.MemoryStore())
	check(err)
	defer session.Close()
	source := TokenSource(ctx, session)
	if _, err := source.Token(); !errors.Is(err, cmauth.ErrLogIn) {
		t.Errorf("before the login: %v", err)
	}
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	tokens := cmauth.Tokens{AccessToken: "access", RefreshToken: "refresh", TokenType: "bearer", ExpiresAt: expires}
	check(session.Start(ctx, tokens))
	token, err := source.Token()
	check(err)
	if token.AccessToken != "access" || token.Type() != "Bearer" || !token.Expiry.Equal(expires) || token.RefreshToken != "" || !token.Valid() {
		t.Errorf("type %q, expires %v", token.Type(), token.Expiry)
	}
}
