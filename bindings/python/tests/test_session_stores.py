"""Errors of a session's store, and contents that the session must not use."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

import cmauth
import pytest
from cmauth.testing import CLIENT_ID, CLIENT_SECRET, Sandbox
from conftest import ACCESS_TOKEN, Fake, RedisServer, Response, tokens_response
from sessions import OwnStore, ended, some_tokens


def test_redis_restarts_with_and_without_the_session(fake: Fake, redis_server: RedisServer) -> None:
    session = cmauth.Session(fake.client(), cmauth.RedisStore(redis_server.client(), "session"))
    session.start(some_tokens())
    redis_server.stop()
    assert session.tokens().access_token == ACCESS_TOKEN, "valid tokens need no store"
    with pytest.raises(cmauth.RetryError, match="ConnectionError") as caught:
        session.rejected(session.tokens())
    assert caught.value.status == cmauth.Status.STORE
    assert not fake.requests, "no refresh without the lock"
    redis_server.start()
    assert cmauth.Session(fake.client(), cmauth.RedisStore(redis_server.client(), "session")).tokens()

    redis_server.client().flushall()
    with pytest.raises(cmauth.LoginError):
        session.rejected(session.tokens())


def test_a_lock_in_redis_whose_holder_died_expires(redis_server: RedisServer) -> None:
    expired = cmauth.RedisStore(redis_server.client(), "session")
    other = cmauth.RedisStore(redis_server.client(), "session")
    assert expired.try_lock(0.2)
    assert not other.try_lock(10)
    deadline = time.monotonic() + 10
    while not other.try_lock(10):
        assert time.monotonic() < deadline
    # The first holder goes on: its lock has expired, and its record is not newer.
    expired.unlock()
    assert not expired.try_lock(10)
    other.save("newer", 8)
    with pytest.raises(cmauth.StaleError):
        expired.save("older", 8)
    with pytest.raises(cmauth.StaleError):
        expired.clear(7)
    other.save("newer", 8)  # Again, as after a reply that was lost.
    assert other.load() == "newer"
    other.clear(9)
    with pytest.raises(cmauth.StaleError):
        expired.save("older", 9)
    assert other.load() is None


def test_a_holder_whose_lock_expired_returns_the_newer_tokens(fake: Fake) -> None:
    store = OwnStore()
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens())
    old = session.tokens()

    def save_elsewhere() -> Response:
        # Another process saves during the refresh, as after the lock has expired.
        assert store.record
        theirs = some_tokens(access_token="theirs")
        store.record = store.record.replace(ACCESS_TOKEN, theirs.access_token)
        store.generation += 5
        store.record = store.record.replace(f'"generation":{store.generation - 5}', f'"generation":{store.generation}')
        return tokens_response(access_token="ours")

    fake.respond = save_elsewhere
    assert session.rejected(old).access_token == "theirs"


def test_an_error_of_a_store_shows_no_tokens(fake: Fake) -> None:
    store = OwnStore()
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens())
    store.fails = OSError(f"no room for {ACCESS_TOKEN}")
    with pytest.raises(cmauth.RetryError, match="OSError: no room for ") as caught:
        session.start(some_tokens())
    assert caught.value.status == cmauth.Status.STORE
    assert ACCESS_TOKEN not in str(caught.value)
    assert not store.lock.locked()


def test_a_damaged_file_is_reported_and_cleared_by_forget(fake: Fake, tmp_path: Path) -> None:
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
    # A session that opens the file reports it without a call for tokens.
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
def test_a_login_of_another_key_or_server_is_not_sent_and_cleared_by_forget(
    cmauth_sandbox: Sandbox, fake: Fake, tmp_path: Path, differs: str
) -> None:
    store = cmauth.FileStore(tmp_path / "session")
    session = cmauth.Session(cmauth_sandbox.client(), store)
    tokens = cmauth_sandbox.log_in(cmauth_sandbox.client())
    # They have expired, so a session that used them would send the refresh token.
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

    assert session.tokens() != tokens, "the right session still works"
    stranger.forget()
    assert not (tmp_path / "session").exists()
    stranger.start(some_tokens())
    assert stranger.tokens().access_token == ACCESS_TOKEN
    assert not fake.requests
