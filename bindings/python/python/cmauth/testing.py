"""The sandbox for the tests of a program that uses cmauth: a mock CameraManager server.

The package brings a pytest fixture, `cmauth_sandbox`, which starts a sandbox for one test:

    def test_my_product(cmauth_sandbox):
        client = cmauth_sandbox.client()
        tokens = cmauth_sandbox.log_in(client)
        cmauth_sandbox.faults("status-503")
        cmauth_sandbox.advance(43200)

A mark gives options of the program to the fixture:

    @pytest.mark.cmauth_sandbox("--access-token-lifetime", "60")

The program is `cmauth-sandbox` on the PATH. Install it from the source of libcmauth
(`pip install ./sandbox`), or name another one in the environment variable CMAUTH_SANDBOX.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import cmauth
from cmauth._sandbox_process import CLIENT_ID, CLIENT_SECRET, SandboxProcess, without_proxy

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "Sandbox"]


def _planned(name: str, times: int, for_ever: bool) -> dict[str, object]:
    if for_ever:
        return {"fault": name, "times": None}
    # The sandbox rejects a count for faults of its listener, which last until they are cleared.
    return {"fault": name} if times == 1 else {"fault": name, "times": times}


class Sandbox(SandboxProcess):
    """A running mock server, with TLS, on 127.0.0.1. It ends with its `with` block or the tests.

    url: its base URL.
    ca_file: the certificate authority to trust, a PEM file.
    """

    def __init__(self, *options: str, program: str | None = None) -> None:
        """Starts it. `options` are those of the program; `cmauth-sandbox --help` lists them."""
        found = program or os.environ.get("CMAUTH_SANDBOX") or shutil.which("cmauth-sandbox")
        if not found:
            raise FileNotFoundError(
                "cmauth-sandbox is not on the PATH; in the source of libcmauth, run: pip install ./sandbox"
            )
        super().__init__(found, *options)

    def client(self, client_secret: str | None = CLIENT_SECRET, **options: Any) -> cmauth.Client:
        """A client with the API key of the sandbox. `options` are those of `cmauth.Client`."""
        options = {"base_url": self.url, "ca_file": self.ca_file, "proxy": "", **options}
        return cmauth.Client(CLIENT_ID, client_secret, **options)

    def log_in(self, client: cmauth.Client, user: str = "demo:demo") -> cmauth.Tokens:
        """Logs a user in and returns the tokens."""
        login = client.begin_login("https://example.com")
        return login.finish(self.visit(login.url, user))

    def make_code(self, redirect_uri: str = "https://example.com", scope: str = "write") -> str:
        """An authorization code without a login. It grants `scope`, whatever a client asks for."""
        made: dict[str, str] = self.control("POST", "codes", {"redirect_uri": redirect_uri, "scope": scope})
        return made["code"]

    def come_back(self, url: str, user: str = "demo:demo", *, deny: bool = False) -> str:
        """Logs a user in, and follows the redirect to a login that listens on this machine.

        Returns the page that the login shows.
        """
        with without_proxy.open(self.visit(url, user, deny=deny), timeout=60) as page:
            text: str = page.read().decode()
        return text

    def faults(self, *names: str, times: int = 1, for_ever: bool = False) -> None:
        """Sets the next faults, in this order, each `times` times. Without names: no faults.

        for_ever: each lasts until faults are set again. Faults of the listener always do.

        `fault_names()` lists the faults. docs/errors.md says what each of them does.
        """
        self.control("POST", "faults", [_planned(name, times, for_ever) for name in names])

    def fault_names(self) -> list[str]:
        """The names of all faults."""
        known: Any = self.control("GET", "faults")
        return [fault["fault"] for fault in known["faults"]]

    def advance(self, seconds: int) -> None:
        """Moves the server's clock forward. After 43200 s, access tokens have expired."""
        self.control("POST", "clock", {"advance": seconds})

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far: `method`, `target`, `headers` and `body` of each."""
        received: list[dict[str, Any]] = self.control("GET", "requests")
        return received

    def __repr__(self) -> str:
        return f"Sandbox({getattr(self, 'url', 'not started')!r})"
