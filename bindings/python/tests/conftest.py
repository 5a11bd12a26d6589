"""The servers of the tests: `sandbox`, the whole stand-in with TLS, and `fake`, for one answer."""

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
from cmauth.testing import Sandbox

# Tests replace it in their module.
REDIS = redis.Redis

WORKSPACE = Path(__file__).parents[3]

# Secrets that no test may find where people look.
CLIENT_SECRET = "s3cret-of-the-key"
ACCESS_TOKEN = "aaaaaaaa-access:10003"
REFRESH_TOKEN = "bbbbbbbb-refresh:10003"
CODE = "c0deAbCdEf"


@pytest.fixture(scope="session", autouse=True)
def program() -> str:
    """The stand-in server's program, for all who start it."""
    return os.environ.setdefault(
        "CMAUTH_SANDBOX", os.environ.get("CMAUTH_SANDBOX") or build_sandbox()
    )


@pytest.fixture(scope="session")
def sandbox(program: str) -> Iterator[Sandbox]:
    """One for all tests that need none of their own."""
    with Sandbox(program=program) as sandbox:
        yield sandbox


def build_sandbox() -> str:
    command = ["cargo", "build", "-p", "cmauth-sandbox", "--message-format=json"]
    build = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, text=True, check=True)
    messages = map(json.loads, build.stdout.splitlines())
    [program] = [m["executable"] for m in messages if m.get("executable")]
    return str(program)


@dataclass
class Answer:
    status: int = 200
    body: object = None
    headers: tuple[tuple[str, str], ...] = ()


def tokens_answer(**changes: object) -> Answer:
    body = {
        "access_token": ACCESS_TOKEN,
        "token_type": "bearer",
        "refresh_token": REFRESH_TOKEN,
        "expires_in": 43199,
        "scope": "write",
    }
    return Answer(200, {**body, **changes})


class Fake:
    """A server on this machine that gives the answers it is told."""

    def __init__(self) -> None:
        self.answer: Callable[[], Answer] = tokens_answer
        self.requests: list[tuple[str, dict[str, str], str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length).decode()
                line = f"{self.command} {self.path}"
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.requests.append((line, headers, body))
                answer = fake.answer()
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                # A caller that was cancelled does not listen any more.
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(text.encode())

            do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answers(self, status: int, body: object = None, **headers: str) -> None:
        pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        self.answer = lambda: Answer(status, body, pairs)

    def client(self, **options: Any) -> cmauth.Client:  # noqa: ANN401
        options = {"base_url": self.url, "proxy": "", "max_retries": 0, "timeout": 10, **options}
        return cmauth.Client("test.key", CLIENT_SECRET, **options)


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


class RedisServer:
    """A real Redis on a free port, which ends with the test."""

    def __init__(self, program: str, folder: Path) -> None:
        self.command = [program, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self.command += ["--bind", "127.0.0.1", "--dir", str(folder)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*self.command, "--port", str(self.port)], stdout=subprocess.DEVNULL
        )
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

    def client(self, **options: Any) -> redis.Redis:  # noqa: ANN401
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
