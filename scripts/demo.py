"""`make demo`: the C example against the stand-in server, each step in plain words.

Starts the sandbox with TLS, runs examples/c/login.c, is the user at the login page, and shows with the cameras resource
that the token works while the user is logged in and no longer afterwards. With --interactive a person logs in.
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
SANDBOX = TARGET / "debug" / "cmauth-sandbox"
EXAMPLE = TARGET / "examples" / "login"

CLIENT_ID = "cameramanager.test"
CLIENT_SECRET = "qwertyuiopasdfghjklzxcvbnm12345"


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


class Sandbox:
    """The stand-in server; it ends when its standard input does."""

    def __init__(self, folder: Path, tls: bool) -> None:
        self.ca_file = folder / "ca.pem"
        arguments = ["--port", "0", "--until-eof"]
        if tls:
            arguments += ["--tls", "--ca-out", str(self.ca_file)]
        self.process = subprocess.Popen([SANDBOX, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        if " ready at " not in ready:
            raise SystemExit(f"the sandbox did not start: {ready}")
        self.url = ready.split(" ready at ")[1].strip()
        self.trust = ssl.create_default_context(cafile=self.ca_file) if tls else None

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def get(self, path: str, token: str | None = None) -> tuple[int, object]:
        """The status and the JSON of a GET."""
        request = urllib.request.Request(self.url + path)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        handlers = [urllib.request.ProxyHandler({})]
        if self.trust:
            handlers.append(urllib.request.HTTPSHandler(context=self.trust))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def user(self, url: str) -> str:
        """What a person does in a browser: log in as demo, approve. Returns where the browser came back to."""
        arguments = [SANDBOX, "user"]
        if self.trust:
            arguments += ["--ca-file", str(self.ca_file)]
        return subprocess.run([*arguments, url], check=True, stdout=subprocess.PIPE, text=True).stdout


def show_cameras(sandbox: Sandbox, token: str, expected: int) -> None:
    status, answer = sandbox.get("/rest/v2.4/cameras", token)
    print(f"GET /rest/v2.4/cameras with the access token -> HTTP {status}")
    if status == 200:
        for camera in answer:
            print(f"  camera {camera['cameraId']}: {camera['name']}")
    else:
        print(f"  {answer.get('error')}")
    if status != expected:
        raise SystemExit(f"the demo failed: HTTP {expected} was expected")


def demo(sandbox: Sandbox, interactive: bool) -> None:
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(TARGET / "release"),
        "CMAUTH_CLIENT_ID": CLIENT_ID,
        "CMAUTH_CLIENT_SECRET": CLIENT_SECRET,
        "CMAUTH_BASE_URL": sandbox.url,
        "NO_PROXY": "localhost,127.0.0.1",
    }
    environment.pop("CMAUTH_REDIRECT_URI", None)
    environment.pop("CMAUTH_CA_FILE", None)
    if sandbox.trust:
        environment["CMAUTH_CA_FILE"] = str(sandbox.ca_file)
    example = subprocess.Popen([EXAMPLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def read_until(beginning: str) -> str:
        """Passes on what the example prints, up to the line that begins so."""
        for line in example.stdout:
            print(f"  {line}", end="", flush=True)
            if line.startswith(beginning):
                return line
        raise SystemExit(f"the demo failed: the example ended with {example.wait()}")

    def write(line: str) -> None:
        example.stdin.write(line.strip() + "\n")
        example.stdin.flush()

    say("The C example begins a login and tells which page to open")
    read_until("Open this page")
    url = example.stdout.readline()
    print(f"  {url}", end="")
    read_until("Then paste")
    if interactive:
        say("Open that page in your browser. User name and password are both: demo")
        print("The browser ends at example.com; paste the address that it shows then:", flush=True)
        write(sys.stdin.readline())
    else:
        say("A scripted user opens the page, logs in as demo and approves; the browser comes back to")
        redirected = sandbox.user(url.strip())
        print(f"  {redirected}", end="")
        write(redirected)

    say("The example checks the redirect's state, turns the code into tokens, and refreshes them")
    read_until("Press Enter")

    say("The token works")
    _, tokens = sandbox.get("/sandbox/tokens")
    token = tokens[-1]["access_token"]
    show_cameras(sandbox, token, expected=200)

    say("The example logs out")
    write("")
    read_until("Logged out")
    if example.wait() != 0:
        raise SystemExit(f"the demo failed: the example ended with {example.returncode}")

    say("The same token no longer works")
    show_cameras(sandbox, token, expected=401)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactive", action="store_true", help="you are the user at the login page")
    interactive = parser.parse_args().interactive

    with tempfile.TemporaryDirectory() as folder:
        # A person's browser does not trust the sandbox's certificate authority: for it, plain HTTP on this machine.
        say(
            "Starting the stand-in server"
            + ("" if interactive else ", with TLS and a certificate authority of its own")
        )
        sandbox = Sandbox(Path(folder), tls=not interactive)
        print(f"  {sandbox.url}")
        try:
            demo(sandbox, interactive)
        finally:
            sandbox.close()

    say("That was the whole story. For the real server, request an API key at https://dealer.cameramanager.com, then")
    print("  CMAUTH_CLIENT_ID=... CMAUTH_CLIENT_SECRET=... make login")


if __name__ == "__main__":
    main()
