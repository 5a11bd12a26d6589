"""`make demo`: runs the C example against the sandbox, and explains each step.

It starts the sandbox with TLS, runs examples/c/login.c and logs a user in at the login page. A request for the list of
cameras shows that the access token works until the logout. With --interactive, you log in with your own browser.
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "bindings/python/python/cmauth"))
from _sandbox_process import CLIENT_ID, CLIENT_SECRET, SandboxProcess

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
SANDBOX = TARGET / "debug" / "cmauth-sandbox"
EXAMPLE = TARGET / "examples" / "login"


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def get(sandbox: SandboxProcess, path: str, token: str) -> tuple[int, object]:
    """Returns the status and the JSON of the response."""
    request = urllib.request.Request(sandbox.url + path, headers={"Authorization": f"Bearer {token}"})
    handlers = [urllib.request.ProxyHandler({})]
    if sandbox.ca_file:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=sandbox.ca_file)))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def show_cameras(sandbox: SandboxProcess, token: str, expected: int) -> None:
    status, body = get(sandbox, "/rest/v2.4/cameras", token)
    print(f"GET /rest/v2.4/cameras with the access token -> HTTP {status}")
    if status == 200:
        for camera in body:
            print(f"  camera {camera['cameraId']}: {camera['name']}")
    else:
        print(f"  {body.get('error')}")
    if status != expected:
        raise SystemExit(f"the demo failed: HTTP {expected} was expected")


def demo(sandbox: SandboxProcess, interactive: bool) -> None:
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
    if sandbox.ca_file:
        environment["CMAUTH_CA_FILE"] = sandbox.ca_file
    example = subprocess.Popen([EXAMPLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def read_until(beginning: str) -> str:
        """Prints the output of the example up to the line with this beginning, and returns that line."""
        for line in example.stdout:
            print(f"  {line}", end="", flush=True)
            if line.startswith(beginning):
                return line
        raise SystemExit(f"the demo failed: the example ended with {example.wait()}")

    def write(line: str) -> None:
        example.stdin.write(line.strip() + "\n")
        example.stdin.flush()

    say("The C example begins a login and prints the URL of the login page")
    read_until("Open this page")
    url = example.stdout.readline()
    print(f"  {url}", end="")
    read_until("Then paste")
    if interactive:
        say("Open that page in your browser. The user name and the password are: demo")
        print("The browser ends at example.com. Paste the URL that it shows then:", flush=True)
        write(sys.stdin.readline())
    else:
        say("A scripted user opens the page, logs in as demo and approves. The server redirects the browser to")
        redirected = sandbox.visit(url.strip())
        print(f"  {redirected}")
        write(redirected)

    say("The example checks the state of the redirect, exchanges the code for tokens, and refreshes them")
    read_until("Press Enter")

    say("The access token works")
    token = sandbox.control("GET", "tokens")[-1]["access_token"]
    show_cameras(sandbox, token, expected=200)

    say("The example logs out")
    write("")
    read_until("Logged out")
    if example.wait() != 0:
        raise SystemExit(f"the demo failed: the example ended with {example.returncode}")

    say("The access token no longer works")
    show_cameras(sandbox, token, expected=401)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactive", action="store_true", help="log in with your own browser")
    interactive = parser.parse_args().interactive

    # Your browser does not trust the certificate authority of the sandbox, so it gets plain HTTP.
    say("Starting the sandbox, a mock server" + ("" if interactive else ", with TLS and its own certificate authority"))
    with SandboxProcess(SANDBOX, tls=not interactive) as sandbox:
        print(f"  {sandbox.url}")
        demo(sandbox, interactive)

    say("That was the whole demo. For the real server, request an API key at https://dealer.cameramanager.com, then")
    print("  CMAUTH_CLIENT_ID=... CMAUTH_CLIENT_SECRET=... make login")


if __name__ == "__main__":
    main()
