"""A program that uses every public name of the package. Tests run it and check its types."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import sys
import time
from pathlib import Path

import cmauth
import httpx
import redis
import requests
from cmauth.testing import CLIENT_ID, CLIENT_SECRET, Sandbox


class OwnStore:
    """A store of the program. It need not derive from `cmauth.Store`."""

    def __init__(self) -> None:
        self.record: str | None = None
        self.generation = 0
        self.locked = False

    def load(self) -> str | None:
        return self.record

    def save(self, record: str, generation: int, /) -> None:
        if generation <= self.generation:
            raise cmauth.StaleError("there is a newer record")
        self.record, self.generation = record, generation

    def clear(self, generation: int, /) -> None:
        self.record, self.generation = None, generation

    def try_lock(self, hold: float, /) -> bool:
        assert hold > 0
        free, self.locked = not self.locked, True
        return free

    def unlock(self) -> None:
        self.locked = False


def stores(folder: Path) -> list[cmauth.MemoryStore | cmauth.FileStore | cmauth.Store]:
    # Making a store does not use its server.
    _keyring: cmauth.Store = cmauth.KeyringStore("recorder", "7", folder / "lock")
    _redis: cmauth.Store = cmauth.RedisStore(redis.Redis(), "recorder:7")
    _short: cmauth.Store = cmauth.RedisStore(redis.Redis(), "recorder:8", expire=3600)
    return [cmauth.MemoryStore(), cmauth.FileStore(folder / "session"), OwnStore()]


def describe(error: cmauth.Error) -> str:
    status: cmauth.Status = error.status
    advice: cmauth.Advice = error.advice
    later: float = error.retry_after or 60.0
    http: int = error.http_status or 0
    oauth = f"{error.oauth_error or ''} {error.oauth_description or ''}"
    return f"{status.name} {advice.name} {http} {later} {error.request_sent} {oauth} {error.message}"


def failures(client: cmauth.Client) -> list[str]:
    lines: list[str] = []
    try:
        client.exchange_code("NoCode", "https://example.com")
    except cmauth.LoginError as error:
        lines.append(describe(error))
    for kind in (
        cmauth.FixError,
        cmauth.RefreshError,
        cmauth.RetryError,
        cmauth.InternalError,
        cmauth.CancelledError,
    ):
        assert issubclass(kind, cmauth.Error)
    return lines


async def asynchronous(session: cmauth.Session, url: str, ca_file: str) -> int:
    async_session = cmauth.AsyncSession(session)
    tokens = await async_session.tokens()
    fresh = await async_session.rejected(tokens)
    await async_session.start(fresh)
    assert await async_session.hold((fresh.expires_at or 0) - 60) == await async_session.tokens(min_validity=3600)
    signed: cmauth.SignedUrl = await async_session.sign_url(url, allow=["https://media.example"])
    assert signed.expires_at == fresh.expires_at
    health: cmauth.Health = async_session.health()
    assert health.logged_in
    assert health.held_until
    import ssl

    trust = ssl.create_default_context(cafile=ca_file)
    async with httpx.AsyncClient(auth=cmauth.HttpxAuth(session, others="no_token"), verify=trust) as api:
        response = await api.get(url)
    return response.status_code


async def many_users(client: cmauth.Client, sandbox: Sandbox) -> None:
    async_client = cmauth.AsyncClient(client)
    begun: cmauth.AsyncLogin = async_client.begin_login("https://example.com")
    again = async_client.login_from_json(begun.to_json())
    tokens = await again.finish(sandbox.visit(again.url))
    user: cmauth.User = await async_client.user(tokens)
    sessions = cmauth.Sessions(client, lambda _: cmauth.MemoryStore())
    session = await sessions.get_async(user.id)
    await session.start(tokens)
    assert (await session.tokens()).access_token == sessions.get(user.id).tokens().access_token
    assert f"{user.name or ''} {user.email or ''}"
    fresh = await async_client.refresh(tokens.refresh_token or "")
    await async_client.logout(fresh.access_token)
    with contextlib.suppress(cmauth.LoginError):
        await async_client.exchange_code("NoCode", "https://example.com")
    with contextlib.suppress(cmauth.RetryError):
        await async_client.login(show=lambda _: None, timeout=0.1)
    async_client.cancel()


def use(session: cmauth.Session, tokens: cmauth.Tokens, sandbox: Sandbox) -> None:
    changes: list[tuple[cmauth.Change, int]] = []
    session.on_change(lambda change, generation: changes.append((change, generation)))
    assert session.next_action() is None
    assert cmauth.store_time_left() is None
    session.start(tokens)
    assert session.tokens_at_hand() == session.tokens()
    soon: float | None = session.next_action()
    assert soon
    assert tokens.authorization == f"Bearer {tokens.access_token}"
    url = f"{sandbox.url}/rest/v2.4/cameras"
    assert session.tokens(min_validity=60) == session.hold(time.time())
    signed = session.sign_url(url)
    assert requests.get(signed.url, verify=sandbox.ca_file, timeout=30).status_code == 200
    auth = cmauth.Auth(session, allow=["https://media.example"])
    response = requests.get(url, auth=auth, verify=sandbox.ca_file, timeout=30)
    assert response.status_code == 200
    assert asyncio.run(asynchronous(session, url, sandbox.ca_file)) == 200
    health = session.health()
    facts: tuple[bool, int, int | None, int | None, int, cmauth.Error | None, bool, int | None] = (
        health.logged_in,
        health.generation,
        health.expires_at,
        health.next_refresh,
        health.failures,
        health.last_error,
        health.saved,
        health.held_until,
    )
    assert facts[0]
    session.on_change(None)
    gone: bool = session.logout()
    assert gone
    session.forget()
    assert changes[0][0] is cmauth.Change.TOKENS


def use_all(sandbox: Sandbox, folder: Path) -> None:
    logging.getLogger("cmauth").setLevel(logging.DEBUG)
    with sandbox.client(timeout=20, max_retries=1) as client:
        for store in stores(folder):
            use(cmauth.Session(client, store), sandbox.log_in(client), sandbox)
        tokens = sandbox.log_in(client)
        kept = cmauth.Tokens.from_json(tokens.to_json())
        copy: cmauth.Tokens = pickle.loads(pickle.dumps(kept))
        assert copy == tokens
        seconds: int | None = tokens.expires_in
        at: int | None = tokens.expires_at
        assert seconds is not None
        assert at is not None
        assert tokens.token_type
        assert tokens.scope
        assert failures(client)
        client.check_url(sandbox.url, allow=["https://media.example"])
        who: cmauth.User = client.user(tokens)
        _by_folder: cmauth.Sessions = cmauth.Sessions.in_folder(client, folder, max_idle=10)
        _by_redis: cmauth.Sessions = cmauth.Sessions.in_redis(client, redis.Redis(), "recorder", expire=3600)
        assert client.user(tokens.access_token) == who
        login = client.begin_login("https://example.com")
        assert not login.is_redirect("https://example.org/")
        again = cmauth.Login.from_json(client, login.to_json())
        assert again.finish(sandbox.visit(again.url)).access_token
        listening = client.listen(port=0)
        listening.set_message("done")
        listening.set_page(language="de", title="Anmeldung", success="fertig", failure="nein", product="R7")
        listening.cancel()
        with contextlib.suppress(cmauth.CancelledError):
            listening.wait(timeout=1.0)
        with contextlib.suppress(cmauth.RetryError):
            client.login(show=lambda _: None, timeout=0.1, port=0, message="done")
        options: cmauth.Options = {"base_url": sandbox.url, "ca_file": sandbox.ca_file, "proxy": ""}
        key = (CLIENT_ID, CLIENT_SECRET)
        assert tokens.refresh_token
        fresh = cmauth.refresh(*key, tokens.refresh_token, **options)
        cmauth.logout(*key, fresh.access_token, **options)
        with contextlib.suppress(cmauth.LoginError):
            cmauth.exchange_code(*key, "NoCode", "https://example.com", **options)
    asyncio.run(many_users(sandbox.client(allow_origins=["https://media.example"]), sandbox))
    assert sandbox.requests()
    assert sandbox.fault_names()
    assert cmauth.DEFAULT_BASE_URL.startswith("https://")
    assert cmauth.__version__


if __name__ == "__main__":
    with Sandbox() as running:
        running.advance(0)
        use_all(running, Path(sys.argv[1]))
    print("done")
