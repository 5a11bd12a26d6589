package cmauth_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheExampleTellsTheStory(t *testing.T) {
	s := startSandbox(t)
	program := filepath.Join(t.TempDir(), "example")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "..", "examples", "go")
	build.Stderr = os.Stderr
	check(t, build.Run())

	command := exec.Command(program)
	// crypto/tls takes the certificates that it trusts from SSL_CERT_FILE.
	command.Env = append(os.Environ(), "CMAUTH_CLIENT_ID="+clientID, "CMAUTH_CLIENT_SECRET="+clientSecret, "CMAUTH_BASE_URL="+s.URL,
		"CMAUTH_CA_FILE="+s.caFile, "SSL_CERT_FILE="+s.caFile, "CMAUTH_SESSION="+filepath.Join(t.TempDir(), "session"))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	check(t, err)
	check(t, command.Start())
	lines := bufio.NewReader(output)
	line, err := lines.ReadString('\n')
	check(t, err)
	response, err := http.Get(s.user(strings.TrimSpace(strings.TrimPrefix(line, "open "))))
	check(t, err)
	response.Body.Close()
	rest, err := io.ReadAll(lines)
	check(t, err)
	check(t, command.Wait())
	if string(rest) != "200 OK\n" {
		t.Errorf("%q", rest)
	}
	if tokens := strings.TrimSpace(string(s.do("GET", "/sandbox/tokens", ""))); tokens != "[]" {
		t.Errorf("the user is still logged in: %s", tokens)
	}
}
