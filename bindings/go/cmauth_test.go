package cmauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	cmauth "libcmauth/bindings/go"
)

var background = context.Background()

func get(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	response, err := client.Get(url)
	check(t, err)
	defer response.Body.Close()
	return response.StatusCode
}

func TestAUserLogsInUsesTheAPIAndLogsOut(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	store := cmauth.FileStore(filepath.Join(t.TempDir(), "session"))
	defer store.Close()
	session, err := client.OpenSession(background, store)
	check(t, err)
	defer session.Close()
	if _, err := session.Tokens(background); !errors.Is(err, cmauth.ErrLogIn) {
		t.Fatalf("before the login: %v", err)
	}
	tokens := s.logIn(client)
	if lifetime := time.Until(tokens.ExpiresAt); lifetime < 11*time.Hour || lifetime > 12*time.Hour || tokens.Scope != "write" {
		t.Errorf("%v", tokens)
	}
	check(t, session.Start(background, tokens))
	user, err := client.User(background, tokens.AccessToken)
	check(t, err)
	if user.ID == "" || user.Name != "demo" {
		t.Errorf("%+v", user)
	}

	web := &http.Client{Transport: session.Transport(s.base)}
	cameras := s.URL + "/rest/v2.4/cameras"
	if status := get(t, web, cameras); status != 200 {
		t.Fatalf("status %d", status)
	}
	s.expire()
	if status := get(t, web, cameras); status != 200 {
		t.Fatalf("after the token expired: status %d", status)
	}
	if n := s.count("POST", "grant_type=refresh_token"); n != 1 {
		t.Errorf("%d refreshes", n)
	}

	second, err := s.client().OpenSession(background, store)
	check(t, err)
	defer second.Close()
	here, err := session.Tokens(background)
	check(t, err)
	there, err := second.Tokens(background)
	check(t, err)
	if here != there || here.AccessToken == tokens.AccessToken {
		t.Error("the sessions do not share the new tokens")
	}

	check(t, session.Logout(background))
	if _, err := session.Tokens(background); !errors.Is(err, cmauth.ErrLogIn) {
		t.Errorf("after the logout: %v", err)
	}
}

func TestAListeningLoginReceivesTheRedirect(t *testing.T) {
	s := startSandbox(t)
	login, err := s.client().Listen(0)
	check(t, err)
	defer login.Close()
	check(t, login.SetPage(cmauth.PageProduct, "Recorder"))
	page := make(chan string, 1)
	redirect := s.user(login.URL())
	go func() {
		response, err := http.Get(redirect)
		if err != nil {
			page <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		page <- string(text)
	}()
	tokens, err := login.Wait(background)
	check(t, err)
	if tokens.AccessToken == "" || tokens.RefreshToken == "" {
		t.Errorf("%v", tokens)
	}
	if text := <-page; !strings.Contains(text, "Recorder") {
		t.Errorf("the browser shows %q", text)
	}
}

func TestAnotherMachineFinishesTheLogin(t *testing.T) {
	s := startSandbox(t)
	config := s.config()
	config.Public, config.ClientSecret = true, ""
	workstation, err := cmauth.NewClient(config)
	check(t, err)
	defer workstation.Close()
	login, err := workstation.BeginLogin(redirectURI)
	check(t, err)
	defer login.Close()
	redirect := s.user(login.URL())
	if !login.IsRedirect(redirect) || login.IsRedirect(s.URL) {
		t.Error("IsRedirect")
	}
	continued, err := s.client().LoginFromJSON(login.ToJSON())
	check(t, err)
	defer continued.Close()
	_, err = continued.Finish(background, redirect)
	check(t, err)
}

func TestErrorsHaveAStatusAndAdvice(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	wrong := s.config()
	wrong.ClientSecret = "wrong"
	stranger, err := cmauth.NewClient(wrong)
	check(t, err)
	defer stranger.Close()
	login, err := client.BeginLogin(redirectURI)
	check(t, err)
	defer login.Close()
	denied := s.user(login.URL(), "--deny")
	tokens := s.logIn(client)

	never := 0
	impatient := s.config()
	impatient.MaxRetries = &never
	once, err := cmauth.NewClient(impatient)
	check(t, err)
	defer once.Close()

	cases := []struct {
		name   string
		call   func() error
		status cmauth.Status
		is     error
		http   int
	}{
		{"unknown refresh token", func() error { _, err := client.Refresh(background, "unknown"); return err },
			cmauth.StatusLoginRequired, cmauth.ErrLogIn, 400},
		{"unknown code", func() error { _, err := client.ExchangeCode(background, "unknown", redirectURI); return err },
			cmauth.StatusLoginRequired, cmauth.ErrLogIn, 400},
		{"unknown access token", func() error { return client.Logout(background, "unknown") },
			cmauth.StatusTokenRejected, cmauth.ErrRefresh, 401},
		{"wrong API key", func() error { _, err := stranger.Refresh(background, tokens.RefreshToken); return err },
			cmauth.StatusClientRejected, cmauth.ErrFix, 401},
		{"denied", func() error { _, err := login.Finish(background, denied); return err },
			cmauth.StatusAccessDenied, nil, 0},
		{"bad setting", func() error {
			_, err := cmauth.NewClient(cmauth.Config{ClientID: "a:b", ClientSecret: "c"})
			return err
		},
			cmauth.StatusInvalidArgument, cmauth.ErrFix, 0},
		{"busy server", func() error {
			s.fault(`["status-503"]`)
			_, err := once.Refresh(background, tokens.RefreshToken)
			return err
		}, cmauth.StatusServer, cmauth.ErrRetry, 503},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.call()
			var failure *cmauth.Error
			if !errors.As(err, &failure) {
				t.Fatalf("%v", err)
			}
			if failure.Status != c.status || failure.HTTPStatus != c.http || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, advice %v, HTTP %d: %v", failure.Status, failure.Advice, failure.HTTPStatus, err)
			}
			if strings.Contains(err.Error(), tokens.RefreshToken) || strings.Contains(err.Error(), clientSecret) {
				t.Error("the message has a secret")
			}
		})
	}
}

func TestATextWithNULIsRefusedAndNamed(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	_, err := client.Refresh(background, "token\x00more")
	if !errors.Is(err, cmauth.ErrFix) || !strings.Contains(err.Error(), "refreshToken") || strings.Contains(err.Error(), "more") {
		t.Errorf("%v", err)
	}
	config := s.config()
	config.UserAgent = "a\x00b"
	if _, err := cmauth.NewClient(config); err == nil || !strings.Contains(err.Error(), "UserAgent") {
		t.Errorf("%v", err)
	}
	if _, err := client.OpenSession(background, cmauth.FileStore("a\x00b")); err == nil || !strings.Contains(err.Error(), "path") {
		t.Errorf("%v", err)
	}
}

func TestAContextEndsACallThatHangs(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	tokens := s.logIn(client)
	s.fault(`[{"fault": "silence-before-head", "times": null}]`)
	login, err := client.Listen(0)
	check(t, err)
	defer login.Close()

	calls := map[string]func(context.Context) error{
		"refresh": func(ctx context.Context) error { _, err := client.Refresh(ctx, tokens.RefreshToken); return err },
		"wait":    func(ctx context.Context) error { _, err := login.Wait(ctx); return err },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			deadline, cancel := context.WithTimeout(background, 100*time.Millisecond)
			defer cancel()
			begin := time.Now()
			err := call(deadline)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cmauth.ErrCancelled) {
				t.Errorf("%v", err)
			}
			cancelled, cancel := context.WithCancel(background)
			time.AfterFunc(100*time.Millisecond, cancel)
			if err := call(cancelled); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if err := call(cancelled); !errors.Is(err, context.Canceled) {
				t.Errorf("after the end: %v", err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	s.do("DELETE", "/sandbox/faults", "")
	if _, err := client.Refresh(background, tokens.RefreshToken); err != nil {
		t.Errorf("the client does not go on: %v", err)
	}
}

func TestAContextEndsOnlyItsOwnCall(t *testing.T) {
	session := startSandbox(t).session()
	var calls sync.WaitGroup
	repeat := func(f func()) {
		calls.Add(1)
		go func() {
			defer calls.Done()
			for end := time.Now().Add(time.Second); time.Now().Before(end); {
				f()
			}
		}()
	}
	live, cancel := context.WithCancel(background)
	defer cancel()
	for range [4]int{} {
		repeat(func() {
			ended, cancel := context.WithCancel(background)
			go cancel()
			if _, err := session.Tokens(ended); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("the context that ends: %v", err)
			}
		})
		repeat(func() {
			if _, err := session.Tokens(live); err != nil {
				t.Errorf("the context that lives: %v", err)
			}
		})
		repeat(func() {
			if _, err := session.Tokens(background); err != nil {
				t.Errorf("the context that cannot end: %v", err)
			}
		})
	}
	calls.Wait()
}

func TestCancelEndsAllCallsOfTheClient(t *testing.T) {
	client := startSandbox(t).client()
	login, err := client.Listen(0)
	check(t, err)
	defer login.Close()
	time.AfterFunc(100*time.Millisecond, client.Cancel)
	_, err = login.Wait(background)
	if !errors.Is(err, cmauth.ErrCancelled) || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestACallAfterCloseFails(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	session := s.session()
	login, err := client.BeginLogin(redirectURI)
	check(t, err)
	store := cmauth.MemoryStore()
	other := s.client()
	for range [2]int{} {
		check(t, client.Close())
		check(t, login.Close())
		check(t, session.Close())
		check(t, store.Close())
	}
	client.Cancel()
	failures := map[string]error{
		"CheckURL":  client.CheckURL(s.URL),
		"Logout":    client.Logout(background, "a"),
		"SetPage":   login.SetPage(cmauth.PageTitle, "a"),
		"Start":     session.Start(background, cmauth.Tokens{AccessToken: "a", TokenType: "bearer"}),
		"SLogout":   session.Logout(background),
		"Forget":    session.Forget(background),
		"KeepFresh": session.KeepFresh(true),
		"OnChange":  session.OnChange(func(cmauth.Change, int64) {}),
	}
	_, failures["ExchangeCode"] = client.ExchangeCode(background, "a", redirectURI)
	_, failures["Refresh"] = client.Refresh(background, "a")
	_, failures["User"] = client.User(background, "a")
	_, failures["BeginLogin"] = client.BeginLogin(redirectURI)
	_, failures["Listen"] = client.Listen(0)
	_, failures["LoginFromJSON"] = client.LoginFromJSON("{}")
	_, failures["OpenSession"] = client.OpenSession(background, cmauth.MemoryStore())
	_, failures["store"] = other.OpenSession(background, store)
	_, failures["Finish"] = login.Finish(background, "a")
	_, failures["Wait"] = login.Wait(background)
	_, failures["Tokens"] = session.Tokens(background)
	_, failures["TokensFor"] = session.TokensFor(background, time.Second)
	_, failures["Rejected"] = session.Rejected(background, "a")
	_, failures["Hold"] = session.Hold(background, time.Now())
	_, failures["SignURL"] = session.SignURL(background, s.URL)
	_, failures["Health"] = session.Health()
	_, failures["Transport"] = (&http.Client{Transport: session.Transport(s.base)}).Get(s.URL)
	for name, err := range failures {
		if !errors.Is(err, cmauth.ErrClosed) || !errors.Is(err, cmauth.ErrFix) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, hand := session.TokensAtHand()
	_, next := session.NextAction()
	if login.URL() != "" || login.ToJSON() != "" || login.IsRedirect(redirectURI) || hand || next {
		t.Error("a closed handle gives something")
	}
}

func TestCloseWhileCallsRunIsSafe(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	session, err := client.OpenSession(background, cmauth.MemoryStore())
	check(t, err)
	check(t, session.Start(background, s.logIn(client)))
	var calls sync.WaitGroup
	for range [4]int{} {
		calls.Add(1)
		go func() {
			defer calls.Done()
			for {
				if _, err := session.Tokens(background); err != nil {
					if !errors.Is(err, cmauth.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		}()
	}
	time.Sleep(20 * time.Millisecond)
	check(t, client.Close())
	check(t, session.Close())
	calls.Wait()
}

func TestCloseEndsAWait(t *testing.T) {
	login, err := startSandbox(t).client().Listen(0)
	check(t, err)
	time.AfterFunc(100*time.Millisecond, func() { login.Close() })
	if _, err := login.Wait(background); !errors.Is(err, cmauth.ErrCancelled) {
		t.Errorf("%v", err)
	}
}

func TestASessionGoesOnAfterItsClientIsClosed(t *testing.T) {
	s := startSandbox(t)
	client := s.client()
	session, err := client.OpenSession(background, cmauth.MemoryStore())
	check(t, err)
	defer session.Close()
	check(t, session.Start(background, s.logIn(client)))
	check(t, client.Close())
	if status := get(t, &http.Client{Transport: session.Transport(s.base)}, s.URL+"/rest/v2.4/cameras"); status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestNoFormatShowsASecret(t *testing.T) {
	tokens := cmauth.Tokens{AccessToken: "access-secret", RefreshToken: "refresh-secret", TokenType: "bearer"}
	config := cmauth.Config{ClientID: "id", ClientSecret: "client-secret"}
	s := startSandbox(t)
	session := s.session()
	signed, err := session.SignURL(background, s.URL+"/rest/v2.4/recordings")
	check(t, err)
	current, err := session.Tokens(background)
	check(t, err)
	if !strings.Contains(signed.URL(), "access_token=") || signed.ExpiresAt().IsZero() {
		t.Error("the URL is not signed")
	}

	values := []any{tokens, &tokens, config, &config, signed, *signed, []cmauth.Tokens{tokens}, struct{ T cmauth.Tokens }{tokens},
		struct{ C cmauth.Config }{config},
		session, map[string]cmauth.Tokens{"a": tokens}}
	var log bytes.Buffer
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%10v"} {
			if strings.Count(verb, "%") == 2 {
				fmt.Fprintf(&log, verb, value, value)
			} else {
				fmt.Fprintf(&log, verb, value)
			}
		}
		fmt.Fprintln(&log, value)
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "value", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "value", value)
	}
	secrets := []string{"-secret", fmt.Sprintf("%x", "-secret"), fmt.Sprintf("%X", "-secret"), current.AccessToken, "access_token="}
	for _, secret := range secrets {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in\n%s", secret, log.String())
		}
	}
	for _, value := range []any{tokens, &tokens, config, &config} {
		if _, err := json.Marshal(value); err == nil {
			t.Errorf("json.Marshal shows %T", value)
		}
	}
}

func TestTokensSurviveJSON(t *testing.T) {
	for _, tokens := range []cmauth.Tokens{
		{AccessToken: "a<&>", TokenType: "bearer"},
		{AccessToken: "a", RefreshToken: "r", TokenType: "Bearer", Scope: "read write", ExpiresAt: time.Unix(4102444800, 0)},
	} {
		text, err := tokens.ToJSON()
		check(t, err)
		again, err := cmauth.TokensFromJSON(text)
		check(t, err)
		if again != tokens {
			t.Errorf("%s", text)
		}
	}
	if _, err := (cmauth.Tokens{}).ToJSON(); !errors.Is(err, cmauth.ErrFix) {
		t.Errorf("empty tokens: %v", err)
	}
	if _, err := cmauth.TokensFromJSON("{}"); !errors.Is(err, cmauth.ErrFix) {
		t.Errorf("no tokens: %v", err)
	}
}

func TestOnChangeReportsEachChangeEvenIfTheCallbackPanics(t *testing.T) {
	var log bytes.Buffer
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(previous)
	session := startSandbox(t).session()
	var changes []cmauth.Change
	check(t, session.OnChange(func(change cmauth.Change, generation int64) {
		changes = append(changes, change)
		// The callback can call the session.
		if health, err := session.Health(); err != nil || change == cmauth.ChangeTokens && health.Generation != generation {
			t.Errorf("%+v, %v", health, err)
		}
		switch len(changes) {
		case 1:
			panic("my-secret")
		case 2:
			runtime.Goexit()
		}
	}))
	before, err := session.Tokens(background)
	check(t, err)
	before, err = session.Rejected(background, before.AccessToken)
	check(t, err)
	check(t, session.Start(background, before))
	check(t, session.Forget(background))
	want := []cmauth.Change{cmauth.ChangeTokens, cmauth.ChangeTokens, cmauth.ChangeEndedHere}
	if len(changes) > 3 {
		changes = changes[len(changes)-3:] // The login of the start was not reported yet.
	}
	if fmt.Sprint(changes) != fmt.Sprint(want) {
		t.Errorf("%v", changes)
	}
	if !strings.Contains(log.String(), "panicked") || strings.Contains(log.String(), "my-secret") {
		t.Errorf("%s", log.String())
	}
}

func TestKeepFreshRefreshesWithoutACallAndReportsIt(t *testing.T) {
	session := startSandbox(t, "--access-token-lifetime", "4").session()
	old, _ := session.Tokens(background) // Reports the login.
	changes := make(chan cmauth.Change, 10)
	check(t, session.OnChange(func(change cmauth.Change, _ int64) { changes <- change }))
	check(t, session.KeepFresh(true))
	select {
	case change := <-changes: // From a thread of the library.
		fresh, err := session.Tokens(background)
		if err != nil || change != cmauth.ChangeTokens || fresh.AccessToken == old.AccessToken {
			t.Errorf("%v, %v", change, err)
		}
	case <-time.After(20 * time.Second):
		t.Error("no change")
	}
}

func TestTheCallbackCanCloseItsSession(t *testing.T) {
	session := startSandbox(t).session()
	check(t, session.OnChange(func(cmauth.Change, int64) { session.Close() }))
	check(t, session.Forget(background))
	if _, err := session.Health(); !errors.Is(err, cmauth.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestOpenBrowserRefusesWhatIsNoWebPage(t *testing.T) {
	if err := cmauth.OpenBrowser("file:///etc/passwd"); !errors.Is(err, cmauth.ErrFix) {
		t.Errorf("%v", err)
	}
}

func TestASessionLetsGoOfACallbackThatWasReplacedOrClosed(t *testing.T) {
	session := startSandbox(t).session()
	gone := make(chan bool, 3)
	set := func() error {
		big := new([1 << 10]int64)
		runtime.SetFinalizer(big, func(*[1 << 10]int64) { gone <- true })
		return session.OnChange(func(_ cmauth.Change, generation int64) { big[0] = generation })
	}
	wait := func(when string) {
		for range [200]int{} {
			runtime.GC()
			select {
			case <-gone:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		t.Errorf("%s: the callback is still there", when)
	}
	check(t, set())
	check(t, session.OnChange(nil))
	wait("replaced")
	check(t, set())
	check(t, session.Close())
	wait("closed")
	if err := set(); !errors.Is(err, cmauth.ErrClosed) {
		t.Errorf("%v", err)
	}
	wait("after the end")
}

func TestGoroutinesShareOneRefresh(t *testing.T) {
	s := startSandbox(t)
	session := s.session()
	old, err := session.Tokens(background)
	check(t, err)
	var calls sync.WaitGroup
	for range [8]int{} {
		calls.Add(1)
		go func() {
			defer calls.Done()
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			if fresh, err := session.Rejected(ctx, old.AccessToken); err != nil || fresh.AccessToken == old.AccessToken {
				t.Errorf("%v, %v", fresh, err)
			}
		}()
	}
	calls.Wait()
	if n := s.count("POST", "grant_type=refresh_token"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

func TestHealthAndTimesOfASession(t *testing.T) {
	session := startSandbox(t).session()
	tokens, err := session.TokensFor(background, time.Hour)
	check(t, err)
	if hand, ok := session.TokensAtHand(); !ok || hand != tokens {
		t.Error("no tokens at hand")
	}
	if _, err := session.TokensFor(background, 24*time.Hour); !errors.Is(err, cmauth.ErrFix) {
		t.Errorf("more than a lifetime: %v", err)
	}
	until := time.Now().Add(time.Hour)
	_, err = session.Hold(background, until)
	check(t, err)
	check(t, session.KeepFresh(true))
	health, err := session.Health()
	check(t, err)
	if !health.LoggedIn || health.Generation == 0 || !health.ExpiresAt.Equal(tokens.ExpiresAt) || health.HeldUntil.Before(until) ||
		health.NextRefresh.IsZero() || health.LastError != nil || !health.Saved || !health.KeptFresh {
		t.Errorf("%+v", health)
	}
	if next, ok := session.NextAction(); !ok || next < time.Hour {
		t.Errorf("%v, %v", next, ok)
	}
}

func TestADamagedStoreOpensAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session")
	check(t, os.WriteFile(path, []byte("damaged"), 0o600))
	session, err := startSandbox(t).client().OpenSession(background, cmauth.FileStore(path))
	check(t, err)
	defer session.Close()
	health, err := session.Health()
	check(t, err)
	var failure *cmauth.Error
	if !errors.As(health.LastError, &failure) || failure.Status != cmauth.StatusStore || !errors.Is(failure, cmauth.ErrFix) {
		t.Errorf("%+v", health)
	}
	check(t, session.Forget(background))
}
