"""For the tests of a program that uses cmauth: the stand-in server, and a pytest fixture of it.

    def test_my_product(cmauth_sandbox):
        client = cmauth_sandbox.client()
        tokens = cmauth_sandbox.log_in(client)
        cmauth_sandbox.faults("status-503")
        cmauth_sandbox.advance(43200)

Its program is `cmauth-sandbox`, on the PATH (`pip install ./sandbox` in the source of
libcmauth) or named by the variable CMAUTH_SANDBOX. The fixture comes with the package; options of
the program are given by a mark:

    @pytest.mark.cmauth_sandbox("--access-token-lifetime", "60")
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cmauth

if TYPE_CHECKING:
    from typing_extensions import Self

CLIENT_ID = "cameramanager.test"
CLIENT_SECRET = "qwertyuiopasdfghjklzxcvbnm12345"
_READY = "cmauth-sandbox ready at "
# Not by the environment's proxy.
_HERE = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _planned(name: str, times: int, for_ever: bool) -> dict[str, object]:
    if for_ever:
        return {"fault": name, "times": None}
    # Some last until they are cleared, and take no number.
    return {"fault": name} if times == 1 else {"fault": name, "times": times}


class Sandbox:
    """A running stand-in server, with TLS, on 127.0.0.1. Ends with the `with` block, or the tests.

    url: its base URL.
    ca_file: the certificate authority to trust.
    """

    def __init__(self, *options: str, program: str | None = None) -> None:
        """Starts it. `options` are those of the program; `cmauth-sandbox --help` lists them."""
        found = program or os.environ.get("CMAUTH_SANDBOX") or shutil.which("cmauth-sandbox")
        if not found:
            raise FileNotFoundError(
                "cmauth-sandbox is not on the PATH; in the source of libcmauth, "
                "run: pip install ./sandbox"
            )
        self._program = found
        self._folder = tempfile.TemporaryDirectory(prefix="cmauth-sandbox-")
        self.ca_file = str(Path(self._folder.name, "ca.pem"))
        control = Path(self._folder.name, "control")
        # It ends when its stdin does, whatever becomes of the tests.
        command = [found, "--tls", "--ca-out", self.ca_file, "--until-eof"]
        command += ["--control-port", "0", "--control-out", str(control), *options]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout
        ready = self._server.stdout.readline().strip()
        if not ready.startswith(_READY):
            self.close()
            raise RuntimeError(f"{found} did not start; what it says is above")
        threading.Thread(target=self._server.stdout.read, daemon=True).start()
        self.url = ready[len(_READY) :]
        self._control = control.read_text(encoding="utf-8").strip()

    def client(self, client_secret: str | None = CLIENT_SECRET, **options: Any) -> cmauth.Client:  # noqa: ANN401
        """A client of the sandbox' API key. `options` are those of `cmauth.Client`."""
        options = {"base_url": self.url, "ca_file": self.ca_file, "proxy": "", **options}
        return cmauth.Client(CLIENT_ID, client_secret, **options)

    def visit(self, url: str, user: str = "demo:demo", *, deny: bool = False) -> str:
        """What a user does with a login page: the URL that the browser is sent to in the end."""
        command = [self._program, "user", "--ca-file", self.ca_file, "--user", user]
        command += ["--deny"] if deny else []
        run = subprocess.run(
            [*command, url], capture_output=True, text=True, timeout=60, check=False
        )
        if run.returncode != 0:
            raise RuntimeError(f"the user could not log in: {run.stderr.strip()}")
        return run.stdout.strip()

    def log_in(self, client: cmauth.Client, user: str = "demo:demo") -> cmauth.Tokens:
        """Tokens of a user who logs in."""
        login = client.begin_login("https://example.com")
        return login.finish(self.visit(login.url, user))

    def make_code(self, redirect_uri: str = "https://example.com", scope: str = "write") -> str:
        """The code of a user who allowed this scope, whatever a client asks for; without pages."""
        made: dict[str, str] = self._ask(
            "POST", "codes", {"redirect_uri": redirect_uri, "scope": scope}
        )
        return made["code"]

    def come_back(self, url: str, *, deny: bool = False) -> str:
        """For a login that listens: a user logs in, and the browser comes back; its last page."""
        with _HERE.open(self.visit(url, deny=deny), timeout=60) as page:
            text: str = page.read().decode()
        return text

    def faults(self, *names: str, times: int = 1, for_ever: bool = False) -> None:
        """What goes wrong next, one after the other, each `times` times; no names: nothing.

        for_ever: until other faults are set. So last those that keep connections out, anyway.

        `cmauth_sandbox.fault_names()` has the names, docs/errors.md what each does.
        """
        self._ask("POST", "faults", [_planned(name, times, for_ever) for name in names])

    def fault_names(self) -> list[str]:
        """Every fault there is."""
        known: Any = self._ask("GET", "faults")
        return [fault["fault"] for fault in known["faults"]]

    def advance(self, seconds: int) -> None:
        """Moves the server's clock forward: 43200 ends the access tokens."""
        self._ask("POST", "clock", {"advance": seconds})

    def requests(self) -> list[dict[str, Any]]:
        """What was received: `method`, `target`, `headers`, `body` of each request."""
        received: list[dict[str, Any]] = self._ask("GET", "requests")
        return received

    def _ask(self, method: str, what: str, body: object = None) -> Any:  # noqa: ANN401
        request = urllib.request.Request(
            f"{self._control}/sandbox/{what}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _HERE.open(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode().strip()) from None
        return json.loads(text) if text else None

    def close(self) -> None:
        """Ends it."""
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sandbox({getattr(self, 'url', 'not started')!r})"
