"""Sessions: valid tokens for every thread, in every store."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cmauth
import keyring
import keyring.backend
import pytest
from conftest import ACCESS_TOKEN, REFRESH_TOKEN, Fake, RedisServer, Sandbox, tokens_response
from sessions import OwnStore, some_tokens

URI = "https://example.com"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory, for machines without one."""

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


def check_session(client: cmauth.Client, sandbox: Sandbox, store: Any) -> None:
    session, other = cmauth.Session(client, store), cmauth.Session(client, store)
    with pytest.raises(cmauth.LoginError, match="nobody is logged in"):
        session.tokens()
    assert session.tokens_at_hand() is None
    assert not session.health().logged_in

    tokens = sandbox.log_in(client)
    session.start(tokens)
    changes: list[tuple[cmauth.Change, int]] = []
    session.on_change(lambda change, generation: changes.append((change, generation)))
    assert 3600 < (session.next_action() or 0) < 43200
    assert session.tokens() == session.tokens_at_hand() == other.tokens() == tokens
    with ThreadPoolExecutor(8) as pool:
        fresh = list(pool.map(lambda i: [session, other][i % 2].rejected(tokens), range(8)))
    assert fresh[0] != tokens
    assert all(tokens == fresh[0] for tokens in fresh)
    health = session.health()
    assert (health.logged_in, health.saved, health.failures) == (True, True, 0)
    assert health.last_error is None
    assert health.next_refresh
    assert health.expires_at
    assert health.next_refresh < health.expires_at == fresh[0].expires_at
    assert changes == [(cmauth.Change.TOKENS, health.generation)]
    assert session.rejected(tokens.access_token) == fresh[0]

    assert session.logout() is True
    assert session.logout() is False
    with pytest.raises(cmauth.LoginError):
        other.rejected(fresh[0])
    assert [change for change, _ in changes] == [cmauth.Change.TOKENS, cmauth.Change.ENDED_HERE]
    session.on_change(None)
    session.start(sandbox.log_in(client))
    session.forget()
    with pytest.raises(cmauth.LoginError):
        other.tokens()
    assert len(changes) == 2
    for secret in (tokens.access_token, fresh[0].access_token, str(tokens.refresh_token)):
        assert secret not in f"{session!r} {health!r} {store!r}"


def test_in_memory(client: cmauth.Client, sandbox: Sandbox) -> None:
    check_session(client, sandbox, cmauth.MemoryStore())


def test_in_a_file(client: cmauth.Client, sandbox: Sandbox, tmp_path: Path) -> None:
    check_session(client, sandbox, cmauth.FileStore(tmp_path / "session"))


def test_in_a_store_of_the_program(client: cmauth.Client, sandbox: Sandbox) -> None:
    check_session(client, sandbox, OwnStore())


@pytest.mark.parametrize("lock", [True, False])
def test_in_a_keyring(client: cmauth.Client, sandbox: Sandbox, tmp_path: Path, lock: bool) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    try:
        path = tmp_path / "lock" if lock else None
        check_session(client, sandbox, cmauth.KeyringStore("recorder", "cameramanager", path))
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}])
def test_in_redis(client: cmauth.Client, sandbox: Sandbox, redis_server: RedisServer, options: dict[str, bool]) -> None:
    check_session(client, sandbox, cmauth.RedisStore(redis_server.client(**options), "session"))


def test_a_failed_refresh_of_valid_tokens_is_not_raised(fake: Fake) -> None:
    store = OwnStore()
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens())
    assert store.record
    refresh_at = store.record.partition('"refresh_at":')[2].partition(",")[0]
    store.record = store.record.replace(refresh_at, "1")
    session = cmauth.Session(fake.client(), store)
    fake.responds(503)
    assert session.tokens().access_token == ACCESS_TOKEN
    health = session.health()
    assert health.failures == 1
    assert isinstance(health.last_error, cmauth.RetryError)


def test_after_a_failure_the_session_pauses_as_long_as_the_server_requested(fake: Fake) -> None:
    fake.responds(503, "busy", Retry_After="120")
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    old = some_tokens(-10)
    session.start(old)
    with ThreadPoolExecutor(4) as pool:
        for call in (lambda _: session.tokens(), lambda _: session.rejected(old)):
            for future in [pool.submit(call, None) for _ in range(50)]:
                with pytest.raises(cmauth.RetryError) as caught:
                    future.result()
                assert caught.value.status is cmauth.Status.SERVER
                assert caught.value.http_status == 503
                assert caught.value.retry_after
                assert 110 < caught.value.retry_after <= 120
    assert len(fake.requests) == 1


def test_after_a_failure_the_session_tries_again_after_a_pause(fake: Fake) -> None:
    fake.responds(500)
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
    fake.respond = tokens_response
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
    assert session.tokens() == fresh, "the tokens may be valid elsewhere"
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
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())

    def fails(_: cmauth.Change, generation: int) -> None:
        raise ValueError(generation)

    session.on_change(fails)
    session.start(some_tokens())
    assert [type(hook.exc_value) for hook in raised] == [ValueError]


def test_the_with_block_cancels_the_client(fake: Fake) -> None:
    with fake.client() as client:
        client.refresh(REFRESH_TOKEN)
    with pytest.raises(cmauth.CancelledError):
        client.refresh(REFRESH_TOKEN)


def test_the_import_loads_no_optional_and_no_large_package() -> None:
    program = (
        "import sys, cmauth\n"
        "heavy = {'asyncio', 'httpx', 'keyring', 'redis', 'requests', 'ssl', 'urllib.request'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
