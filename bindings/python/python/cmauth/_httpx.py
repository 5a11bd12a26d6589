"""Sessions for `httpx`. Imported on demand, because httpx is optional."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator

import httpx

from cmauth._cmauth import Session
from cmauth._sessions import _bearer, _other


class HttpxAuth(httpx.Auth):
    """A session as the `auth` of `httpx`: `httpx.get(url, auth=cmauth.HttpxAuth(session))`.

    It adds the access token to the request. After a 401, it sends the request once more with
    another token. After a 403 it does not. If the session does not refresh again
    (`Session.rejected`), the response is the 401. With `httpx.AsyncClient` on asyncio, calls that
    can block run in a thread.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        tokens = self._session.tokens()
        request.headers["Authorization"] = _bearer(tokens)
        response = yield request
        if response.status_code == 401:
            other = _other(self._session, tokens)
            if other is not None:
                request.headers["Authorization"] = _bearer(other)
                yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        session = self._session
        tokens = session.tokens_at_hand()
        if tokens is None:
            tokens = await asyncio.to_thread(session.tokens)
        request.headers["Authorization"] = _bearer(tokens)
        response = yield request
        if response.status_code == 401:
            other = await asyncio.to_thread(_other, session, tokens)
            if other is not None:
                request.headers["Authorization"] = _bearer(other)
                yield request

    def __repr__(self) -> str:
        return f"HttpxAuth({self._session!r})"


HttpxAuth.__module__ = "cmauth"
