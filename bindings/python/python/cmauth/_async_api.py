"""The client, the logins and the sessions for event loops: of asyncio and of trio."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from cmauth._async import Worker, run_alone
from cmauth._cmauth import Client, Health, Login, Session, SignedUrl, Tokens, User
from cmauth._show import wait_and_show

_T = TypeVar("_T")


class AsyncClient:
    """A client for asyncio and trio: `await cmauth.AsyncClient(client).login()`.

    Each call runs in a thread of its own, so the event loop continues. If its task is cancelled, the
    call ends: it does nothing more, but what the server has done already remains.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def begin_login(self, redirect_uri: str) -> AsyncLogin:
        """As `Client.begin_login`. It sends nothing, so there is nothing to await."""
        return AsyncLogin(self._client.begin_login(redirect_uri))

    def login_from_json(self, json: str) -> AsyncLogin:
        """As `Login.from_json`."""
        return AsyncLogin(Login.from_json(self._client, json))

    async def login(
        self,
        *,
        timeout: float = 300.0,
        port: int = 0,
        message: str | None = None,
        show: Callable[[str], object] | None = None,
    ) -> Tokens:
        """As `Client.login`. A cancelled task closes the port of the redirect."""
        login = self._client.listen(port)
        if message is not None:
            login.set_message(message)
        return await run_alone(lambda: wait_and_show(login, show, timeout), login.cancel)

    async def exchange_code(self, code: str, redirect_uri: str) -> Tokens:
        """As `Client.exchange_code`."""
        return await run_alone(lambda: self._client.exchange_code(code, redirect_uri))

    async def refresh(self, refresh_token: str) -> Tokens:
        """As `Client.refresh`."""
        return await run_alone(lambda: self._client.refresh(refresh_token))

    async def logout(self, access_token: str) -> None:
        """As `Client.logout`."""
        await run_alone(lambda: self._client.logout(access_token))

    async def user(self, tokens: Tokens | str) -> User:
        """As `Client.user`."""
        return await run_alone(lambda: self._client.user(tokens))

    def cancel(self) -> None:
        """As `Client.cancel`."""
        self._client.cancel()

    def __repr__(self) -> str:
        return f"AsyncClient({self._client!r})"


class AsyncLogin:
    """A login in progress, made by `AsyncClient.begin_login`."""

    def __init__(self, login: Login) -> None:
        self._login = login

    @property
    def url(self) -> str:
        """The login page to open in the user's browser, which must follow redirects."""
        return self._login.url

    async def finish(self, redirected_url: str) -> Tokens:
        """As `Login.finish`."""
        return await run_alone(lambda: self._login.finish(redirected_url))

    def to_json(self) -> str:
        """As `Login.to_json`."""
        return self._login.to_json()

    def __repr__(self) -> str:
        return f"AsyncLogin({self._login!r})"


class AsyncSession:
    """A session for asyncio and trio. If no refresh is due, `tokens` needs no thread.

    Calls that can block run in one thread for all `AsyncSession` and `HttpxAuth` of the session, and
    those of a store that is written in Python in another one. The tasks that wait for tokens share one
    call. A cancelled task ends at once; the call goes on, so that new tokens are saved.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def start(self, tokens: Tokens) -> None:
        """As `Session.start`."""
        await self._run(object(), lambda: self._session.start(tokens))

    async def tokens(self, *, min_validity: float | None = None) -> Tokens:
        """As `Session.tokens`."""
        session = self._session
        if min_validity is not None:
            return await self._run(("tokens", min_validity), lambda: session.tokens(min_validity=min_validity))
        tokens = session.tokens_at_hand()
        return await self._run("tokens", session.tokens) if tokens is None else tokens

    async def rejected(self, tokens: Tokens | str) -> Tokens:
        """As `Session.rejected`."""
        access_token = tokens if isinstance(tokens, str) else tokens.access_token
        # The key could be in a traceback, so it is not the token.
        return await self._run(("rejected", hash(access_token)), lambda: self._session.rejected(tokens))

    async def hold(self, until: float) -> Tokens:
        """As `Session.hold`."""
        return await self._run(("hold", until), lambda: self._session.hold(until))

    async def sign_url(self, url: str, *, allow: Iterable[str] | None = None) -> SignedUrl:
        """As `Session.sign_url`."""
        return await self._run(object(), lambda: self._session.sign_url(url, allow=allow))

    async def logout(self) -> bool:
        """As `Session.logout`."""
        return await self._run("logout", self._session.logout)

    async def forget(self) -> None:
        """As `Session.forget`."""
        await self._run("forget", self._session.forget)

    def health(self) -> Health:
        """As `Session.health`."""
        return self._session.health()

    async def _run(self, key: Hashable, call: Callable[[], _T]) -> _T:
        worker: Worker = self._session._worker
        return await worker.run(key, call)

    def __repr__(self) -> str:
        return f"AsyncSession({self._session!r})"


for _kind in (AsyncClient, AsyncLogin, AsyncSession):
    _kind.__module__ = "cmauth"
