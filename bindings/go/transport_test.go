package cmauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	cmauth "libcmauth/bindings/go"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// closer notes that a body was closed.
type closer struct {
	io.Reader
	closed atomic.Bool
}

func (c *closer) Close() error {
	c.closed.Store(true)
	return nil
}

func TestAnotherOriginGetsNothing(t *testing.T) {
	s := startSandbox(t)
	session := s.session()
	var requests atomic.Int32
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer stranger.Close()
	host := strings.TrimPrefix(stranger.URL, "http://")
	server, err := url.Parse(s.URL)
	check(t, err)
	transport := session.Transport(nil)
	targets := map[string]*url.URL{
		"host":    {Scheme: "http", Host: host, Path: "/"},
		"opaque":  {Scheme: "https", Host: host, Opaque: "//" + server.Host + "/"},
		"user":    {Scheme: "http", Host: server.Host + "@" + host, Path: "/"},
		"slash":   {Scheme: "https", Host: server.Host + "/@" + host, Path: "/"},
		"http":    {Scheme: "http", Host: server.Host, Path: "/"},
		"nothing": {},
	}
	for name, target := range targets {
		body := &closer{Reader: strings.NewReader("a")}
		_, err := transport.RoundTrip(&http.Request{Method: "POST", URL: target, Body: body})
		if !errors.Is(err, cmauth.ErrFix) {
			t.Errorf("%s: %v", name, err)
		}
		if !body.closed.Load() {
			t.Errorf("%s: the body is open", name)
		}
	}

	// An http.Client follows the redirect, and the transport refuses its target.
	redirecting := roundTripper(func(request *http.Request) (*http.Response, error) {
		header := http.Header{"Location": {stranger.URL}}
		return &http.Response{StatusCode: 302, Header: header, Body: http.NoBody, Request: request}, nil
	})
	_, err = (&http.Client{Transport: session.Transport(redirecting)}).Get(s.URL)
	if !errors.Is(err, cmauth.ErrFix) {
		t.Errorf("redirect: %v", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAnAllowedOriginGetsTheToken(t *testing.T) {
	var header string
	media := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header.Get("Authorization")
	}))
	defer media.Close()
	s := startSandbox(t)
	config := s.config()
	config.AllowOrigins = []string{media.URL}
	client, err := cmauth.NewClient(config)
	check(t, err)
	defer client.Close()
	session, err := client.OpenSession(background, cmauth.MemoryStore())
	check(t, err)
	defer session.Close()
	tokens := s.logIn(client)
	check(t, session.Start(background, tokens))
	get(t, &http.Client{Transport: session.Transport(nil)}, media.URL)
	if header != tokens.Authorization() {
		t.Error("no token")
	}
}

func TestABodyThatCannotBeSentAgainIsSentOnce(t *testing.T) {
	s := startSandbox(t)
	session := s.session()
	web := &http.Client{Transport: session.Transport(s.base)}
	old, err := session.Tokens(background)
	check(t, err)
	s.expire()
	put := func(body io.Reader) int {
		request, err := http.NewRequest("PUT", s.URL+"/rest/v2.4/cameras/1", body)
		check(t, err)
		response, err := web.Do(request)
		check(t, err)
		defer response.Body.Close()
		return response.StatusCode
	}
	once := &closer{Reader: strings.NewReader("{}")}
	if status := put(once); status != 401 || !once.closed.Load() {
		t.Errorf("status %d", status)
	}
	if n := s.count("PUT", "/cameras/"); n != 1 {
		t.Errorf("sent %d times", n)
	}
	fresh, ok := session.TokensAtHand()
	if !ok || fresh.AccessToken == old.AccessToken {
		t.Error("the next request has the old token")
	}
}

func TestABodyThatCanBeSentAgainIsSentAgain(t *testing.T) {
	s := startSandbox(t)
	web := &http.Client{Transport: s.session().Transport(s.base)}
	response, err := web.Get(s.URL + "/rest/v2.4/cameras")
	check(t, err)
	var cameras []struct {
		ID int `json:"cameraId"`
	}
	check(t, json.NewDecoder(response.Body).Decode(&cameras))
	response.Body.Close()
	s.expire()
	camera := fmt.Sprintf("%s/rest/v2.4/cameras/%d", s.URL, cameras[0].ID)
	request, err := http.NewRequest("PUT", camera, strings.NewReader("{}")) // sets GetBody
	check(t, err)
	response, err = web.Do(request)
	check(t, err)
	response.Body.Close()
	if n := s.count("PUT", "/cameras/"); response.StatusCode != 200 || n != 2 {
		t.Errorf("status %d, sent %d times", response.StatusCode, n)
	}
}

func TestARequestIsSentAtMostTwiceAndNotChanged(t *testing.T) {
	s := startSandbox(t)
	session := s.session()
	var sent []string
	var bodies []string
	first := &closer{Reader: strings.NewReader("unauthorized")}
	base := roundTripper(func(request *http.Request) (*http.Response, error) {
		sent = append(sent, request.Header.Get("Authorization"))
		body, err := io.ReadAll(request.Body)
		check(t, err)
		request.Body.Close()
		bodies = append(bodies, string(body))
		answer := io.ReadCloser(http.NoBody)
		if len(sent) == 1 {
			answer = first
		}
		return &http.Response{StatusCode: 401, Body: answer, Request: request}, nil
	})
	request, err := http.NewRequest("POST", s.URL, strings.NewReader("body"))
	check(t, err)
	response, err := session.Transport(base).RoundTrip(request)
	check(t, err)
	if response.StatusCode != 401 || len(sent) != 2 || sent[0] == sent[1] || bodies[1] != "body" || !first.closed.Load() {
		t.Errorf("status %d, sent %d times, bodies %q", response.StatusCode, len(sent), bodies)
	}
	if len(request.Header) != 0 || response.Request != request {
		t.Error("the token is in the caller's request")
	}

	// The tokens are too young to be refreshed again.
	request = request.Clone(context.Background())
	request.Body, _ = request.GetBody()
	response, err = session.Transport(base).RoundTrip(request)
	check(t, err)
	if response.StatusCode != 401 || len(sent) != 3 {
		t.Errorf("status %d, sent %d times", response.StatusCode, len(sent))
	}
}

func TestALoginThatEndedGivesAnErrorWithItsAdvice(t *testing.T) {
	s := startSandbox(t, "--refresh-token-lifetime", "50000")
	session := s.session()
	s.do("POST", "/sandbox/clock", `{"advance": 60000}`)
	_, err := (&http.Client{Transport: session.Transport(s.base)}).Get(s.URL + "/rest/v2.4/cameras")
	if !errors.Is(err, cmauth.ErrLogIn) {
		t.Errorf("%v", err)
	}
}
