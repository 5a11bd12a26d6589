"""Sessions where Python programs meet them: `requests`, and asyncio."""

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

    It adds the access token, and after one 401 sends the request again with another. Not after a
    403. Where the session refuses to refresh again (`Session.rejected`), the 401 is the answer. The
    token goes to the host that was asked, not to where it redirects.
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
        **options: Any,  # noqa: ANN401
    ) -> requests.Response:
        sent = response.request
        if response.status_code != 401 or sent.headers.get("Authorization") != _bearer(tokens):
            return response
        body: Any = sent.body
        if position is not None:
            body.seek(position)
        elif hasattr(body, "__next__"):
            return response  # A stream that has been read cannot be sent again.
        other = _other(self._session, tokens)
        if other is None:
            return response
        request = sent.copy()
        request.headers["Authorization"] = _bearer(other)
        # The connection is free for the next request once the answer is read.
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
    """A session for asyncio: what may wait is done in a thread, so that the loop runs on.

    Tokens that are at hand are given at once.
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
    # Imported on demand: most programs have no event loop.
    import asyncio

    return await asyncio.to_thread(call, *arguments)


def _other(session: Session, rejected: Tokens) -> Tokens | None:
    """Other tokens; `None` where they would be rejected like these, so that the 401 stands."""
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
