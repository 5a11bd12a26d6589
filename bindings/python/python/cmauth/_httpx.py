"""Sessions for `httpx`. Imported on demand, because httpx is optional."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import Any, Literal

import httpx

from cmauth._async_api import AsyncSession
from cmauth._auth import Urls, other_tokens, rewinder
from cmauth._cmauth import Session, Tokens


class HttpxAuth(httpx.Auth):
    """A session as the `auth` of `httpx`: `httpx.get(url, auth=cmauth.HttpxAuth(session))`.

    It does what `Auth` does for `requests`, and has its arguments. The answer to a redirect within
    the server is repaired, too, without sending the first request again. With `httpx.AsyncClient`,
    on asyncio or trio, a call that can block runs in a thread of the session.
    """

    def __init__(
        self,
        session: Session | AsyncSession,
        *,
        allow: Iterable[str] | None = None,
        others: Literal["raise", "no_token"] = "raise",
    ) -> None:
        self._async_session = session if isinstance(session, AsyncSession) else AsyncSession(session)
        self._session = self._async_session._session
        self._urls = Urls(self._session, allow, others)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not self._urls.get_token(str(request.url)):
            self._urls.take_token_away(request.headers)
            yield request
            return
        tokens = self._session.tokens()
        rewind = self._authorize(request, tokens)
        response = yield request
        if self._rejects(response, tokens):
            other = other_tokens(self._session, tokens)
            if other is not None and rewind(response.request):
                yield self._with(response.request, other)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if not self._urls.get_token(str(request.url)):
            self._urls.take_token_away(request.headers)
            yield request
            return
        session = self._async_session
        tokens = await session.tokens()
        rewind = self._authorize(request, tokens)
        response = yield request
        if self._rejects(response, tokens):
            other = await session._run(
                ("other", hash(tokens.access_token)), lambda: other_tokens(self._session, tokens)
            )
            if other is not None and rewind(response.request):
                yield self._with(response.request, other)

    def _rejects(self, response: httpx.Response, tokens: Tokens) -> bool:
        """Whether the response rejects the tokens. After redirects, its request is the last one."""
        sent = response.request
        return (
            response.status_code == 401
            and sent.headers.get("Authorization") == tokens.authorization
            and self._urls.belong(str(sent.url))
        )

    def _with(self, request: httpx.Request, tokens: Tokens) -> httpx.Request:
        self._urls.add_token(request.headers, tokens)
        return request

    def _authorize(self, request: httpx.Request, tokens: Tokens) -> Callable[[httpx.Request], bool]:
        """Adds the token. Returns what prepares the request to be sent again, and says whether it can."""
        self._urls.add_token(request.headers, tokens)
        stream: Any = request.stream
        rewind = _rewinder(stream)
        # A redirect can have another body, or none.
        return lambda sent: rewind() if sent.stream is stream else isinstance(sent.stream, httpx.ByteStream)

    def __repr__(self) -> str:
        return f"HttpxAuth({self._session!r})"


def _rewinder(stream: Any) -> Callable[[], bool]:
    if isinstance(stream, httpx.ByteStream):
        return lambda: True
    # The streams of httpx have no public names. A stream of the program can have the same attributes.
    if type(stream).__module__ not in ("httpx._multipart", "httpx._content"):
        return lambda: False
    fields = getattr(stream, "fields", None)
    if fields is not None:
        # A form with files. httpx itself rewinds each file, if that can seek.
        rewinders = [rewinder(getattr(field, "file", b"")) for field in fields]
        return lambda: all(rewind() for rewind in rewinders)
    # The file that it sends.
    return rewinder(getattr(stream, "_stream", NotImplemented))


HttpxAuth.__module__ = "cmauth"
