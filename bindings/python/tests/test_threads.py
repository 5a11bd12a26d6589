"""Other threads run during a call. The tests do not measure time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cmauth
import pytest
from conftest import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    CODE,
    REFRESH_TOKEN,
    Fake,
    Response,
    tokens_response,
)

URI = "https://example.com"


@pytest.mark.parametrize("call", ["exchange_code", "refresh", "logout", "finish", "function"])
def test_two_threads_overlap_in_a_call(fake: Fake, call: str) -> None:
    # The server responds only after both requests have arrived. A call that held the GIL would
    # block the other one, and this server.
    both = threading.Barrier(2)

    def respond_when_both_are_here() -> Response:
        both.wait(timeout=10)
        return tokens_response()

    fake.respond = respond_when_both_are_here
    client = fake.client()

    def finish() -> object:
        login = client.begin_login(URI)
        return login.finish(f"?code={CODE}&state={login.url.partition('state=')[2]}")

    calls: dict[str, Callable[[], object]] = {
        "exchange_code": lambda: client.exchange_code(CODE, URI),
        "refresh": lambda: client.refresh(REFRESH_TOKEN),
        "logout": lambda: client.logout(ACCESS_TOKEN),
        "finish": finish,
        "function": lambda: cmauth.refresh("id", CLIENT_SECRET, REFRESH_TOKEN, base_url=fake.url, proxy=""),
    }
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(calls[call]) for _ in range(2)]:
            future.result()
    assert len(fake.requests) == 2


def test_a_call_in_progress_can_be_cancelled(fake: Fake) -> None:
    arrived, cancelled = threading.Event(), threading.Event()

    def respond_too_late() -> Response:
        arrived.set()
        cancelled.wait(timeout=10)
        return tokens_response()

    fake.respond = respond_too_late
    client = fake.client()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.refresh, REFRESH_TOKEN)
        assert arrived.wait(timeout=10)
        client.cancel()
        with pytest.raises(cmauth.CancelledError) as caught:
            future.result()
    cancelled.set()
    assert caught.value.status is cmauth.Status.CANCELLED
    with pytest.raises(cmauth.CancelledError):
        client.refresh(REFRESH_TOKEN)


def test_other_threads_run_while_a_client_is_made(tmp_path: Path) -> None:
    # The CA file is a pipe. Another thread of the same interpreter writes it during the call.
    program = """
import os, sys, threading, cmauth
os.mkfifo(sys.argv[1])
threading.Thread(target=lambda: open(sys.argv[1], "w").close()).start()
try:
    cmauth.Client("id", "secret", ca_file=sys.argv[1])
except cmauth.FixError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "ca.pem")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert run.stdout.startswith("ca_file: "), run
