"""Three machines share one user through Redis, over many short lifetimes and faults.

Each has 2 processes of 4 threads, for some 15 s; with CMAUTH_SOAK 4 of 16, for 10 minutes.
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
import urllib.request
from pathlib import Path

import cmauth
import redis
from conftest import RedisServer, build_sandbox

SOAK = "CMAUTH_SOAK" in os.environ
MACHINES = 3
PROCESSES, THREADS, SECONDS = (4, 16, 600) if SOAK else (2, 4, 15)
# A fresh token answers with a second less, and a part of a second is lost to rounding.
LIFETIME, COUNTED_ON = 5, 3


def client(url: str) -> cmauth.Client:
    key = ("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345")
    return cmauth.Client(*key, base_url=url, proxy="", max_retries=0, timeout=10)


def open_session(url: str, port: int) -> cmauth.Session:
    connection = redis.Redis(port=port, socket_timeout=5)
    return cmauth.Session(client(url), cmauth.RedisStore(connection, "proof"))


def ask(url: str, tokens: cmauth.Tokens) -> int | None:
    """The status of a request to the API, or none where it failed on the way."""
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
    """One process: its threads use one session, and it prints what they saw."""
    session = open_session(url, port)
    seen = {"good": 0, "repaired": 0, "lost": 0, "passing": 0, "failed": 0}
    guard = threading.Lock()
    until = time.monotonic() + seconds

    def count(what: str) -> None:
        with guard:
            seen[what] += 1

    def camera() -> None:
        while time.monotonic() < until:
            try:
                tokens = session.tokens()
                status = ask(url, tokens)
                if status == 401:
                    status = ask(url, session.rejected(tokens))
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
    print(json.dumps(seen))


def set_faults(url: str, *faults: str) -> None:
    body = json.dumps([{"fault": fault, "times": None} for fault in faults]).encode()
    request = urllib.request.Request(f"{url}/sandbox/faults", data=body, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
        pass


def test_three_machines_share_one_user(
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    program = os.environ.get("CMAUTH_SANDBOX") or build_sandbox()
    # Faults are set where no fault is.
    control_out = tmp_path / "control"
    command = [program, "--port", "0", "--until-eof", "--access-token-lifetime", str(LIFETIME)]
    command += ["--control-port", "0", "--control-out", str(control_out)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        control = control_out.read_text().strip()
        threading.Thread(target=server.stdout.read, daemon=True).start()
        login = client(url).begin_login("https://example.com")
        user = [program, "user", login.url]
        redirected = subprocess.run(user, capture_output=True, text=True, check=True).stdout.strip()
        session = open_session(url, redis_server.port)
        session.start(login.finish(redirected))
        first = session.health().generation

        begun = time.monotonic()
        worker = [sys.executable, __file__, url, str(redis_server.port), str(SECONDS)]
        workers = [
            subprocess.Popen(worker, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
            for _ in range(MACHINES * PROCESSES)
        ]
        faulty = 0
        while time.monotonic() < begun + SECONDS:
            time.sleep(0.7)
            set_faults(control, ["status-503", "close", "html-502"][faulty % 3])
            time.sleep(0.2)
            set_faults(control)
            faulty += 1
        seen: dict[str, int] = {}
        for one in workers:
            out, _ = one.communicate(timeout=60)
            assert one.returncode == 0
            for what, number in json.loads(out).items():
                seen[what] = seen.get(what, 0) + number
        took = time.monotonic() - begun

        session = open_session(url, redis_server.port)
        granted = session.health().generation - first
        most = took / (0.75 * COUNTED_ON) + 1
        print(
            f"\n{granted} refreshes in {took:.1f} s ({most:.0f} at most), {faulty} faulty: {seen}"
        )
        assert took / LIFETIME / 2 <= granted <= most
        assert (seen["failed"], seen["lost"]) == (0, 0), seen
        assert seen["good"] > 200
        assert seen["repaired"] <= granted * MACHINES * PROCESSES * THREADS
        assert session.tokens(), "the login is there"
        server.stdin.close()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
