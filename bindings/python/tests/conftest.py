"""The servers of the tests: `sandbox`, and `fake`, whose responses a test sets."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cmauth
import pytest
import redis
from cmauth.testing import CLIENT_ID as SANDBOX_ID
from cmauth.testing import CLIENT_SECRET as SANDBOX_SECRET
from cmauth.testing import Sandbox
from shell import Shell

# The real class: a test of the tutorial replaces `redis.Redis`.
REDIS = redis.Redis

WORKSPACE = Path(__file__).parents[3]

# Secrets, which must not occur in output, logs or errors.
CLIENT_SECRET = "s3cret-of-the-key"
ACCESS_TOKEN = "aaaaaaaa-access:10003"
REFRESH_TOKEN = "bbbbbbbb-refresh:10003"
CODE = "c0deAbCdEf"


@pytest.fixture(scope="session", autouse=True)
def program() -> str:
    """The program of the sandbox."""
    return os.environ.setdefault("CMAUTH_SANDBOX", os.environ.get("CMAUTH_SANDBOX") or build_sandbox())


@pytest.fixture(scope="session")
def sandbox(program: str) -> Iterator[Sandbox]:
    """A sandbox for all tests that can share one."""
    with Sandbox(program=program) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> cmauth.Client:
    """A client of the shared sandbox."""
    return sandbox.client()


def build_sandbox() -> str:
    command = ["cargo", "build", "-p", "cmauth-sandbox", "--message-format=json"]
    build = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, build.stdout.splitlines())
    [program] = [m["executable"] for m in messages if m.get("executable")]
    return str(program)


@pytest.fixture
def shell(cmauth_sandbox: Sandbox, tmp_path: Path) -> Shell:
    """The command `cmauth`, with the settings of a sandbox."""
    environment = {
        # A browser that does nothing, because the test is the browser.
        "BROWSER": "true %s",
        "CMAUTH_BASE_URL": cmauth_sandbox.url,
        "CMAUTH_CA_FILE": cmauth_sandbox.ca_file,
        "CMAUTH_CLIENT_ID": SANDBOX_ID,
        "CMAUTH_CLIENT_SECRET": SANDBOX_SECRET,
        "CMAUTH_STATE_DIR": str(tmp_path / "state"),
        "HOME": str(tmp_path),
        "NO_PROXY": "localhost",
        "PATH": os.environ["PATH"],
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    return Shell(cmauth_sandbox, environment)


@dataclass
class Response:
    status: int = 200
    body: object = None
    headers: tuple[tuple[str, str], ...] = ()


def tokens_response(**changes: object) -> Response:
    body = {
        "access_token": ACCESS_TOKEN,
        "token_type": "bearer",
        "refresh_token": REFRESH_TOKEN,
        "expires_in": 43199,
        "scope": "write",
    }
    return Response(200, {**body, **changes})


class Fake:
    """A server on this machine. The test sets its responses."""

    def __init__(self) -> None:
        self.respond: Callable[[], Response] = tokens_response
        self.requests: list[tuple[str, dict[str, str], str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                received = self.read_body().decode()
                line = f"{self.command} {self.path}"
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.requests.append((line, headers, received))
                response = fake.respond()
                text = response.body if isinstance(response.body, str) else json.dumps(response.body)
                self.send_response(response.status)
                for name, value in response.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                # A cancelled caller has closed the connection.
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(text.encode())

            def read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def responds(self, status: int, body: object = None, **headers: str) -> None:
        pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        self.respond = lambda: Response(status, body, pairs)

    def client(self, **options: Any) -> cmauth.Client:
        options = {"base_url": self.url, "proxy": "", "max_retries": 0, "timeout": 10, **options}
        return cmauth.Client("test.key", CLIENT_SECRET, **options)


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


class RedisServer:
    """A Redis server on a free port, which ends with the test."""

    def __init__(self, program: str, folder: Path) -> None:
        self.command = [program, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self.command += ["--bind", "127.0.0.1", "--dir", str(folder)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([*self.command, "--port", str(self.port)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client().ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                assert self.process.poll() is None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self, **options: Any) -> redis.Redis:
        return REDIS(port=self.port, socket_timeout=5, **options)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        assert "CI" not in os.environ, "CI must have redis-server: see scripts/setup-ci"
        pytest.skip("redis-server is not installed: make setup-ci")
    server = RedisServer(program, tmp_path)
    yield server
    server.stop()
