"""Starts the program `cmauth-sandbox`, the mock server, and ends it.

`cmauth.testing` imports this module. The scripts of the repository load it from its folder, without
the package, so it uses the standard library only.
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
import weakref
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

# The API key of the sandbox, if it is started without --client.
CLIENT_ID = "cameramanager.test"
CLIENT_SECRET = "qwertyuiopasdfghjklzxcvbnm12345"

_READY = "cmauth-sandbox ready at "

# Opens URLs of this machine, which a proxy of the environment could not reach.
without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _end(process: subprocess.Popen[str], readers: list[threading.Thread], folder: str) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for reader in readers:
        reader.join()
    process.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)


class SandboxProcess:
    """A running sandbox on 127.0.0.1. It ends with its `with` block, with `close`, or with Python.

    program: the path of the program.
    url: the base URL of the server.
    ca_file: the certificate authority to trust, a PEM file; "" without TLS.
    control_url: the base URL of the control API. Faults do not affect it.
    """

    def __init__(self, program: str | os.PathLike[str], *options: str, tls: bool = True) -> None:
        self.program = os.fspath(program)
        folder = tempfile.mkdtemp(prefix="cmauth-sandbox-")
        self.ca_file = str(Path(folder, "ca.pem")) if tls else ""
        control_file = Path(folder, "control")
        # The end of its standard input ends the program, even if Python is killed.
        command = [self.program, "--until-eof"]
        command += ["--control-port", "0", "--control-out", str(control_file)]
        command += ["--tls", "--ca-out", self.ca_file] if tls else []
        process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # It also runs when the object is collected, and when Python ends.
        readers: list[threading.Thread] = []
        self._end = weakref.finalize(self, _end, process, readers, folder)
        assert process.stdout
        ready = process.stdout.readline().strip()
        if not ready.startswith(_READY):
            self.close()
            raise RuntimeError(f"{self.program} did not start; its message is above")
        # A program that prints more than a pipe holds would block if nothing read it.
        readers.append(threading.Thread(target=process.stdout.read, daemon=True))
        readers[0].start()
        self.url = ready[len(_READY) :]
        self.control_url = control_file.read_text(encoding="utf-8").strip()

    def visit(self, url: str, user: str = "demo:demo", *, deny: bool = False) -> str:
        """Logs a user in at a login page. Returns the URL to which the browser is redirected.

        user: the name and the password, with a colon between them.
        deny: the user denies the access.
        """
        command = [self.program, "user", "--user", user]
        command += ["--ca-file", self.ca_file] if self.ca_file else []
        command += ["--deny"] if deny else []
        run = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"the user could not log in: {run.stderr.strip()}")
        return run.stdout.strip()

    def control(self, method: str, name: str, body: object = None) -> Any:
        """Sends a request to the control API: /sandbox/`name`. Returns the JSON of the response."""
        request = urllib.request.Request(
            f"{self.control_url}/sandbox/{name}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with without_proxy.open(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode().strip()) from None
        return json.loads(text) if text else None

    def close(self) -> None:
        """Ends the program."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
