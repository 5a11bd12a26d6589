"""Sessions and clients for event loops: of asyncio and of trio."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import cmauth
import httpx
import pytest
import trio
from cmauth.testing import Sandbox
from conftest import Fake, Response, tokens_response
from sessions import OwnStore, some_tokens

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Gate:
    """A server whose responses wait until the test opens the gate."""

    def __init__(self, fake: Fake) -> None:
        self.asked = threading.Event()
        self.opened = threading.Event()
        fake.respond = self.respond

    def respond(self) -> Response:
        self.asked.set()
        assert self.opened.wait(20)
        return tokens_response(access_token="fresh")


@pytest.fixture
def gate(fake: Fake) -> Iterator[Gate]:
    gate = Gate(fake)
    yield gate
    gate.opened.set()


def expired(fake: Fake, store: Any = None) -> cmauth.Session:
    session = cmauth.Session(fake.client(), store or cmauth.MemoryStore())
    session.start(some_tokens(-10))
    return session


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.001)


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("cmauth-")]


@BACKENDS
@pytest.mark.parametrize("own_store", [False, True])
def test_many_tasks_share_one_refresh_and_one_thread(fake: Fake, gate: Gate, backend: str, own_store: bool) -> None:
    session = expired(fake, OwnStore() if own_store else None)

    async def run() -> None:
        results: list[str] = []

        async def use() -> None:
            # Each task has its own object, as each request of a web application has.
            results.append((await cmauth.AsyncSession(session).tokens()).access_token)

        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(use)
            await until(gate.asked.is_set)
            # The methods of a store that is written in Python have a thread of their own: see `call_on_store_thread`.
            assert len(own_threads()) == 1 + own_store
            # The executor of the loop is free for the program.
            assert await anyio.to_thread.run_sync(lambda: "free") == "free"
            gate.opened.set()
        assert results == ["fresh"] * 200

    anyio.run(run, backend=backend)
    assert len(fake.requests) == 1


@BACKENDS
def test_a_cancelled_task_leaves_at_once_and_the_tokens_are_saved(fake: Fake, gate: Gate, backend: str) -> None:
    session = expired(fake, OwnStore())

    async def run() -> None:
        with anyio.move_on_after(0.05) as scope:
            await cmauth.AsyncSession(session).tokens()
        assert scope.cancelled_caught
        assert not gate.opened.is_set()
        gate.opened.set()
        await until(lambda: session.tokens_at_hand() is not None)

    anyio.run(run, backend=backend)
    assert session.tokens().access_token == "fresh"
    assert len(fake.requests) == 1


@BACKENDS
def test_the_end_of_the_loop_waits_for_no_call(fake: Fake, gate: Gate, backend: str) -> None:
    session = expired(fake, OwnStore())

    async def run() -> None:
        with anyio.move_on_after(0.05):
            await cmauth.AsyncSession(session).tokens()

    anyio.run(run, backend=backend)
    # The server has not answered yet.
    assert own_threads()
    gate.opened.set()
    for thread in own_threads():
        thread.join(20)
    assert session.tokens().access_token == "fresh"


@BACKENDS
def test_every_task_gets_the_error_of_a_shared_call(fake: Fake, backend: str) -> None:
    session = expired(fake)
    fake.responds(400, {"error": "invalid_grant"})

    async def run() -> None:
        errors: list[cmauth.LoginError] = []

        async def use() -> None:
            with pytest.raises(cmauth.LoginError) as caught:
                await cmauth.AsyncSession(session).tokens()
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(use)
        assert len({id(error) for error in errors}) == 20, "raising one changes no other"
        assert {error.status for error in errors} == {cmauth.Status.LOGIN_REQUIRED}

    anyio.run(run, backend=backend)
    assert len(fake.requests) == 1


@BACKENDS
def test_httpx_works_on_each_event_loop(fake: Fake, backend: str) -> None:
    good = "good"

    def respond() -> Response:
        line, headers, _ = fake.requests[-1]
        if "/oauth/token" in line:
            return tokens_response(access_token=good)
        return Response(200 if headers.get("authorization") == f"Bearer {good}" else 401, {})

    fake.respond = respond
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens())

    async def run() -> None:
        async with httpx.AsyncClient(auth=cmauth.HttpxAuth(session), trust_env=False) as http:

            async def get() -> None:
                assert (await http.get(f"{fake.url}/cameras")).status_code == 200

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(get)

    anyio.run(run, backend=backend)
    assert sum("/oauth/token" in line for line, _, _ in fake.requests) == 1


@BACKENDS
def test_all_calls_of_a_session_can_be_awaited(fake: Fake, backend: str) -> None:
    async def run() -> None:
        session = cmauth.AsyncSession(cmauth.Session(fake.client(), OwnStore()))
        await session.start(some_tokens())
        tokens = await session.tokens(min_validity=10)
        assert await session.tokens() == tokens
        assert await session.hold(time.time() + 100) == tokens
        assert session.health().held_until
        signed = await session.sign_url("https://media.example/x", allow=["https://media.example"])
        assert signed.url.startswith("https://media.example/x?access_token=")
        fake.respond = lambda: tokens_response(access_token="other")
        assert (await session.rejected(tokens)).access_token == "other"
        assert (await session.rejected(tokens.access_token)).access_token == "other"
        fake.responds(200, {})
        assert await session.logout()
        await session.forget()
        assert not session.health().logged_in

    anyio.run(run, backend=backend)


@BACKENDS
def test_a_client_logs_in_refreshes_and_logs_out(sandbox: Sandbox, backend: str) -> None:
    async def run() -> None:
        client = cmauth.AsyncClient(sandbox.client())
        tokens = await client.login(show=lambda url: httpx.get(sandbox.visit(url), trust_env=False))
        user = await client.user(tokens)
        assert user.id
        assert tokens.refresh_token
        tokens = await client.refresh(tokens.refresh_token)
        await client.logout(tokens.access_token)
        login = client.begin_login("https://example.com")
        again = client.login_from_json(login.to_json())
        assert (await again.finish(sandbox.visit(again.url))).access_token
        with pytest.raises(cmauth.LoginError):
            await client.exchange_code("NoCode", "https://example.com")
        client.cancel()
        with pytest.raises(cmauth.CancelledError):
            await client.refresh("r")

    anyio.run(run, backend=backend)


@BACKENDS
def test_the_loop_runs_on_during_a_login_and_a_cancelled_one_closes_its_port(sandbox: Sandbox, backend: str) -> None:
    urls: list[str] = []

    async def run() -> None:
        client = cmauth.AsyncClient(sandbox.client())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.login(show=urls.append))
            await until(lambda: bool(urls))
            tasks.cancel_scope.cancel()
        port = int(httpx.URL(httpx.URL(urls[0]).params["redirect_uri"]).port or 0)

        async def closed() -> bool:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", port)
            except OSError:
                return True
            await stream.aclose()
            return False

        with anyio.fail_after(5):
            while not await closed():
                await anyio.sleep(0.01)

    anyio.run(run, backend=backend)


@BACKENDS
def test_a_cancelled_call_of_a_client_ends(fake: Fake, gate: Gate, backend: str) -> None:
    async def run() -> None:
        with anyio.move_on_after(0.05) as scope:
            await cmauth.AsyncClient(fake.client()).refresh("r")
        assert scope.cancelled_caught
        await until(lambda: not own_threads())

    anyio.run(run, backend=backend)
    assert not gate.opened.is_set()


def test_an_exception_that_is_no_exception_reaches_the_task(fake: Fake) -> None:
    class Stop(BaseException):
        pass

    class Store(OwnStore):
        def load(self) -> str | None:
            if threading.current_thread() is not threading.main_thread():
                raise Stop
            return super().load()

    session = expired(fake, Store())

    async def run() -> None:
        with pytest.raises(Stop):
            await cmauth.AsyncSession(session).tokens()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_program_whose_tasks_wait_for_the_server(fake: Fake, gate: Gate) -> None:
    program = f"""
        import asyncio, cmauth
        client = cmauth.Client("id", "secret", base_url={fake.url!r}, proxy="", timeout=60)

        async def main():
            session = cmauth.Session(client, cmauth.MemoryStore())
            tokens = cmauth.Tokens.from_json('{{"access_token":"a","refresh_token":"r","expires_at":1}}')
            await cmauth.AsyncSession(session).start(tokens)
            await asyncio.gather(
                *(cmauth.AsyncSession(session).tokens() for _ in range(60)),
                cmauth.AsyncClient(client).refresh("r"),
            )

        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert gate.asked.wait(20)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        took = time.monotonic() - begun
    assert "KeyboardInterrupt" in errors
    assert process.returncode in (130, -signal.SIGINT), errors
    # Far from the timeout of the client; a busy machine needs its time.
    assert took < 10, errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_has_a_worker_of_its_own(fake: Fake, gate: Gate) -> None:
    session = expired(fake, OwnStore())

    async def leave() -> None:
        with anyio.move_on_after(0.05):
            await cmauth.AsyncSession(session).tokens()

    anyio.run(leave)
    child = os.fork()
    if child == 0:
        # The lock of the store is the parent's, so only what needs no store is asked here.
        async def run() -> None:
            await session._worker.run("k", lambda: None)

        try:
            anyio.run(run)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    gate.opened.set()


def test_both_loops_can_run_in_one_program(fake: Fake) -> None:
    """Trio as a guest of asyncio."""
    session = expired(fake)

    async def inner() -> str:
        return (await cmauth.AsyncSession(session).tokens()).access_token

    async def outer() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            inner, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        result: str = (await done).unwrap()
        session.start(some_tokens(-10))
        other: Awaitable[cmauth.Tokens] = cmauth.AsyncSession(session).tokens()
        assert (await other).access_token == result
        return result

    assert asyncio.run(outer()) == tokens_response().body["access_token"]  # type: ignore[index]


# A store that polls a database that is down: in small steps, or in one.
BUSY = """
import asyncio, sys, time
import cmauth

class Store:
    opened = False

    def load(self):
        if self.opened:
            end = time.time() + 60
            while time.time() < end:
                time.sleep({step})
        self.opened = True

    def save(self, record, generation): pass
    def clear(self, generation): pass
    def try_lock(self, hold): return True
    def unlock(self): pass

client = cmauth.Client("key", "secret", base_url="https://own.example", proxy="")

async def main():
    sessions = [cmauth.AsyncSession(cmauth.Session(client, Store())) for _ in range(20)]
    waiting = [asyncio.ensure_future(session.tokens()) for session in sessions]
    await asyncio.wait(waiting, timeout=0.2)
    print("gave up", flush=True)
    for each in waiting:
        each.cancel()

asyncio.run(main())
"""


@pytest.mark.parametrize("step", [0.002, 1.1, 30])
def test_the_end_of_the_program_does_not_wait_for_stores_and_is_no_crash(step: float) -> None:
    began = time.monotonic()
    program = BUSY.replace("{step}", str(step))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "gave up\n", "")
    # One second for all threads, and the start of Python.
    assert time.monotonic() - began < 15


@BACKENDS
def test_all_calls_of_a_store_are_on_one_thread_with_their_time_and_their_context(fake: Fake, backend: str) -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    seen: list[tuple[str, int, bool, str]] = []

    class Watched(OwnStore):
        def load(self) -> str | None:
            return self.see("load", super().load())

        def try_lock(self, hold: float, /) -> bool:
            return self.see("try_lock", super().try_lock(hold))

        def unlock(self) -> None:
            self.see("unlock", super().unlock())

        def see(self, name: str, result: Any) -> Any:
            seen.append((name, threading.get_ident(), cmauth.store_time_left() is not None, request.get()))
            return result

    session = expired(fake, Watched())
    seen.clear()

    async def run() -> None:
        request.set("7")
        await cmauth.AsyncSession(session).tokens()

    anyio.run(run, backend=backend)
    assert {name for name, *_ in seen} == {"load", "try_lock", "unlock"}
    assert len({thread for _, thread, *_ in seen}) == 1
    assert threading.get_ident() not in {thread for _, thread, *_ in seen}
    assert {(has_time, context) for *_, has_time, context in seen} == {(True, "7")}
