"""`cmauth.Sessions`: the sessions of many users, and the web applications of docs/python."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import cmauth
import httpx
import pytest
from cmauth.testing import CLIENT_ID, CLIENT_SECRET, Sandbox
from conftest import WORKSPACE, Fake, RedisServer, tokens_response
from redis import Redis
from sessions import OwnStore, some_tokens

DOCS = WORKSPACE / "docs/python"


class Stores:
    """A factory that counts its calls."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.stores: dict[str, OwnStore] = {}

    def __call__(self, user: str) -> OwnStore:
        self.made.append(user)
        return self.stores.setdefault(user, OwnStore())


def test_a_user_has_one_session_however_many_ask_for_it(fake: Fake) -> None:
    stores = Stores()
    sessions = cmauth.Sessions(fake.client(), stores)
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda i: sessions.get(f"user{i % 4}"), range(400)))
    assert len({id(session) for session in got}) == 4
    assert set(stores.made) == {"user0", "user1", "user2", "user3"}

    async def run() -> None:
        asked = [await sessions.get_async("user4") for _ in range(3)]
        await asked[0].start(some_tokens())
        assert asked[1].health().logged_in

    for backend in ("asyncio", "trio"):
        anyio.run(run, backend=backend)
    assert stores.made.count("user4") == 1


def test_a_store_that_does_not_answer_holds_up_few_others(fake: Fake) -> None:
    answer = threading.Event()

    def store(user: str) -> cmauth.MemoryStore:
        if user == "stuck":
            answer.wait(60)
        return cmauth.MemoryStore()

    sessions = cmauth.Sessions(fake.client(), store)

    async def run() -> None:
        opened = 0

        async def open_one(user: str) -> None:
            nonlocal opened
            await sessions.get_async(user)
            opened += 1

        async with anyio.create_task_group() as group:
            group.start_soon(open_one, "stuck")
            await anyio.sleep(0)
            for i in range(100):
                group.start_soon(open_one, f"user{i}")
            with anyio.fail_after(30):
                while opened < 80:
                    await anyio.sleep(0.001)
            answer.set()
        assert opened == 101

    try:
        anyio.run(run)
    finally:
        answer.set()


def test_a_factory_a_signal_handler_and_a_finalizer_can_ask_for_sessions(fake: Fake) -> None:
    meet = threading.Barrier(2)

    def store(user: str) -> cmauth.MemoryStore:
        other = {"a": "b", "b": "a"}.get(user)
        if other:
            with contextlib.suppress(threading.BrokenBarrierError):
                meet.wait(1)
            if not asked.get(user):
                asked[user] = True
                sessions.get(other)
        return cmauth.MemoryStore()

    asked: dict[str, bool] = {}
    sessions = cmauth.Sessions(fake.client(), store, max_idle=10)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(sessions.get, "ab", timeout=30)
    assert one is sessions.get("a")
    assert other is sessions.get("b")

    class Finalized:
        def __del__(self) -> None:
            sessions.get("finalizer")

    def handler(*_: object) -> None:
        if sys._getframe(1).f_code is not handler.__code__:
            sessions.get("handler")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    try:
        for i in range(20_000):
            cycle = Finalized()
            cycle.itself = cycle  # type: ignore[attr-defined]
            del cycle
            sessions.get(str(i % 50))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_relative_folder_counts_from_where_the_sessions_were_made(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sessions").mkdir()
    monkeypatch.chdir(tmp_path)
    sessions = cmauth.Sessions.in_folder(fake.client(), "sessions", max_idle=0)
    sessions.get("7").start(some_tokens())
    monkeypatch.chdir("/")
    assert sessions.get("7").health().logged_in


@pytest.mark.parametrize("value", [2592000.0, 1.5, float("nan"), True, "60"])
def test_an_expiry_that_is_no_whole_number_of_seconds_is_a_mistake(fake: Fake, value: Any) -> None:
    with pytest.raises(TypeError, match="expire"):
        cmauth.Sessions.in_redis(fake.client(), Redis(), "prefix", expire=value).get("7")
    with pytest.raises(TypeError, match="max_idle"):
        cmauth.Sessions(fake.client(), lambda _: cmauth.MemoryStore(), max_idle=value)
    with pytest.raises(ValueError, match="expire"):
        cmauth.RedisStore(Redis(), "key", expire=10**20)
    with pytest.raises(ValueError, match="max_idle"):
        cmauth.Sessions(fake.client(), lambda _: cmauth.MemoryStore(), max_idle=-1)


def test_two_browsers_of_a_user_share_the_refreshes(fake: Fake) -> None:
    count = 0

    def respond() -> Any:
        nonlocal count
        count += 1
        return tokens_response(access_token=f"token-{count}")

    fake.respond = respond
    sessions = cmauth.Sessions(fake.client(), Stores())
    for _ in range(2):  # each browser logs in
        sessions.get("7").start(some_tokens())
    for _ in range(100):  # each page has a 401, because of the other installation of the user
        rejected = sessions.get("7").tokens()
        with ThreadPoolExecutor(2) as browsers:
            got = set(browsers.map(lambda _: refused(sessions, rejected), range(2)))  # noqa: B023
        assert got <= {None, cmauth.Status.TOKEN_REJECTED}
    assert count == 1, "the second refresh has to wait for the tokens to be old enough"


def refused(sessions: cmauth.Sessions, rejected: cmauth.Tokens) -> cmauth.Status | None:
    """The status of the error, if there are no other tokens yet."""
    try:
        sessions.get("7").rejected(rejected)
    except cmauth.RetryError as error:
        return error.status
    return None


def test_idle_sessions_are_closed_and_open_again_with_their_tokens(fake: Fake) -> None:
    stores = Stores()
    sessions = cmauth.Sessions(fake.client(), stores, max_idle=10)
    used = sessions.get("user0")
    used.start(some_tokens(access_token="zero"))
    seen = weakref.ref(sessions.get("user1"))
    sessions.get("user1").start(some_tokens(access_token="one"))
    for i in range(2, 1000):
        sessions.get(f"user{i}")
    gc.collect()
    assert repr(sessions).endswith("open=11)"), "ten that are idle, and one that is in use"
    assert seen() is None
    assert sessions.get("user0") is used
    assert sessions.get("user1").tokens().access_token == "one"
    assert stores.made.count("user0") == 1
    assert stores.made.count("user1") == 2


def test_a_store_that_fails_to_open_fails_for_its_user_only(fake: Fake) -> None:
    stores = Stores()
    sessions = cmauth.Sessions(fake.client(), stores)
    stores.stores["7"] = OwnStore()
    stores.stores["7"].fails = OSError("the database is away")
    for _ in range(3):
        with pytest.raises(cmauth.RetryError, match="the database is away"):
            sessions.get("7")
    sessions.get("8")
    stores.stores["7"].fails = None
    assert sessions.get("7") is sessions.get("7")


def test_bad_arguments_are_programming_errors(fake: Fake, tmp_path: Path) -> None:
    client = fake.client()
    with pytest.raises(TypeError, match="store_factory"):
        cmauth.Sessions(client, tmp_path)  # type: ignore[arg-type]
    sessions = cmauth.Sessions.in_folder(client, tmp_path)
    with pytest.raises(TypeError, match=r"user: give a str, such as User\.id, not a int"):
        sessions.get(7)  # type: ignore[arg-type]
    for user, problem in (("", "empty"), ("\u00e4" * 100, "too long")):
        with pytest.raises(ValueError, match=problem):
            sessions.get(user)
    with pytest.raises(cmauth.FixError, match="its folder does not exist"):
        cmauth.Sessions.in_folder(client, tmp_path / "no").get("7")


def test_in_a_folder_each_user_has_a_file_whatever_the_key_is(fake: Fake, tmp_path: Path) -> None:
    users = ["7", "a", "A", "../a", "a/b", "a.b", ".", "..", "a.session.lock", "con", "\u00e4 b", "%41"]
    sessions = cmauth.Sessions.in_folder(fake.client(), tmp_path)
    for user in users:
        sessions.get(user).start(some_tokens(access_token=f"token of {user}".encode().hex()))
    files = {path.name for path in tmp_path.iterdir() if path.suffix == ".session"}
    assert len({name.lower() for name in files}) == len(users)
    assert "7.session" in files
    assert not list(tmp_path.parent.glob("*.session"))
    again = cmauth.Sessions.in_folder(fake.client(), str(tmp_path))
    for user in users:
        assert again.get(user).tokens().access_token == f"token of {user}".encode().hex()


def test_in_redis_each_user_has_a_key_that_can_expire_and_goes_after_the_logout(
    fake: Fake, redis_server: RedisServer
) -> None:
    redis = redis_server.client(decode_responses=True)
    sessions = cmauth.Sessions.in_redis(fake.client(), redis_server.client(), "cm", expire=1000)
    for user in ("7", "7:lock", "8"):
        sessions.get(user).start(some_tokens(access_token=f"of-{user}"))
    assert set(redis.keys()) == {"cm:7", "cm:7%3alock", "cm:8"}
    assert 990 < redis.ttl("cm:7") <= 1000
    redis.expire("cm:7", 5)
    fake.respond = lambda: tokens_response(access_token="new")
    sessions.get("7").rejected(sessions.get("7").tokens())
    assert 990 < redis.ttl("cm:7") <= 1000, "each refresh begins the time again"
    fake.responds(200, {})
    sessions.get("7").logout()
    assert redis.hget("cm:7", "record") == ""
    assert 0 < redis.ttl("cm:7") <= 60, "until then a machine that stalled cannot restore the login"
    # A new login before that does not expire early.
    for_ever = cmauth.Session(fake.client(), cmauth.RedisStore(redis_server.client(), "cm:7"))
    for_ever.start(some_tokens())
    assert redis.ttl("cm:7") == -1
    with pytest.raises(ValueError, match="expire"):
        cmauth.RedisStore(redis_server.client(), "x", expire=0)


def test_sessions_are_made_anew_in_a_forked_child(fake: Fake) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    sessions = cmauth.Sessions(fake.client(), Stores())
    sessions.get("7").start(some_tokens())
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with sessions._lock:
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    child = os.fork()
    if child == 0:
        os._exit(0 if sessions.get("7").tokens().access_token else 1)
    release.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sql_store_of_the_docs_keeps_its_contract(fake: Fake, tmp_path: Path) -> None:
    store = load("sql_store").SqlStore
    database = str(tmp_path / "sessions.db")
    sessions = cmauth.Sessions(fake.client(), lambda user: store(database, user))
    sessions.get("7").start(some_tokens(access_token="seven"))
    sessions.get("8").start(some_tokens(access_token="eight"))
    again = cmauth.Sessions(fake.client(), lambda user: store(database, user))
    assert again.get("7").tokens().access_token == "seven"
    one, two = store(database, "9"), store(database, "9")
    assert one.load() is None
    assert one.generation() == 0
    assert one.try_lock(60)
    assert not two.try_lock(60)
    one.save("record", 5)
    one.save("record", 5)  # the reply to the first one can be lost
    for late in (lambda: two.save("old", 4), lambda: two.save("other", 5), lambda: two.clear(5)):
        with pytest.raises(cmauth.StaleError):
            late()
    assert (two.load(), two.generation()) == ("record", 5)
    one.unlock()
    assert two.try_lock(-1), "this lock has expired"
    assert one.try_lock(60)
    two.unlock()
    assert not two.try_lock(60), "an expired lock releases nothing"
    one.clear(6)
    assert (two.load(), two.generation()) == (None, 6)
    fake.respond = lambda: tokens_response(access_token="new")
    with ThreadPoolExecutor(8) as threads:
        rejected = again.get("7").tokens()
        one_of = [cmauth.Sessions(fake.client(), lambda user: store(database, user)) for _ in range(4)]
        got = list(threads.map(lambda sessions: sessions.get("7").rejected(rejected).access_token, one_of))
    assert got == ["new"] * 4
    assert len(fake.requests) == 1


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "fastapi_app": lambda port: ["uvicorn", "fastapi_app:app", "--workers", "2", "--port", str(port)],
    "flask_app": lambda port: ["gunicorn", "flask_app:app", "--workers", "2", "--bind", f"127.0.0.1:{port}"],
}


@contextmanager
def web_application(name: str, sandbox: Sandbox, redis: RedisServer, log: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "PUBLIC_URL": url,
        "CMAUTH_BASE_URL": sandbox.url,
        "CMAUTH_CA_FILE": sandbox.ca_file,
        "CMAUTH_CLIENT_ID": CLIENT_ID,
        "CMAUTH_CLIENT_SECRET": CLIENT_SECRET,
        "REDIS_URL": f"redis://127.0.0.1:{redis.port}",
        "COOKIE_KEY": secrets.token_hex(32),
        "NO_PROXY": "*",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *COMMANDS[name](port)], cwd=DOCS, env=environment, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    httpx.get(url, trust_env=False)
                    break
                except httpx.TransportError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def log_in(browser: httpx.Client, url: str, sandbox: Sandbox, user: str) -> None:
    page = browser.get(f"{url}/login")
    assert page.is_redirect
    redirected = sandbox.visit(page.headers["location"], user)
    assert urlsplit(redirected).path == "/callback"
    done = browser.get(redirected)
    assert done.headers.get("location") == "/cameras", done.text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_web_application_of_the_docs_serves_many_browsers_with_two_workers(
    name: str, redis_server: RedisServer, tmp_path: Path, program: str
) -> None:
    options = ("--user", "ann:a", "--user", "bob:b")
    with (
        Sandbox(*options, program=program) as sandbox,
        web_application(name, sandbox, redis_server, log := tmp_path / "log") as url,
    ):

        def browser() -> httpx.Client:
            return httpx.Client(trust_env=False, timeout=60)

        with browser() as ann, browser() as ann_too, browser() as bob:
            assert ann.get(f"{url}/cameras").status_code == 401
            for one, user in ((ann, "ann:a"), (ann_too, "ann:a"), (bob, "bob:b")):
                log_in(one, url, sandbox, user)
            redis = redis_server.client(decode_responses=True)
            assert len(redis.keys("cameramanager:*")) == 2, "one session for each user"

            def pages(one: httpx.Client) -> list[int]:
                return [one.get(f"{url}/cameras").status_code for _ in range(40)]

            def refreshes() -> int:
                return sum("grant_type=refresh_token" in each["target"] for each in sandbox.requests())

            # The access tokens have expired, which the workers notice by a 401.
            sandbox.advance(43200)
            with ThreadPoolExecutor(3) as threads:
                assert list(threads.map(pages, (ann, ann_too, bob))) == [[200] * 40] * 3, log.read_text()
            assert refreshes() == 2, "one for each user"

            assert ann.get(f"{url}/logout").status_code == 200
            # The login has ended for the other browser, too.
            assert ann_too.get(f"{url}/cameras").headers["location"] == "/login"
            assert bob.get(f"{url}/cameras").status_code == 200
            [cleared] = [key for key in redis.keys("cameramanager:*") if redis.ttl(key) <= 60]
            assert redis.hget(cleared, "record") == ""
            # No secret in a cookie.
            shown = f"{bob.cookies} {ann_too.cookies}"
            assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", shown)


def test_memory_is_bounded_with_many_users(fake: Fake) -> None:
    """The number of open sessions decides, and it is limited: `bench/many_users.py` measures bytes."""
    sessions = cmauth.Sessions(fake.client(), lambda _: cmauth.MemoryStore(), max_idle=50)
    for i in range(20_000):
        sessions.get(str(i))
    gc.collect()
    assert repr(sessions).endswith("open=50)")
    assert sum(isinstance(each, cmauth.Session) for each in gc.get_objects()) < 200
