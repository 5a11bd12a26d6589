"""The servers of the benchmark: an nginx with a fixed response, and a relay that delays each byte."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOKENS = (
    '{"access_token":"7c9e6679-7425-40de-944b-e07fc1f90ae7:10003","token_type":"bearer",'
    '"refresh_token":"0f8fad5b-d9cb-469f-a165-70867728950e:10003","expires_in":43199,"scope":"write"}'
)

CONFIGURATION = """
worker_processes 1;
daemon off;
error_log %(folder)s/error.log warn;
pid %(folder)s/pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
  ssl_certificate %(folder)s/server.pem; ssl_certificate_key %(folder)s/server.key;
  ssl_protocols TLSv1.3;
  keepalive_requests 100000000; keepalive_timeout 600s;
  %(servers)s
}
"""
SERVER = """
  server {
    listen 127.0.0.1:%(port)d ssl; %(settings)s
    location = /oauth/token {
      default_type "application/json;charset=UTF-8"; add_header Cache-Control no-store; add_header Pragma no-cache;
      return 200 '%(body)s';
    }
  }
"""
SETTINGS = {
    # The connection stays open.
    "warm": "",
    # Each call makes a new connection, without a TLS session ticket or with one.
    "cold": "keepalive_timeout 0; ssl_session_tickets off; ssl_session_cache off;",
    "resumed": "keepalive_timeout 0; ssl_session_tickets on;",
}


@dataclass
class Server:
    """A running nginx. It has one port for each of `SETTINGS`."""

    folder: Path
    ports: dict[str, int]
    pid: int = 0

    def url(self, kind: str) -> str:
        return f"https://localhost:{self.ports[kind]}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """Runs an nginx whose certificate comes from a private certificate authority."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _make_certificates(folder)
    server = Server(folder, {kind: _free_port() for kind in SETTINGS})
    listed = "".join(
        SERVER % {"port": server.ports[kind], "settings": settings, "body": TOKENS}
        for kind, settings in SETTINGS.items()
    )
    (folder / "nginx.conf").write_text(CONFIGURATION % {"folder": folder, "servers": listed}, encoding="utf-8")
    process = subprocess.Popen(["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        deadline = time.monotonic() + 20
        while not all(_accepts(port) for port in server.ports.values()):
            assert process.poll() is None
            assert time.monotonic() < deadline
        server.pid = process.pid
        yield server
    finally:
        process.terminate()
        process.wait()


def _make_certificates(folder: Path) -> None:
    new_key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority = ["-subj", "/CN=bench CA", "-keyout", "ca.key", "-out", "ca.pem"]
    server = [
        *["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        *["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"],
        *["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.pem"],
    ]
    for options in (authority, server):
        subprocess.run(["openssl", *new_key, *options], cwd=folder, capture_output=True, check=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def delayed(port: int, one_way: float) -> Iterator[int]:
    """Runs a relay to `port`, which delivers each byte `one_way` seconds later. Yields the port of the relay."""
    listener = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, target: socket.socket, ready: float) -> None:
        queue: list[tuple[float, bytes]] = []
        changed = threading.Condition()

        def deliver() -> None:
            while True:
                with changed:
                    changed.wait_for(lambda: bool(queue))
                    at, piece = queue.pop(0)
                time.sleep(max(0.0, at - time.monotonic()))
                with contextlib.suppress(OSError):
                    if not piece:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(piece)

        threading.Thread(target=deliver, daemon=True).start()
        while True:
            try:
                piece = source.recv(65536)
            except OSError:
                piece = b""
            with changed:
                queue.append((max(time.monotonic(), ready) + one_way, piece))
                changed.notify()
            if not piece:
                return

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The kernel completes the TCP handshake at once, so its round trip is added to the first bytes.
            accepted = time.monotonic() + 2 * one_way
            threading.Thread(target=carry, args=(near, far, accepted), daemon=True).start()
            threading.Thread(target=carry, args=(far, near, 0.0), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()
