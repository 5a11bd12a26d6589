"""Sessions for `requests` and asyncio."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cmauth._cmauth import Health, Session, Tokens
from cmauth._errors import RetryError, Status

if TYPE_CHECKING:
    import requests

_T = TypeVar("_T")


class Auth:
    """A session as the `auth` of `requests`: `requests.get(url, auth=cmauth.Auth(session))`.

    It adds the access token to the request. After a 401, it sends the request once more with
    another token. After a 403 it does not. If the session does not refresh again
    (`Session.rejected`), the response is the 401. The token is not sent to another host after a
    redirect.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        tokens = self._session.tokens()
        request.headers["Authorization"] = _bearer(tokens)
        body: Any = request.body
        position = body.tell() if hasattr(body, "tell") and hasattr(body, "seek") else None
        request.register_hook("response", functools.partial(self._repair, tokens, position))  # type: ignore[no-untyped-call,unused-ignore]
        return request

    def _repair(
        self,
        tokens: Tokens,
        position: int | None,
        response: requests.Response,
        **options: Any,
    ) -> requests.Response:
        sent = response.request
        if response.status_code != 401 or sent.headers.get("Authorization") != _bearer(tokens):
            return response
        body: Any = sent.body
        if position is not None:
            body.seek(position)
        elif hasattr(body, "__next__"):
            return response  # A stream can be read once, so it cannot be sent again.
        other = _other(self._session, tokens)
        if other is None:
            return response
        request = sent.copy()
        request.headers["Authorization"] = _bearer(other)
        # Reading the response frees the connection for the next request.
        _ = response.content
        response.close()
        connection: Any = response.connection  # type: ignore[attr-defined,unused-ignore]
        again: requests.Response = connection.send(request, **options)
        again.history.append(response)
        again.request = request
        return again

    def __repr__(self) -> str:
        return f"Auth({self._session!r})"


class AsyncSession:
    """A session for asyncio. Calls that can block run in a thread, so the event loop continues.

    If no refresh is due, `tokens` needs no thread.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def start(self, tokens: Tokens) -> None:
        """As `Session.start`."""
        await _in_thread(self._session.start, tokens)

    async def tokens(self) -> Tokens:
        """As `Session.tokens`."""
        tokens = self._session.tokens_at_hand()
        if tokens is None:
            tokens = await _in_thread(self._session.tokens)
        return tokens

    async def rejected(self, tokens: Tokens) -> Tokens:
        """As `Session.rejected`."""
        return await _in_thread(self._session.rejected, tokens)

    async def logout(self) -> bool:
        """As `Session.logout`."""
        return await _in_thread(self._session.logout)

    async def forget(self) -> None:
        """As `Session.forget`."""
        await _in_thread(self._session.forget)

    def health(self) -> Health:
        """As `Session.health`."""
        return self._session.health()

    def __repr__(self) -> str:
        return f"AsyncSession({self._session!r})"


async def _in_thread(call: Callable[..., _T], *arguments: object) -> _T:
    # Imported on demand, because most programs have no event loop.
    import asyncio

    return await asyncio.to_thread(call, *arguments)


def _other(session: Session, rejected: Tokens) -> Tokens | None:
    """Other tokens. `None` if the session does not refresh again, so the response is the 401."""
    try:
        return session.rejected(rejected)
    except RetryError as error:
        if error.status is Status.TOKEN_REJECTED:
            return None
        raise


def _bearer(tokens: Tokens) -> str:
    return f"Bearer {tokens.access_token}"


for _kind in (Auth, AsyncSession):
    _kind.__module__ = "cmauth"
