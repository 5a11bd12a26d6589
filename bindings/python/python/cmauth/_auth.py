"""Adds the access token to requests: which URLs get it, and what follows a 401. For `requests`."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

from cmauth._cmauth import Session, Tokens, _Origins
from cmauth._errors import FixError, RetryError, Status

if TYPE_CHECKING:
    import requests


class Urls:
    """The URLs that get the token of a session."""

    def __init__(self, session: Session, allow: Iterable[str] | None, others: str) -> None:
        if others not in ("raise", "no_token"):
            raise ValueError('others: give "raise" or "no_token"')
        self._session = session
        self._allow = _Origins(allow)
        self._others = others
        # What was added to requests, which a program can send again, to another URL.
        self._added: deque[str] = deque(maxlen=100)

    def get_token(self, url: str) -> bool:
        """Whether a request to `url` gets the token. If not, raises unless `others` allows that."""
        try:
            self._session._check_url(url, self._allow)
        except FixError:
            if self._others == "raise":
                raise
            return False
        return True

    def add_token(self, headers: MutableMapping[str, str], tokens: Tokens) -> None:
        headers["Authorization"] = authorization = tokens.authorization
        if authorization not in self._added:
            self._added.append(authorization)

    def take_token_away(self, headers: MutableMapping[str, str]) -> None:
        """A request without the token can be one that had it, and was given another URL."""
        if headers.get("Authorization") in self._added:
            del headers["Authorization"]

    def belong(self, url: str | None) -> bool:
        """Whether the token belongs to `url`, so that a 401 from there says something about it."""
        try:
            self._session._check_url(url or "", self._allow)
        except FixError:
            return False
        return True


class Auth:
    """A session as the `auth` of `requests`: `requests.get(url, auth=cmauth.Auth(session))`.

    It adds the access token to the request. After a 401, the session gets another token, and the
    request is sent once more with it. After a 403 it is not. The response is the 401 if the session
    does not refresh again (`Session.rejected`), or if the body cannot be sent again: a generator, a
    pipe. Text, bytes and files that can seek can. The next request has the other token in any case.

    Only URLs of the client's server get the token, and after a redirect to another host nobody does.

    allow: further origins that get it, in addition to the client's `allow_origins`:
        `["https://media.example"]`.
    others: what happens with all other URLs: "raise" raises `FixError` before anything is sent;
        "no_token" sends the request without the token.
    """

    def __init__(
        self,
        session: Session,
        *,
        allow: Iterable[str] | None = None,
        others: Literal["raise", "no_token"] = "raise",
    ) -> None:
        self._session = session
        self._urls = Urls(session, allow, others)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if not hasattr(request, "register_hook"):
            raise TypeError("cmauth.Auth is for requests; give httpx a cmauth.HttpxAuth")
        if self._urls.get_token(request.url or ""):
            tokens = self._session.tokens()
            self._urls.add_token(request.headers, tokens)
            hook = _Repair(self._session, self._urls, tokens, rewinder(request.body))
            request.register_hook("response", hook)  # type: ignore[no-untyped-call,unused-ignore]
        else:
            self._urls.take_token_away(request.headers)
        return request

    def __repr__(self) -> str:
        return f"Auth({self._session!r})"


class _Repair:
    """The hook of `Auth`, which `requests` calls with each response."""

    def __init__(self, session: Session, urls: Urls, tokens: Tokens, rewind: Callable[[], bool]) -> None:
        self._session = session
        self._urls = urls
        self._tokens = tokens
        self._rewind = rewind

    def __call__(self, response: requests.Response, **options: Any) -> requests.Response:
        sent = response.request
        if (
            response.status_code != 401
            or sent.headers.get("Authorization") != self._tokens.authorization
            or not self._urls.belong(sent.url)
        ):
            return response
        other = other_tokens(self._session, self._tokens)
        if other is None or not (sent.body is None or self._rewind()):
            return response
        request = sent.copy()
        self._urls.add_token(request.headers, other)
        # Reading the response frees the connection for the next request.
        _ = response.content
        response.close()
        connection: Any = response.connection  # type: ignore[attr-defined,unused-ignore]
        again: requests.Response = connection.send(request, **options)
        again.history.append(response)
        again.request = request
        return again

    def __reduce__(self) -> tuple[type[_Done], tuple[()]]:
        # A response has its request, and the request has its hooks.
        return _Done, ()


class _Done:
    """The hook in a response that was pickled."""

    def __call__(self, response: requests.Response, **_options: Any) -> requests.Response:
        return response


def rewinder(body: Any) -> Callable[[], bool]:
    """What prepares a body to be sent again. It returns whether that is possible."""
    if body is None or isinstance(body, (str, bytes, bytearray, memoryview)):
        return lambda: True
    try:
        # The position before the first request: a caller can send the rest of a file.
        position = body.tell()
    except (AttributeError, OSError, ValueError):
        return lambda: False
    if not isinstance(position, int):
        if isinstance(position, Coroutine):
            position.close()  # It is of an asynchronous file.
        return lambda: False

    def rewind() -> bool:
        try:
            body.seek(position)
        except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
            return False
        return True

    return rewind


def other_tokens(session: Session, rejected: Tokens) -> Tokens | None:
    """Other tokens. `None` if the session does not refresh again, so the response is the 401."""
    try:
        return session.rejected(rejected)
    except RetryError as error:
        if error.status is not Status.TOKEN_REJECTED:
            raise
        return None


Auth.__module__ = "cmauth"
