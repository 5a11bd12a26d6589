package cmauth_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmauth "libcmauth/bindings/go"
)

const (
	clientID     = "cameramanager.test"
	clientSecret = "qwertyuiopasdfghjklzxcvbnm12345"
	redirectURI  = "https://example.com"
)

// sandbox is the mock server of this project: see sandbox/README.md.
type sandbox struct {
	t       testing.TB
	program string
	URL     string
	control string
	caFile  string
	base    *http.Transport // trusts the certificate of the sandbox
}

func startSandbox(t testing.TB, options ...string) *sandbox {
	t.Helper()
	program := os.Getenv("CMAUTH_SANDBOX")
	if program == "" {
		t.Fatal("CMAUTH_SANDBOX must name the program cmauth-sandbox; make test-go sets it")
	}
	folder := t.TempDir()
	s := &sandbox{t: t, program: program, caFile: filepath.Join(folder, "ca.pem")}
	controlFile := filepath.Join(folder, "control")
	arguments := []string{"--tls", "--ca-out", s.caFile, "--control-port", "0", "--control-out", controlFile, "--until-eof"}
	command := exec.Command(program, append(arguments, options...)...)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	check(t, err)
	output, err := command.StdoutPipe()
	check(t, err)
	check(t, command.Start())
	t.Cleanup(func() {
		input.Close()
		command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	check(t, err)
	fields := strings.Fields(line)
	s.URL = fields[len(fields)-1]
	s.control = strings.TrimSpace(read(t, controlFile))

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(read(t, s.caFile)))
	s.base = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(s.base.CloseIdleConnections)
	return s
}

func (s *sandbox) config() cmauth.Config {
	none := ""
	return cmauth.Config{
		ClientID: clientID, ClientSecret: clientSecret, BaseURL: s.URL, CAFile: s.caFile, Proxy: &none, Timeout: 20 * time.Second,
	}
}

func (s *sandbox) client() *cmauth.Client {
	s.t.Helper()
	client, err := cmauth.NewClient(s.config())
	check(s.t, err)
	s.t.Cleanup(func() { client.Close() })
	return client
}

// user logs in at a page as a person does, and returns the URL of the redirect.
func (s *sandbox) user(page string, options ...string) string {
	s.t.Helper()
	command := exec.Command(s.program, append(append([]string{"user", "--ca-file", s.caFile}, options...), page)...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	check(s.t, err)
	return strings.TrimSpace(string(output))
}

func (s *sandbox) logIn(client *cmauth.Client) cmauth.Tokens {
	s.t.Helper()
	login, err := client.BeginLogin(redirectURI)
	check(s.t, err)
	defer login.Close()
	tokens, err := login.Finish(context.Background(), s.user(login.URL()))
	check(s.t, err)
	return tokens
}

// session returns a session of a user who is logged in.
func (s *sandbox) session() *cmauth.Session {
	s.t.Helper()
	client := s.client()
	store := cmauth.MemoryStore()
	defer store.Close()
	session, err := client.OpenSession(context.Background(), store)
	check(s.t, err)
	s.t.Cleanup(func() { session.Close() })
	check(s.t, session.Start(context.Background(), s.logIn(client)))
	return session
}

func (s *sandbox) do(method, path, body string) []byte {
	s.t.Helper()
	request, err := http.NewRequest(method, s.control+path, strings.NewReader(body))
	check(s.t, err)
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	check(s.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	check(s.t, err)
	if response.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %s: %s", method, path, response.Status, content)
	}
	return content
}

// expire ends all access tokens at the server.
func (s *sandbox) expire() {
	s.t.Helper()
	s.do("POST", "/sandbox/clock", `{"advance": 43200}`)
}

func (s *sandbox) fault(faults string) {
	s.t.Helper()
	s.do("POST", "/sandbox/faults", faults)
}

// count returns how many requests had this method, and this text in their target.
func (s *sandbox) count(method, text string) (n int) {
	s.t.Helper()
	var requests []struct{ Method, Target string }
	check(s.t, json.Unmarshal(s.do("GET", "/sandbox/requests", ""), &requests))
	for _, request := range requests {
		if request.Method == method && strings.Contains(request.Target, text) {
			n++
		}
	}
	return n
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	return string(content)
}
