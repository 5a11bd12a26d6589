"""Signatures and docs of the Rust side, for editors and type checkers."""

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ClassVar, Final, final

from typing_extensions import Self, Unpack

from cmauth._errors import Error
from cmauth._options import Options
from cmauth._stores import Store as _Store

__all__ = [
    "DEFAULT_BASE_URL",
    "_ADVICES",
    "_STATUSES",
    "Client",
    "FileStore",
    "Health",
    "Login",
    "MemoryStore",
    "Session",
    "Tokens",
    "__version__",
    "exchange_code",
    "logout",
    "refresh",
]

__version__: Final[str]
DEFAULT_BASE_URL: Final[str]
_STATUSES: Final[list[tuple[str, int]]]
_ADVICES: Final[list[tuple[str, int]]]

@final
class Client:
    """Talks to the server for one API key (id and secret, from https://dealer.cameramanager.com).

    Immutable; make one and share it between threads, for it keeps connections open. It
    remembers no user. Its calls block until they return or raise `Error`, other threads
    running meanwhile; Ctrl-C ends one within 100 ms. Processes can inherit it by fork, or get it
    as a pickle, which holds the secret.

    client_secret: `None` on a machine that must not hold it, such as an operator's workstation:
        the client can begin logins, for a machine that has it to finish (`Login.to_json`).

    Options, `None` standing for the default:

    base_url: the server, https (http only to this machine, for tests); `DEFAULT_BASE_URL`.
    scope: what to ask for: "write" (default), "read", or several joined by spaces.
    timeout: seconds that a whole call may take, retries included; 30.
    connect_timeout: seconds that making one connection may take, TLS included; 10.
    ca_file: a PEM file with the certificates to trust in place of the system's.
    add_ca_files: PEM files with certificates to trust beside those.
    proxy: `None`: from the environment (HTTPS_, ALL_, NO_PROXY, as in curl), "": none, else a URL.
    user_agent: your product and its version, added after `libcmauth/x.y.z`.
    max_retries: how often a refresh or logout is sent again after a passing failure; 2.
    params_in_body: send token requests as a form and not in the query; `False`.

    A value that cannot be raises `FixError`, which names it. Sends nothing.
    """

    def __new__(
        cls,
        client_id: str,
        client_secret: str | None,
        *,
        base_url: str | None = None,
        scope: str | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        add_ca_files: Iterable[str | os.PathLike[str]] | None = None,
        proxy: str | None = None,
        user_agent: str | None = None,
        max_retries: int | None = None,
        params_in_body: bool = False,
    ) -> Self: ...
    def exchange_code(self, code: str, redirect_uri: str) -> Tokens:
        """Turns the code of a redirect into tokens.

        `redirect_uri` is the one the login page was opened with, to the byte. `Login.finish` does
        this too, and checks the redirect's state before; use this where you check for yourself.
        Raises `LoginError` where the code is no longer good: it is used up by its first use.
        """
    def refresh(self, refresh_token: str) -> Tokens:
        """Gets a new access token. The old one ends at once: keep what comes back.

        Raises `LoginError` where the refresh token is no longer good.
        """
    def logout(self, access_token: str) -> None:
        """Ends the access token and its refresh token.

        Raises `RefreshError` where the access token is unknown or expired; an expired one leaves
        the refresh token alive: refresh, then log out.
        """
    def cancel(self) -> None:
        """Ends the calls under way on this client, and every later one, with `CancelledError`.

        From any thread, for a program that must stop; there is no way back but a new client.
        """
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...
    def begin_login(self, redirect_uri: str) -> Login:
        """Begins a login that will come back to `redirect_uri`. Sends nothing.

        Raises `FixError` where that does not begin with http:// or https://.
        """
    def listen(self, port: int = 0) -> Login:
        """Begins a login that will come back to this machine, and listens for it.

        Open its `url` in the browser, then call its `wait`. It listens on 127.0.0.1 only.

        port: 0 takes a free one; a key with a registered redirect URI may need that one's.

        Raises `FixError` where the port cannot be had.
        """
    def login(
        self,
        *,
        timeout: float = 300.0,
        port: int = 0,
        message: str | None = None,
        show: Callable[[str], object] | None = None,
    ) -> Tokens:
        """A whole login on this machine: opens the browser, waits for it to come back, finishes.

        timeout: seconds that the user may take.
        port: as for `listen`.
        message: the words on the page that the browser shows after a login.
        show: called with the URL of the page, in place of opening a browser: `show=print`.

        Raises `LoginError` where the user said no, `RetryError` where the time was up.
        """
    def __getnewargs_ex__(self) -> tuple[tuple[str, str | None], dict[str, Any]]: ...

@final
class Login:
    """One login under way, made by `Client.begin_login` or `Client.listen`.

    It is used up by the first exchange that was sent; after a mismatch or an earlier failure it
    stays open.
    """

    @property
    def url(self) -> str:
        """The page to open in the user's browser, which must follow redirects."""
    def finish(self, redirected_url: str) -> Tokens:
        """Checks the URL that the browser came back to, and exchanges its code for tokens.

        Raises `LoginError` where the redirect belongs to another login or the user said no,
        `FixError` where there is no code in it or the login is finished already; else what
        `Client.exchange_code` raises.
        """
    def wait(self, timeout: float = 300.0) -> Tokens:
        """Waits until the browser comes back to a login that listens, and finishes it.

        The browser is shown a page that says how it went. Whatever else comes to the port is
        answered with 400, and the wait goes on; then the port is closed.

        timeout: seconds that the browser may take; the exchange has the client's time after it.

        Raises `RetryError` where nobody came, after which it can wait again, `CancelledError`
        after `cancel`; else what `finish` raises.
        """
    def cancel(self) -> None:
        """Ends `wait`, from another thread, within 100 ms."""
    def set_message(self, message: str) -> None:
        """The words on the page that the browser shows after a login that listens."""
    def to_json(self) -> str:
        """The login as JSON, for another process or machine to finish within an hour.

        The API key's secret is not in it; what is there is as secret as a password.
        """
    @staticmethod
    def from_json(client: Client, json: str) -> Login:
        """A login from what `to_json` returned elsewhere, to finish it here.

        Raises `FixError` where it is something else, or of another key or server than `client`,
        `LoginError` where it began more than an hour ago.
        """
    def is_redirect(self, url: str) -> bool:
        """Whether `url` is the redirect of a login like this one.

        For a browser inside the product, to know when to stop showing pages and call `finish`,
        which checks the rest.
        """

@final
class Tokens:
    """What the server gave, and until when. Immutable; a refresh gives new ones.

    Its `repr` hides both tokens. Two are equal when all they hold is. A pickle of it holds both
    tokens, as `to_json` does: as secret as a password.
    """

    @property
    def access_token(self) -> str:
        """The token for the header `Authorization: Bearer …`. Opaque and secret."""
    @property
    def refresh_token(self) -> str | None:
        """The token for `Client.refresh`, where the server gave one. Secret.

        It works until the user logs out.
        """
    @property
    def token_type(self) -> str:
        """How to use the access token: "bearer", in the server's spelling."""
    @property
    def scope(self) -> str | None:
        """What the tokens allow, as the server said it: "write", "read write"."""
    @property
    def expires_at(self) -> int | None:
        """When the access token ends, in Unix seconds; `None`: never."""
    @property
    def expires_in(self) -> int | None:
        """Seconds left now, at least 0; `None`: it never expires."""
    def to_json(self) -> str:
        """The tokens as JSON, for the application to keep: as secret as the tokens in it."""
    @staticmethod
    def from_json(json: str) -> Tokens:
        """Tokens from what `to_json` returned. Keys it does not know are passed over.

        Raises `FixError` where it is something else.
        """
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Session:
    """One logged-in user, asked by any thread of any process for a token that is valid now.

    It keeps its tokens in `store`: a `FileStore`, a `MemoryStore`, a `RedisStore` or another
    `Store`. It begins with the ones that are there, or with nobody logged in until `start`.
    Threads share one session; processes and machines share a user by sharing a store.
    Raises `RetryError` where the store cannot be read. If what it has is damaged, or of another
    API key or server, nobody is logged in: `health` has the `FixError` that every call but
    `forget` raises, and `forget` gives it up.
    """

    def __new__(cls, client: Client, store: MemoryStore | FileStore | _Store) -> Self: ...
    def start(self, tokens: Tokens) -> None:
        """Begins with the tokens of a login. They are in the store when this returns.

        Raises `RetryError` where the store could not be locked or written, `FixError` where what it
        has is damaged or of another API key or server and would be lost: the session is as before,
        and the tokens are still good for another try.
        """
    def tokens(self) -> Tokens:
        """Tokens that are valid now. Refreshes them when they are about to end, once for all.

        Where that fails while the tokens at hand have not ended, gives those; the failure shows
        in `health`. Raises `LoginError` where nobody is logged in or the server ended the login.
        With a `MemoryStore` or `FileStore`, who can have tokens that have not ended waits for newer
        ones for a second at most. After a failure the server is left alone: later calls for
        tokens that have ended, or were rejected, raise the same error at once until `retry_after`
        has passed.
        """
    def tokens_at_hand(self) -> Tokens | None:
        """The tokens, if they are valid now and nothing need be done, else `None`; never blocks."""
    def rejected(self, tokens: Tokens) -> Tokens:
        """Other tokens, after the API answered 401 to these: refreshed once for all who ask.

        Not after a 403, which other tokens would get too. Raises what `tokens` does; the rejected
        ones are not given again. Tokens that came after rejected ones, and are younger than 15 s
        (up to 10 minutes, if that goes on), are not refreshed again: `RetryError` with the status
        `TOKEN_REJECTED`, and `retry_after`.
        """
    def logout(self) -> bool:
        """Ends the login at the server, for all who share it, and here.

        `True`: the server confirmed it. `False`: it was gone already. Raises where the server
        could not be told: all is as before, so try again, or `forget`.
        """
    def forget(self) -> None:
        """Forgets the tokens here and in the store; the server is not told.

        Clears a store whose content is damaged, or of another API key or server, too.
        """
    def on_change(self, callback: Callable[[int], object] | None) -> None:
        """Calls `callback` with the generation after each change: other tokens, or none any more.

        So that streams that live long can reconnect. It is called in the thread that noticed,
        within a call of the session, which it may call in its turn. The generation is another
        number after each change; of two calls at once either may come first. `None`: nobody is
        told any more.
        """
    def health(self) -> Health:
        """How the session is, as known here; asks nobody."""

@final
class Health:
    """How a session is. Holds no secret."""

    @property
    def logged_in(self) -> bool:
        """Whether there are tokens, as far as is known here."""
    @property
    def generation(self) -> int:
        """The number of the tokens: another one after each change."""
    @property
    def expires_at(self) -> int | None:
        """When the access token ends, in Unix seconds; `None`: never, or nobody is logged in."""
    @property
    def next_refresh(self) -> int | None:
        """When a refresh is tried next, in Unix seconds; `None`: never, or nobody is logged in."""
    @property
    def failures(self) -> int:
        """Failures since the last success."""
    @property
    def last_error(self) -> Error | None:
        """The last of the failures in a row, or what is wrong with the content of the store."""
    @property
    def saved(self) -> bool:
        """Whether the store has the tokens. If it refused them, saving is tried again."""

@final
class MemoryStore:
    """Keeps a session for as long as the process lives."""

    def __new__(cls) -> Self: ...

@final
class FileStore:
    """Keeps a session in one file, which only its owner can read, for all processes of a machine.

    Beside `path` stand `path.lock`, which stays, and for a moment `path.tmp`. A process that is
    killed, or a machine that loses power, leaves the old session or the new one. A file that
    others can read is refused. What is wrong with the path is raised when a session is opened.

    A relative path counts from the working directory of this moment. Of a symbolic link, the
    target is written and locked. A child of `os.fork` does not inherit the lock. No other code of
    the process may open and close `path.lock`, which would release it.
    """

    def __new__(cls, path: str | os.PathLike[str]) -> Self: ...

def exchange_code(
    client_id: str, client_secret: str, code: str, redirect_uri: str, **options: Unpack[Options]
) -> Tokens:
    """`Client.exchange_code` for a script that calls once. `options` are those of `Client`."""

def refresh(
    client_id: str, client_secret: str, refresh_token: str, **options: Unpack[Options]
) -> Tokens:
    """`Client.refresh` for a script that calls once. `options` are those of `Client`."""

def logout(
    client_id: str, client_secret: str, access_token: str, **options: Unpack[Options]
) -> None:
    """`Client.logout` for a script that calls once. `options` are those of `Client`."""
