// Logs a user in, lists the cameras, and logs out. The API key comes from CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET, and the
// path of the file that keeps the login from CMAUTH_SESSION. CMAUTH_BASE_URL and CMAUTH_CA_FILE name a test server.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"

	cmauth "libcmauth/bindings/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // Ctrl-C ends the call in progress.
	defer stop()
	client, err := cmauth.NewClient(cmauth.Config{
		ClientID: os.Getenv("CMAUTH_CLIENT_ID"), ClientSecret: os.Getenv("CMAUTH_CLIENT_SECRET"),
		BaseURL: os.Getenv("CMAUTH_BASE_URL"), CAFile: os.Getenv("CMAUTH_CA_FILE"),
	})
	check(err)
	session, err := client.OpenSession(ctx, cmauth.FileStore(os.Getenv("CMAUTH_SESSION")))
	check(err)
	_, err = session.Tokens(ctx)
	if errors.Is(err, cmauth.ErrLogIn) {
		login, err := client.Listen(0)
		check(err)
		fmt.Println("open", login.URL())
		tokens, err := login.Wait(ctx)
		check(err)
		check(session.Start(ctx, tokens))
	} else {
		check(err)
	}

	// The transport adds the token to the request, and gets another one after a 401.
	api := &http.Client{Transport: session.Transport(nil)}
	base := "https://rest.cameramanager.com"
	if other := os.Getenv("CMAUTH_BASE_URL"); other != "" {
		base = other
	}
	response, err := api.Get(base + "/rest/v2.4/cameras")
	check(err)
	fmt.Println(response.Status)
	check(response.Body.Close())
	check(session.Logout(ctx))
}

func check(err error) {
	if errors.Is(err, cmauth.ErrRetry) {
		log.Fatal("try again later: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
}
