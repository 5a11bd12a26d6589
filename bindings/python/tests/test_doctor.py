"""`cmauth doctor`: what it finds and advises, and that an unproven server gets no secret."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import fcntl
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from cmauth.testing import CLIENT_ID, CLIENT_SECRET
from shell import Shell

CHECKS = ["settings", "proxy", "name", "TLS", "clock", "API key", "store", "lock"]


def examine(shell: Shell, exit_code: int = 0) -> dict[str, tuple[str, str]]:
    """The advice and the text of each check. The text form has the same lines."""
    out, _ = shell.run("doctor", "--json", exit_code=exit_code)
    report = json.loads(out)
    assert report["exit_code"] == exit_code
    assert CLIENT_SECRET not in out
    return {found["check"]: (found["advice"], found["text"]) for found in report["checks"]}


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Server:
    """An https server on this machine, with a certificate and a clock of the test's choice."""

    folder: Path
    ca: trustme.CA = field(default_factory=lambda: trustme.CA(organization_name="Strict Firewall Ltd"))
    host: str = "localhost"
    not_after: datetime.datetime | None = None
    ahead: float = 0
    date: str | None = None
    received: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, shell: Shell, *, trusted: bool = True) -> Iterator[None]:
        at = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                at.received.append(f"{self.requestline} {self.headers}")
                self.send_response(404)
                self.end_headers()

            def do_POST(self) -> None:
                at.received.append(f"{self.requestline} {self.headers}")
                body = b'{"error":"invalid_grant","error_description":"Invalid authorization code: cmauth-doctor"}'
                self.send_response(400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def date_time_string(self, _timestamp: float | None = None) -> str:
                return at.date if at.date is not None else email.utils.formatdate(time.time() + at.ahead, usegmt=True)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            # The doctor breaks the connection off if it does not trust the certificate.
            def handle_error(self, *_: Any) -> None:
                pass

            def finish_request(self, request: Any, client_address: Any) -> None:
                with context.wrap_socket(request, server_side=True) as connection:
                    super().finish_request(connection, client_address)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(self.host, not_after=self.not_after).configure_cert(context)
        ca_file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(ca_file))
        with serving(Quiet(("127.0.0.1", 0), Handler)) as port:
            shell.environment["CMAUTH_BASE_URL"] = f"https://localhost:{port}"
            shell.environment.pop("CMAUTH_CA_FILE", None)
            if trusted:
                shell.environment["CMAUTH_CA_FILE"] = str(ca_file)
            yield


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_all_is_well(shell: Shell) -> None:
    found = examine(shell)
    assert list(found) == CHECKS
    assert {advice for advice, _ in found.values()} == {"NONE", "SKIPPED"}
    assert shell.sandbox.url in found["settings"][1]
    assert "cmauth-sandbox test CA" in found["TLS"][1]
    assert CLIENT_ID in found["API key"][1]
    assert not shell.folder.exists(), "it changes nothing"
    shell.log_in()
    before = {path.name: path.read_bytes() for path in shell.folder.iterdir()}
    found = examine(shell)
    assert {advice for advice, _ in found.values()} == {"NONE"}
    assert "demo (demo@example.com, ID 20003) is logged in" in found["store"][1]
    assert {path.name: path.read_bytes() for path in shell.folder.iterdir()} == before
    lines = shell.run("doctor")[0].splitlines()
    assert [line[:8] for line in lines] == ["ok      "] * len(CHECKS)
    assert [line[8:].split(":")[0] for line in lines] == CHECKS


def test_an_inspecting_firewall_is_named_and_gets_no_secret(shell: Shell, server: Server) -> None:
    with server(shell, trusted=False):
        found = examine(shell, 5)
        advice, text = found["TLS"]
        assert advice == "FIX"
        assert '"Strict Firewall Ltd"' in text
        assert "CMAUTH_CA_FILE" in text
        assert found["API key"][0] == "SKIPPED"
        assert "clock" not in found
    assert not server.received, "nothing is sent"
    with server(shell):
        found = examine(shell)
        assert '"Strict Firewall Ltd", which ' in found["TLS"][1]
        assert found["API key"][0] == "NONE"
    assert len(server.received) == 2


def test_a_certificate_that_has_expired_or_is_of_another_host(shell: Shell, tmp_path: Path) -> None:
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    expired = Server(tmp_path, not_after=yesterday)
    with expired(shell):
        advice, text = examine(shell, 5)["TLS"]
        assert advice == "FIX"
        assert "expired" in text
        assert "check the date of this machine" in text
    other = Server(tmp_path, host="elsewhere.example")
    with other(shell):
        advice, text = examine(shell, 5)["TLS"]
        assert advice == "FIX"
        assert "hostname mismatch" in text
    assert not expired.received + other.received
    soon = Server(tmp_path, not_after=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3))
    with soon(shell):
        assert "which is 2 days from now" in examine(shell)["TLS"][1]


@pytest.mark.parametrize(("ahead", "direction"), [(3600, "behind"), (-600, "ahead of")])
def test_a_wrong_clock(shell: Shell, server: Server, ahead: int, direction: str) -> None:
    server.ahead = ahead
    with server(shell):
        found = examine(shell, 5)
        advice, said = found["clock"]
        assert advice == "FIX"
        measured = re.search(rf"(\d+) s {direction} the server's; set it, for example by NTP", said)
        assert measured
        # The date has no fractions, and the request takes time.
        assert abs(int(measured[1]) - abs(ahead)) <= 2
        assert found["API key"][0] == "NONE", "a clock does not keep the doctor from the next check"


@pytest.mark.parametrize("date", ["", "tomorrow", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_a_server_without_a_date(shell: Shell, server: Server, date: str) -> None:
    server.date = date
    with server(shell):
        assert examine(shell)["clock"][0] == "SKIPPED"


def test_a_server_that_cannot_be_found_or_reached(shell: Shell) -> None:
    shell.environment["CMAUTH_BASE_URL"] = "https://no.such.host.invalid"
    found = examine(shell, 5)
    assert found["name"][0] == "FIX"
    assert "no.such.host.invalid has no address" in found["name"][1]
    assert found["API key"][0] == "SKIPPED"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    shell.environment["CMAUTH_BASE_URL"] = f"https://localhost:{port}"
    found = examine(shell, 4)
    assert found["connection"][0] == "RETRY"
    assert f"localhost:{port}: Connection refused" in found["connection"][1]
    assert found["API key"][0] == "SKIPPED"


def test_a_server_that_speaks_no_tls(shell: Shell) -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)) as port:
        shell.environment["CMAUTH_BASE_URL"] = f"https://localhost:{port}"
        found = examine(shell, 4)
    assert found["TLS"][0] == "RETRY"
    assert found["API key"][0] == "SKIPPED"


class Proxy(BaseHTTPRequestHandler):
    """An http proxy that asks for a password."""

    def do_CONNECT(self) -> None:
        if self.headers.get("Proxy-Authorization") != "Basic dXNlcjpwYXNz":
            self.send_error(407)
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pump, args=(server, self.connection))
            back.start()
            pump(self.connection, server)
            back.join()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_a_proxy(shell: Shell) -> None:
    del shell.environment["NO_PROXY"]
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Proxy)) as port:
        shell.environment["HTTPS_PROXY"] = f"http://user:pass@127.0.0.1:{port}"
        found = examine(shell)
        assert found["proxy"] == ("NONE", f"http://127.0.0.1:{port} answers")
        assert found["name"][0] == "SKIPPED"
        assert found["TLS"][0] == found["clock"][0] == found["API key"][0] == "NONE"
        # A wrong password of the proxy.
        shell.environment["HTTPS_PROXY"] = f"http://user:wrong-password@127.0.0.1:{port}"
        found = examine(shell, 5)
        advice, text = found["connection"]
        assert advice == "FIX"
        assert "407" in text
        assert "wrong-password" not in str(found)
        assert found["API key"][0] == "SKIPPED"
    found = examine(shell, 5)
    assert found["proxy"][0] == "FIX"
    assert "Connection refused; check HTTPS_PROXY" in found["proxy"][1]
    assert "wrong-password" not in str(found)
    assert "connection" not in found
    assert found["API key"][0] == "SKIPPED"


def test_a_key_that_is_wrong_or_missing(shell: Shell) -> None:
    shell.environment["CMAUTH_CLIENT_SECRET"] = "a-wrong-secret"
    found = examine(shell, 5)
    assert found["API key"][0] == "FIX"
    assert "a-wrong-secret" not in str(found)
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    assert examine(shell)["API key"][0] == "SKIPPED"
    del shell.environment["CMAUTH_CLIENT_ID"]
    assert "CMAUTH_CLIENT_ID" in examine(shell, 5)["API key"][1]


def test_another_key_or_server_than_that_of_the_login(shell: Shell) -> None:
    shell.log_in()
    requests = len(shell.sandbox.requests())
    shell.environment["CMAUTH_CLIENT_ID"] = "another.key"
    found = examine(shell, 5)
    assert found["settings"][0] == "FIX"
    assert "another.key" in found["settings"][1]
    assert found["store"][0] == found["lock"][0] == "NONE"
    assert len(shell.sandbox.requests()) == requests


def test_settings_that_are_wrong(shell: Shell) -> None:
    shell.environment["CMAUTH_BASE_URL"] = "ftp://example.com"
    assert examine(shell, 5)["settings"] == ("FIX", "base_url: begin it with https://")
    shell.environment["CMAUTH_BASE_URL"] = shell.sandbox.url
    shell.environment["CMAUTH_CA_FILE"] = "/no/such/file"
    assert "/no/such/file" in examine(shell, 5)["settings"][1]


@pytest.mark.parametrize("kind", ["session", "json"])
def test_a_damaged_file(shell: Shell, kind: str) -> None:
    shell.log_in()
    path = shell.folder / f"default.{kind}"
    path.write_text("{")
    advice, text = examine(shell, 5)["store"]
    assert advice == "FIX"
    assert str(path) in text
    assert "cmauth logout --forget" in text
    assert path.read_text() == "{"


def test_a_folder_that_cannot_be_used(shell: Shell, tmp_path: Path) -> None:
    # Root may write to any other folder.
    shell.environment["CMAUTH_STATE_DIR"] = "/proc/self"
    assert "CMAUTH_STATE_DIR" in examine(shell, 5)["store"][1]
    (tmp_path / "file").write_text("")
    shell.environment["CMAUTH_STATE_DIR"] = str(tmp_path / "file" / "folder")
    assert examine(shell, 5)["store"][0] == "FIX"


def test_a_lock_that_another_process_holds(shell: Shell) -> None:
    shell.log_in()
    with (shell.folder / "default.session.lock").open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        found = examine(shell, 4)
    assert found["lock"][0] == "RETRY"
    assert "default.session.lock" in found["lock"][1]
    assert examine(shell)["lock"] == ("NONE", "it is free")


@pytest.mark.parametrize("fault", ["status-503", "status-500", "status-429", "close-before-head", "cut-head"])
def test_a_server_that_fails_says_nothing_about_the_key(shell: Shell, fault: str) -> None:
    shell.environment["CMAUTH_CLIENT_SECRET"] = "wrong"
    shell.sandbox.control("POST", "faults", [{"fault": fault, "times": None}])
    advice, text = examine(shell, 4)["API key"]
    assert advice == "RETRY"
    assert "knows" not in text


def test_a_folder_that_cannot_be_made(shell: Shell) -> None:
    # Root may write to any other folder.
    shell.environment["CMAUTH_STATE_DIR"] = "/proc/none"
    assert "CMAUTH_STATE_DIR" in examine(shell, 5)["store"][1]


def test_a_certificate_cannot_forge_a_line(shell: Shell, tmp_path: Path) -> None:
    name = 'x"\nok      API key: fine\x1b[31m\u202eevil'
    forging = Server(tmp_path, ca=trustme.CA(organization_name=name))
    with forging(shell, trusted=False):
        out, _ = shell.run("doctor", exit_code=5)
    assert not any(c in out for c in "\x1b\u202e")
    assert out.count("API key") == 3, "in the settings, in the forged name, and in its own line"
    assert "\nok      API key" not in out


@pytest.mark.parametrize(
    "date", ["Thu, 01 Jan 2026 00:00:00 +99999999999999999999", "Thu, 01 Jan 20260000000000000000 00:00:00"]
)
def test_a_date_that_no_clock_has(shell: Shell, server: Server, date: str) -> None:
    server.date = date
    with server(shell):
        assert examine(shell)["clock"][0] == "SKIPPED"


@pytest.mark.parametrize("url", ["https://a..b", f"https://{'a' * 70}.example"])
def test_a_host_that_is_no_name(shell: Shell, url: str) -> None:
    shell.environment["CMAUTH_BASE_URL"] = url
    found = examine(shell, 5)
    assert "FIX" in (found["settings"][0], found.get("name", ("", ""))[0])


@contextlib.contextmanager
def talking(first: bytes, then: bytes = b"") -> Iterator[int]:
    """A server that sends `first` to each connection, and `then` again and again."""
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(first)
            while then and not stop.wait(0.2):
                connection.sendall(then)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("response", [b"GARBAGE\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 " + b"x" * 70_000])
def test_a_proxy_that_speaks_no_http(shell: Shell, response: bytes) -> None:
    del shell.environment["NO_PROXY"]
    with talking(response) as port:
        shell.environment["HTTPS_PROXY"] = f"http://127.0.0.1:{port}"
        assert examine(shell, 5)["connection"][0] == "FIX"


def test_a_server_that_never_ends_its_response(shell: Shell) -> None:
    with talking(b"", b"HTTP/1.1 100 Continue\r\n\r\n") as port:
        shell.environment["CMAUTH_BASE_URL"] = f"http://127.0.0.1:{port}"
        assert examine(shell, 4)["clock"][0] == "RETRY"


def test_no_lock_is_made_and_no_folder_is_a_device(shell: Shell) -> None:
    shell.log_in()
    (shell.folder / "default.session.lock").unlink()
    before = sorted(path.name for path in shell.folder.iterdir())
    assert examine(shell)["lock"][0] == "NONE"
    assert sorted(path.name for path in shell.folder.iterdir()) == before
    shell.environment["CMAUTH_STATE_DIR"] = "/dev/null"
    assert examine(shell, 5)["store"][0] == "FIX"


def test_a_key_log_that_cannot_be_written(shell: Shell) -> None:
    shell.environment["SSLKEYLOGFILE"] = "/nonexistent/file"
    advice, text = examine(shell, 5)["TLS"]
    assert advice == "FIX"
    assert "SSLKEYLOGFILE" in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_reported(shell: Shell) -> None:
    for command in ("doctor", "doctor --json", "--help"):
        full = shell.sh(f"$CMAUTH {command} >/dev/full")
        assert full.returncode == 5, command
        assert "No space left" in full.stderr
    assert shell.sh("$CMAUTH token 2>/dev/full").returncode == 3
