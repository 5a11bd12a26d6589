"""Three machines share one user through Redis, over many short lifetimes of tokens and many faults.

Each machine has 2 processes of 4 threads, for about 15 s. With CMAUTH_SOAK it has 4 processes of 16
threads, for 10 minutes.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import cmauth
import redis
from cmauth._sandbox_process import CLIENT_ID, CLIENT_SECRET, SandboxProcess
from conftest import RedisServer

SOAK = "CMAUTH_SOAK" in os.environ
MACHINES = 3
PROCESSES, THREADS, SECONDS = (4, 16, 600) if SOAK else (2, 4, 15)
LIFETIME = 5
# The seconds that a session counts on: the server tells a second less, and rounding loses another.
COUNTED_ON = 3


def client(url: str) -> cmauth.Client:
    return cmauth.Client(CLIENT_ID, CLIENT_SECRET, base_url=url, proxy="", max_retries=0, timeout=10)


def open_session(url: str, port: int) -> cmauth.Session:
    connection = redis.Redis(port=port, socket_timeout=5)
    return cmauth.Session(client(url), cmauth.RedisStore(connection, "machines"))


def call_api(url: str, tokens: cmauth.Tokens) -> int | None:
    """The status of a request to the API, or `None` after a failure of the connection."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=5)
    try:
        headers = {"Authorization": f"Bearer {tokens.access_token}", "Accept": "application/json"}
        connection.request("GET", "/rest/v2.0/users/self", headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def work(url: str, port: int, seconds: float) -> None:
    """One process: its threads share a session. It prints how often each result occurred.

    good: the API accepted the token at once.
    repaired: the API rejected the token and accepted the next one.
    lost: the API rejected both.
    passing: a failure that the next try can repair.
    failed: any other failure.
    """
    session = open_session(url, port)
    counts = {"good": 0, "repaired": 0, "lost": 0, "passing": 0, "failed": 0}
    lock = threading.Lock()
    until = time.monotonic() + seconds

    def count(result: str) -> None:
        with lock:
            counts[result] += 1

    def camera() -> None:
        while time.monotonic() < until:
            try:
                tokens = session.tokens()
                status = call_api(url, tokens)
                if status == 401:
                    status = call_api(url, session.rejected(tokens))
                    count({200: "repaired", 401: "lost"}.get(status or 0, "passing"))
                else:
                    count("good" if status == 200 else "passing")
            except cmauth.RetryError:
                count("passing")
            except cmauth.Error as error:
                print(repr(error), file=sys.stderr)
                count("failed")
            time.sleep(0.05)

    threads = [threading.Thread(target=camera) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


def test_three_machines_share_one_user(program: str, redis_server: RedisServer) -> None:
    # Without TLS, whose handshakes would be most of the work.
    options = ("--access-token-lifetime", str(LIFETIME))
    with SandboxProcess(program, *options, tls=False) as sandbox:
        login = client(sandbox.url).begin_login("https://example.com")
        session = open_session(sandbox.url, redis_server.port)
        session.start(login.finish(sandbox.visit(login.url)))
        first = session.health().generation

        begun = time.monotonic()
        worker = [sys.executable, __file__, sandbox.url, str(redis_server.port), str(SECONDS)]
        workers = [
            subprocess.Popen(worker, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
            for _ in range(MACHINES * PROCESSES)
        ]
        faulty = 0
        while time.monotonic() < begun + SECONDS:
            time.sleep(0.7)
            fault = ["status-503", "close", "html-502"][faulty % 3]
            sandbox.control("POST", "faults", [{"fault": fault, "times": None}])
            time.sleep(0.2)
            sandbox.control("DELETE", "faults")
            faulty += 1
        counts: dict[str, int] = {}
        for process in workers:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            for result, number in json.loads(out).items():
                counts[result] = counts.get(result, 0) + number
        took = time.monotonic() - begun

        session = open_session(sandbox.url, redis_server.port)
        granted = session.health().generation - first
        most = took / (0.75 * COUNTED_ON) + 1
        print(f"\n{granted} refreshes in {took:.1f} s ({most:.0f} at most), {faulty} faults: {counts}")
        assert took / LIFETIME / 2 <= granted <= most
        assert (counts["failed"], counts["lost"]) == (0, 0), counts
        assert counts["good"] > 200
        assert counts["repaired"] <= granted * MACHINES * PROCESSES * THREADS
        assert session.tokens(), "the user is still logged in"


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
