// Logs in with golang.org/x/oauth2, refreshes, calls the API and logs out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/oauth2"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func call(client *http.Client, method, target string) *http.Response {
	request, err := http.NewRequest(method, target, nil)
	check(err)
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	check(err)
	if response.StatusCode != http.StatusOK {
		check(fmt.Errorf("%s %s: %s", method, target, response.Status))
	}
	return response
}

func main() {
	base := os.Getenv("BASE_URL")
	config := oauth2.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		RedirectURL:  "https://example.com",
		Scopes:       []string{"write"},
		Endpoint:     oauth2.Endpoint{AuthURL: base + "/oauth/authorize", TokenURL: base + "/oauth/token"},
	}
	fmt.Println(config.AuthCodeURL("state-of-the-test"))
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	redirect, err := url.Parse(line[:len(line)-1])
	check(err)
	if redirect.Query().Get("state") != "state-of-the-test" {
		check(fmt.Errorf("another state"))
	}
	token, err := config.Exchange(context.Background(), redirect.Query().Get("code"))
	check(err)
	fmt.Println("logged in")

	expired := oauth2.Token{RefreshToken: token.RefreshToken}
	fresh, err := config.TokenSource(context.Background(), &expired).Token()
	check(err)
	if fresh.AccessToken == token.AccessToken {
		check(fmt.Errorf("the same access token"))
	}
	fmt.Println("refreshed")

	client := config.Client(context.Background(), fresh)
	var cameras []any
	check(json.NewDecoder(call(client, "GET", base+"/rest/v2.4/cameras").Body).Decode(&cameras))
	fmt.Println(len(cameras), "cameras")
	call(client, "DELETE", base+"/rest/v2.0/users/self/tokens/current")
	fmt.Println("logged out")
}
