"""Sessions: valid tokens for every thread, in every store, for `requests`, `httpx` and asyncio."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cmauth
import httpx
import keyring
import keyring.backend
import pytest
import requests
from cmauth.testing import CLIENT_ID, CLIENT_SECRET
from conftest import (
    ACCESS_TOKEN,
    REFRESH_TOKEN,
    Answer,
    Fake,
    RedisServer,
    Sandbox,
    tokens_answer,
)

URI = "https://example.com"


@pytest.fixture
def client(sandbox: Sandbox) -> cmauth.Client:
    return cmauth.Client(
        "cameramanager.test",
        "qwertyuiopasdfghjklzxcvbnm12345",
        base_url=sandbox.url,
        ca_file=sandbox.ca_file,
        proxy="",
    )


def log_in(client: cmauth.Client, sandbox: Sandbox) -> cmauth.Tokens:
    login = client.begin_login(URI)
    return login.finish(sandbox.visit(login.url))


def some_tokens(expires_in: int = 1000, access_token: str = ACCESS_TOKEN) -> cmauth.Tokens:
    return cmauth.Tokens.from_json(
        f'{{"access_token":"{access_token}","refresh_token":"{REFRESH_TOKEN}",'
        f'"expires_at":{int(time.time()) + expires_in}}}'
    )


class OwnStore:
    """A store as somebody else would write it."""

    def __init__(self) -> None:
        self.record: str | None = None
        self.generation = 0
        self.lock = threading.Lock()
        self.fails: Exception | None = None

    def load(self) -> str | None:
        if self.fails:
            raise self.fails
        return self.record

    def save(self, record: str, generation: int, /) -> None:
        assert self.lock.locked()
        if self.fails:
            raise self.fails
        if generation <= self.generation:
            raise cmauth.StaleError
        self.record, self.generation = record, generation

    def clear(self, generation: int, /) -> None:
        assert self.lock.locked()
        self.record, self.generation = None, generation

    def try_lock(self, hold: float, /) -> bool:
        assert hold >= 10
        return self.lock.acquire(blocking=False)

    def unlock(self) -> None:
        self.lock.release()


class MemoryKeyring(keyring.backend.KeyringBackend):
    """The keyring of a machine that has none."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.passwords[service, username]


def the_story(client: cmauth.Client, sandbox: Sandbox, store: Any) -> None:  # noqa: ANN401
    session, other = cmauth.Session(client, store), cmauth.Session(client, store)
    with pytest.raises(cmauth.LoginError, match="nobody is logged in"):
        session.tokens()
    assert session.tokens_at_hand() is None
    assert not session.health().logged_in

    tokens = log_in(client, sandbox)
    session.start(tokens)
    changes: list[int] = []
    session.on_change(changes.append)
    assert session.tokens() == session.tokens_at_hand() == other.tokens() == tokens
    with ThreadPoolExecutor(8) as pool:
        fresh = list(pool.map(lambda i: [session, other][i % 2].rejected(tokens), range(8)))
    assert fresh[0] != tokens
    assert all(one == fresh[0] for one in fresh)
    health = session.health()
    assert (health.logged_in, health.saved, health.failures) == (True, True, 0)
    assert health.last_error is None
    assert health.next_refresh
    assert health.expires_at
    assert health.next_refresh < health.expires_at == fresh[0].expires_at
    assert changes == [health.generation]

    assert session.logout() is True
    assert session.logout() is False
    with pytest.raises(cmauth.LoginError):
        other.rejected(fresh[0])
    assert len(changes) == 2
    session.on_change(None)
    session.start(log_in(client, sandbox))
    session.forget()
    with pytest.raises(cmauth.LoginError):
        other.tokens()
    assert len(changes) == 2
    for secret in (tokens.access_token, fresh[0].access_token, str(tokens.refresh_token)):
        assert secret not in f"{session!r} {health!r} {store!r}"


def test_in_memory(client: cmauth.Client, sandbox: Sandbox) -> None:
    the_story(client, sandbox, cmauth.MemoryStore())


def test_in_a_file(client: cmauth.Client, sandbox: Sandbox, tmp_path: Path) -> None:
    the_story(client, sandbox, cmauth.FileStore(tmp_path / "session"))


def test_in_a_store_of_one_s_own(client: cmauth.Client, sandbox: Sandbox) -> None:
    the_story(client, sandbox, OwnStore())


@pytest.mark.parametrize("lock", [True, False])
def test_in_a_keyring(client: cmauth.Client, sandbox: Sandbox, tmp_path: Path, lock: bool) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    try:
        path = tmp_path / "lock" if lock else None
        the_story(client, sandbox, cmauth.KeyringStore("recorder", "cameramanager", path))
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}])
def test_in_redis(
    client: cmauth.Client, sandbox: Sandbox, redis_server: RedisServer, options: dict[str, bool]
) -> None:
    the_story(client, sandbox, cmauth.RedisStore(redis_server.client(**options), "session"))


def test_redis_restarts_with_the_session_or_without(fake: Fake, redis_server: RedisServer) -> None:
    session = cmauth.Session(fake.client(), cmauth.RedisStore(redis_server.client(), "session"))
    session.start(some_tokens())
    redis_server.stop()
    assert session.tokens().access_token == ACCESS_TOKEN, "what is at hand needs no store"
    with pytest.raises(cmauth.RetryError, match="ConnectionError") as caught:
        session.rejected(session.tokens())
    assert caught.value.status == cmauth.Status.STORE
    assert not fake.requests, "nothing is refreshed without the lock"
    redis_server.start()
    assert cmauth.Session(
        fake.client(), cmauth.RedisStore(redis_server.client(), "session")
    ).tokens()

    redis_server.client().flushall()
    with pytest.raises(cmauth.LoginError):
        session.rejected(session.tokens())


def test_a_lock_in_redis_whose_holder_died_expires(redis_server: RedisServer) -> None:
    dead = cmauth.RedisStore(redis_server.client(), "session")
    other = cmauth.RedisStore(redis_server.client(), "session")
    assert dead.try_lock(0.2)
    assert not other.try_lock(10)
    deadline = time.monotonic() + 10
    while not other.try_lock(10):
        assert time.monotonic() < deadline
    # It wakes up: what it gives back is not its own any more, what it saves is not newer.
    dead.unlock()
    assert not dead.try_lock(10)
    other.save("newer", 8)
    with pytest.raises(cmauth.StaleError):
        dead.save("older", 8)
    with pytest.raises(cmauth.StaleError):
        dead.clear(7)
    other.save("newer", 8)  # Once more, as after an answer that was lost.
    assert other.load() == "newer"
    other.clear(9)
    with pytest.raises(cmauth.StaleError):
        dead.save("older", 9)
    assert other.load() is None


def test_a_holder_that_was_overtaken_takes_the_newer_tokens(fake: Fake) -> None:
    store = OwnStore()
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens())
    old = session.tokens()

    def overtake() -> Answer:
        # While this one refreshes, another saves: as after a lock that expired.
        assert store.record
        theirs = some_tokens(access_token="theirs")
        store.record = store.record.replace(ACCESS_TOKEN, theirs.access_token)
        store.generation += 5
        store.record = store.record.replace(
            f'"generation":{store.generation - 5}', f'"generation":{store.generation}'
        )
        return tokens_answer(access_token="ours")

    fake.answer = overtake
    assert session.rejected(old).access_token == "theirs"


def test_what_a_store_raises_is_said_without_tokens(fake: Fake) -> None:
    store = OwnStore()
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens())
    store.fails = OSError(f"no room for {ACCESS_TOKEN}")
    with pytest.raises(cmauth.RetryError, match="OSError: no room for ") as caught:
        session.start(some_tokens())
    assert caught.value.status == cmauth.Status.STORE
    assert ACCESS_TOKEN not in str(caught.value)
    assert not store.lock.locked()


def test_an_early_failure_is_no_failure(fake: Fake) -> None:
    store = OwnStore()
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens())
    assert store.record
    refresh_at = store.record.partition('"refresh_at":')[2].partition(",")[0]
    store.record = store.record.replace(refresh_at, "1")
    session = cmauth.Session(fake.client(), store)
    fake.answers(503)
    assert session.tokens().access_token == ACCESS_TOKEN
    health = session.health()
    assert health.failures == 1
    assert isinstance(health.last_error, cmauth.RetryError)


def test_a_damaged_file_is_reported_and_given_up_by_forget(fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "session"
    session = cmauth.Session(fake.client(), cmauth.FileStore(path))
    path.write_text("{")
    path.chmod(0o600)
    for damaged in (session, cmauth.Session(fake.client(), cmauth.FileStore(path))):
        calls: list[Callable[[], object]] = [
            damaged.tokens,
            damaged.logout,
            functools.partial(damaged.start, some_tokens()),
            functools.partial(damaged.rejected, some_tokens()),
        ]
        for call in calls:
            with pytest.raises(cmauth.FixError, match=r"not JSON.*call forget") as caught:
                call()
            assert caught.value.status is cmauth.Status.STORE
    # Opened as it is, it says so without being asked for tokens.
    health = damaged.health()
    assert not health.logged_in
    assert isinstance(health.last_error, cmauth.FixError)
    assert path.read_text() == "{"
    damaged.forget()
    assert not path.exists()
    damaged.start(some_tokens())
    assert damaged.tokens().access_token == ACCESS_TOKEN
    assert not fake.requests


@pytest.mark.parametrize("differs", ["API key", "server"])
def test_a_login_of_another_key_or_server_is_not_sent_and_is_given_up_by_forget(
    cmauth_sandbox: Sandbox, fake: Fake, tmp_path: Path, differs: str
) -> None:
    store = cmauth.FileStore(tmp_path / "session")
    session = cmauth.Session(cmauth_sandbox.client(), store)
    tokens = cmauth_sandbox.log_in(cmauth_sandbox.client())
    # They have ended: whoever used them would send the refresh token.
    session.start(ended(tokens))
    before = len(cmauth_sandbox.requests())
    if differs == "API key":
        key = {"base_url": cmauth_sandbox.url, "ca_file": cmauth_sandbox.ca_file, "proxy": ""}
        stranger = cmauth.Session(cmauth.Client("another.key", "secret", **key), store)
        named, other = '"another.key"', "server"
    else:
        client = cmauth.Client(CLIENT_ID, CLIENT_SECRET, base_url=fake.url, proxy="")
        stranger = cmauth.Session(client, store)
        named, other = fake.url, "API key"
    calls: list[Callable[[], object]] = [
        stranger.tokens,
        stranger.logout,
        functools.partial(stranger.start, tokens),
        functools.partial(stranger.rejected, tokens),
    ]
    errors = []
    for call in calls:
        with pytest.raises(cmauth.FixError) as caught:
            call()
        errors.append(caught.value)
    health = stranger.health()
    assert not health.logged_in
    for error in (*errors, health.last_error):
        assert isinstance(error, cmauth.FixError)
        assert (error.status, error.request_sent) == (cmauth.Status.STORE, False)
        assert named in str(error)
        assert other not in str(error)
        assert str(tokens.refresh_token) not in str(error)
    assert len(cmauth_sandbox.requests()) == before
    assert not fake.requests

    assert session.tokens() != tokens, "its owner goes on"
    stranger.forget()
    assert not (tmp_path / "session").exists()
    stranger.start(some_tokens())
    assert stranger.tokens().access_token == ACCESS_TOKEN
    assert not fake.requests


def ended(tokens: cmauth.Tokens) -> cmauth.Tokens:
    """The same login with an access token that ended long ago."""
    return cmauth.Tokens.from_json(
        f'{{"access_token":"ended","refresh_token":"{tokens.refresh_token}","expires_at":1}}'
    )


def test_a_server_that_failed_is_left_alone_as_long_as_it_asked(fake: Fake) -> None:
    fake.answers(503, "busy", Retry_After="120")
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    old = some_tokens(-10)
    session.start(old)
    with ThreadPoolExecutor(4) as pool:
        for call in (lambda _: session.tokens(), lambda _: session.rejected(old)):
            for under_way in [pool.submit(call, None) for _ in range(50)]:
                with pytest.raises(cmauth.RetryError) as caught:
                    under_way.result()
                assert caught.value.status is cmauth.Status.SERVER
                assert caught.value.http_status == 503
                assert caught.value.retry_after
                assert 110 < caught.value.retry_after <= 120
    assert len(fake.requests) == 1


def test_a_server_that_failed_is_asked_again_after_a_pause(fake: Fake) -> None:
    fake.answers(500)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens(-10))
    begun = time.monotonic()
    with pytest.raises(cmauth.RetryError):
        session.tokens()
    for _ in range(20):
        with pytest.raises(cmauth.RetryError) as caught:
            session.tokens()
        assert caught.value.retry_after
        assert 0 < caught.value.retry_after <= 1
    assert len(fake.requests) == 1
    fake.answer = tokens_answer
    while True:
        try:
            session.tokens()
            break
        except cmauth.RetryError as error:
            time.sleep(error.retry_after or 0)
        assert time.monotonic() < begun + 20
    assert len(fake.requests) == 2
    assert time.monotonic() - begun > 0.45


def test_rejections_in_a_loop_cost_one_refresh(cmauth_sandbox: Sandbox) -> None:
    client = cmauth_sandbox.client()
    session = cmauth.Session(client, cmauth.MemoryStore())
    tokens = cmauth_sandbox.log_in(client)
    session.start(tokens)
    before = len(cmauth_sandbox.requests())
    fresh = session.rejected(tokens)
    assert fresh != tokens
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        with pytest.raises(cmauth.RetryError) as caught:
            session.rejected(fresh)
        assert caught.value.status is cmauth.Status.TOKEN_REJECTED
        assert caught.value.retry_after
        assert 10 < caught.value.retry_after <= 15
    assert session.tokens() == fresh, "others may still be able to use them"
    assert len(cmauth_sandbox.requests()) == before + 1


def test_a_session_refreshes_with_the_scope_that_was_granted(cmauth_sandbox: Sandbox) -> None:
    client = cmauth_sandbox.client(scope="read write")
    code = cmauth_sandbox.make_code(URI, "read")
    granted = client.exchange_code(code, URI)
    assert granted.scope == "read"
    session = cmauth.Session(client, cmauth.MemoryStore())
    session.start(granted)
    fresh = session.rejected(granted)
    assert fresh.scope == "read"
    assert fresh != granted
    refresh = cmauth_sandbox.requests()[-1]["target"]
    assert "grant_type=refresh_token" in refresh
    assert "scope=read" in refresh
    assert "write" not in refresh


def test_an_error_in_a_change_callback_is_not_lost_and_breaks_nothing(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())

    def fails(generation: int) -> None:
        raise ValueError(generation)

    session.on_change(fails)
    session.start(some_tokens())
    assert [type(one.exc_value) for one in told] == [ValueError]


class Api:
    """An API behind the fake that knows one token, and 401s all others."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self.good = "good"
        fake.answer = self.answer

    def answer(self) -> Answer:
        line, headers, _ = self.fake.requests[-1]
        if line.startswith("POST /oauth/token"):
            return tokens_answer(access_token=self.good)
        if headers.get("authorization") == f"Bearer {self.good}":
            return Answer(200, {"ok": True})
        return Answer(403 if "forbidden" in line else 401, {"error": "invalid_token"})

    def lines(self) -> list[str]:
        return [line.partition("?")[0] for line, _, _ in self.fake.requests]


def get_by_requests(session: cmauth.Session, url: str) -> int:
    return requests.get(url, auth=cmauth.Auth(session), timeout=10).status_code


def get_by_httpx(session: cmauth.Session, url: str) -> int:
    return httpx.get(url, auth=cmauth.HttpxAuth(session), trust_env=False).status_code


def get_by_async_httpx(session: cmauth.Session, url: str) -> int:
    async def get() -> int:
        async with httpx.AsyncClient(auth=cmauth.HttpxAuth(session), trust_env=False) as client:
            return (await client.get(url)).status_code

    return asyncio.run(get())


@pytest.mark.parametrize("get", [get_by_requests, get_by_httpx, get_by_async_httpx])
def test_auth_adds_the_token_and_repairs_one_401(
    fake: Fake, get: Callable[[cmauth.Session, str], int]
) -> None:
    api = Api(fake)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens())
    assert get(session, f"{fake.url}/cameras") == 200
    assert api.lines() == ["GET /cameras", "POST /oauth/token", "GET /cameras"]
    assert get(session, f"{fake.url}/cameras") == 200
    assert len(fake.requests) == 4, "the next one is right at once"
    # Never for a 403.
    api.good = "nobody's"
    assert get(session, f"{fake.url}/forbidden") == 403
    assert len(fake.requests) == 5


@pytest.mark.parametrize("get", [get_by_requests, get_by_httpx, get_by_async_httpx])
def test_auth_gives_the_401_of_an_api_that_rejects_all_tokens(
    fake: Fake, get: Callable[[cmauth.Session, str], int]
) -> None:
    api = Api(fake)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens())
    fake.answer = lambda: (
        tokens_answer(access_token="other")
        if "oauth" in fake.requests[-1][0]
        else Answer(401, {"error": "x"})
    )
    # Once, not for ever.
    assert get(session, f"{fake.url}/cameras") == 401
    assert api.lines() == ["GET /cameras", "POST /oauth/token", "GET /cameras"]
    # And not again for tokens that are young: the 401 stands.
    assert get(session, f"{fake.url}/cameras") == 401
    assert api.lines()[3:] == ["GET /cameras"]
    with pytest.raises(cmauth.RetryError) as caught:
        session.rejected(session.tokens())
    assert caught.value.status is cmauth.Status.TOKEN_REJECTED


def test_auth_of_requests_sends_a_body_again(fake: Fake, tmp_path: Path) -> None:
    Api(fake)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens())
    (tmp_path / "body").write_bytes(b"body")
    with (tmp_path / "body").open("rb") as body:
        answer = requests.post(fake.url, data=body, auth=cmauth.Auth(session), timeout=10)
    assert answer.status_code == 200
    assert [body for line, _, body in fake.requests if line == "POST /"] == ["body", "body"]
    assert [one.status_code for one in answer.history] == [401]


def test_an_async_session_does_not_block_the_loop(fake: Fake) -> None:
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    asked, answered = threading.Event(), threading.Event()

    def answer_when_told() -> Answer:
        asked.set()
        assert answered.wait(10)
        return tokens_answer(access_token="fresh")

    fake.answer = answer_when_told

    async def story() -> str:
        async_session = cmauth.AsyncSession(session)
        await async_session.start(some_tokens(-10))
        task = asyncio.ensure_future(async_session.tokens())
        # The loop runs on while the server is silent.
        while not asked.is_set():
            await asyncio.sleep(0)
        assert not task.done()
        answered.set()
        tokens = await task
        assert await async_session.tokens() == tokens
        fake.answer = lambda: tokens_answer(access_token="fresher")
        assert (await async_session.rejected(tokens)).access_token == "fresher"
        assert async_session.health().logged_in
        assert await async_session.logout() is True
        await async_session.forget()
        return tokens.access_token

    assert asyncio.run(story()) == "fresh"


def test_a_client_ends_with_its_block(fake: Fake) -> None:
    with fake.client() as client:
        client.refresh(REFRESH_TOKEN)
    with pytest.raises(cmauth.CancelledError):
        client.refresh(REFRESH_TOKEN)


def test_the_import_needs_none_of_the_extras_and_nothing_heavy() -> None:
    program = (
        "import sys, cmauth\n"
        "heavy = {'asyncio', 'httpx', 'keyring', 'redis', 'requests', 'ssl', 'urllib.request'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
