"""Sessions for `requests`, `httpx` and asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import cmauth
import httpx
import pytest
import requests
from conftest import Fake, Response, tokens_response
from sessions import some_tokens


class Api:
    """An API on the fake server. It accepts one token and responds 401 to all others."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self.good = "good"
        fake.respond = self.respond

    def respond(self) -> Response:
        line, headers, _ = self.fake.requests[-1]
        if line.startswith("POST /oauth/token"):
            return tokens_response(access_token=self.good)
        if headers.get("authorization") == f"Bearer {self.good}":
            return Response(200, {"ok": True})
        return Response(403 if "forbidden" in line else 401, {"error": "invalid_token"})

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
def test_auth_adds_the_token_and_repairs_one_401(fake: Fake, get: Callable[[cmauth.Session, str], int]) -> None:
    api = Api(fake)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens())
    assert get(session, f"{fake.url}/cameras") == 200
    assert api.lines() == ["GET /cameras", "POST /oauth/token", "GET /cameras"]
    assert get(session, f"{fake.url}/cameras") == 200
    assert len(fake.requests) == 4, "the next request has the right token"
    # No refresh after a 403.
    api.good = "nobody's"
    assert get(session, f"{fake.url}/forbidden") == 403
    assert len(fake.requests) == 5


@pytest.mark.parametrize("get", [get_by_requests, get_by_httpx, get_by_async_httpx])
def test_auth_returns_the_401_of_an_api_that_rejects_all_tokens(
    fake: Fake, get: Callable[[cmauth.Session, str], int]
) -> None:
    api = Api(fake)
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    session.start(some_tokens())
    fake.respond = lambda: (
        tokens_response(access_token="other") if "oauth" in fake.requests[-1][0] else Response(401, {"error": "x"})
    )
    # It retries once only.
    assert get(session, f"{fake.url}/cameras") == 401
    assert api.lines() == ["GET /cameras", "POST /oauth/token", "GET /cameras"]
    # Tokens that are new are not refreshed again, so the response is the 401.
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
        response = requests.post(fake.url, data=body, auth=cmauth.Auth(session), timeout=10)
    assert response.status_code == 200
    assert [body for line, _, body in fake.requests if line == "POST /"] == ["body", "body"]
    assert [earlier.status_code for earlier in response.history] == [401]


def test_an_async_session_does_not_block_the_loop(fake: Fake) -> None:
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    asked, answered = threading.Event(), threading.Event()

    def respond_when_told() -> Response:
        asked.set()
        assert answered.wait(10)
        return tokens_response(access_token="fresh")

    fake.respond = respond_when_told

    async def use() -> str:
        async_session = cmauth.AsyncSession(session)
        await async_session.start(some_tokens(-10))
        task = asyncio.ensure_future(async_session.tokens())
        # The loop continues while the server does not respond.
        while not asked.is_set():
            await asyncio.sleep(0)
        assert not task.done()
        answered.set()
        tokens = await task
        assert await async_session.tokens() == tokens
        fake.respond = lambda: tokens_response(access_token="fresher")
        assert (await async_session.rejected(tokens)).access_token == "fresher"
        assert async_session.health().logged_in
        assert await async_session.logout() is True
        await async_session.forget()
        return tokens.access_token

    assert asyncio.run(use()) == "fresh"
