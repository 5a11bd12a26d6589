"""Signatures and docstrings of the Rust module, for editors and type checkers."""

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ClassVar, Final, TypeVar, final

from typing_extensions import Self, Unpack

from cmauth._change import Change
from cmauth._errors import Error
from cmauth._options import Options
from cmauth._stores import Store as _Store

_Result = TypeVar("_Result")

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
    "SignedUrl",
    "Tokens",
    "User",
    "_Answer",
    "_Cancel",
    "_Origins",
    "__version__",
    "exchange_code",
    "logout",
    "refresh",
    "store_time_left",
]

__version__: Final[str]
DEFAULT_BASE_URL: Final[str]
_STATUSES: Final[list[tuple[str, int]]]
_ADVICES: Final[list[tuple[str, int]]]

@final
class Client:
    """A client for one API key: an id and a secret, from https://dealer.cameramanager.com.

    A client is immutable and stores no user. It keeps connections open, so make one and share it
    between threads. Its calls block, but other threads run meanwhile. Ctrl-C ends a call within
    100 ms. A failure raises `Error`. Other processes can inherit the client by fork, or get it as
    a pickle, which contains the secret.

    client_secret: `None` on a machine that must not have it, such as an operator's workstation.
        Such a client can begin logins; a machine with the secret finishes them (`Login.to_json`).

    Options, with `None` for the default:

    base_url: the server; https, or http on this machine for tests. Default: `DEFAULT_BASE_URL`.
    scope: the scope to request: "write" (default), "read", or several separated by spaces.
    timeout: the time limit of a call with its retries, in seconds. Default: 30.
    connect_timeout: the time limit of one connection with its TLS handshake. Default: 10.
    ca_file: a PEM file with the certificates to trust instead of the system's.
    add_ca_files: PEM files with certificates to trust in addition.
    proxy: the URL of a proxy, or "" for none. Default: the environment decides, as in curl
        (HTTPS_PROXY, ALL_PROXY, NO_PROXY).
    user_agent: your product and its version, which follow `libcmauth/x.y.z`.
    max_retries: how often a refresh or logout is retried after a temporary failure. Default: 2.
    params_in_body: sends token requests as a form, not in the query. Default: `False`.
    allow_origins: further origins that may get the access token of a user, such as
        "https://media.example". Default: only `base_url` may. See `check_url`.

    An unusable value raises `FixError` with its name. Making a client sends nothing.
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
        allow_origins: Iterable[str] | None = None,
    ) -> Self: ...
    def exchange_code(self, code: str, redirect_uri: str) -> Tokens:
        """Exchanges the code of a redirect for tokens.

        `redirect_uri` must be exactly the one of the login page. `Login.finish` does the same and
        also checks the state of the redirect; use this method if you check the state yourself.
        Raises `LoginError` if the code is not valid any more. A code can be used once.
        """
    def refresh(self, refresh_token: str) -> Tokens:
        """Gets a new access token. The old one ends at once, so store the new tokens.

        Raises `LoginError` if the refresh token is not valid any more.
        """
    def logout(self, access_token: str) -> None:
        """Ends the access token and its refresh token.

        Raises `RefreshError` if the access token is unknown or expired. The refresh token of an
        expired one stays valid: refresh, then log out.
        """
    def user(self, tokens: Tokens | str) -> User:
        """Asks the API who the user of these tokens is, and returns a `User`.

        A program that serves many users keeps them by `User.id`. Raises `RefreshError` if the access
        token is unknown or expired. Raises `FixError` if its scope does not allow it.

        tokens: the tokens, or only their access token.
        """
    def check_url(self, url: str, *, allow: Iterable[str] | None = None) -> None:
        """Checks that a URL may get the access token. Raises `FixError` with its origin if it may not.

        URLs of the server (`base_url`: scheme, host and port) may, and those of `allow_origins` and
        `allow`. `Auth`, `HttpxAuth` and `Session.sign_url` do this check. With other HTTP libraries,
        call it before each request to a URL that the program did not write itself.

        allow: further origins: `["https://media.example"]`.
        """
    def _proxy_url(self) -> str | None:
        """For `cmauth doctor`: the URL of the proxy that is used. It can contain a password."""
    def cancel(self) -> None:
        """Ends the calls in progress on this client, and all later ones, with `CancelledError`.

        Call it from any thread when the program must stop. A cancelled client stays cancelled.
        """
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...
    def begin_login(self, redirect_uri: str) -> Login:
        """Begins a login that redirects to `redirect_uri`. Sends nothing.

        Raises `FixError` if that does not begin with http:// or https://.
        """
    def listen(self, port: int = 0) -> Login:
        """Begins a login that redirects to this machine, and listens for it on 127.0.0.1.

        Open its `url` in the browser, then call its `wait`.

        port: 0 for a free one. An API key with a registered redirect URI may need the port of that.

        Raises `FixError` if the port is not available.
        """
    def login(
        self,
        *,
        timeout: float = 300.0,
        port: int = 0,
        message: str | None = None,
        show: Callable[[str], object] | None = None,
    ) -> Tokens:
        """Does a whole login: opens the browser, waits for the redirect, and returns the tokens.

        timeout: how long the user may take, in seconds.
        port: as for `listen`.
        message: the text of the page that the browser shows after the login.
        show: called with the URL of the login page instead of opening a browser: `show=print`. It runs
            in a thread, so the redirect is answered while it blocks. Its exception ends the login.

        Raises `LoginError` if the user denied the access, `RetryError` after the timeout.
        """
    def __getnewargs_ex__(self) -> tuple[tuple[str, str | None], dict[str, Any]]: ...

@final
class User:
    """A user, as the API describes it. `Client.user` asks for it. Contains no secret."""

    @property
    def id(self) -> str:
        """The ID, the same for every login of the user: "20003"."""
    @property
    def name(self) -> str | None:
        """The name with which the user logs in, if the API sent it."""
    @property
    def email(self) -> str | None:
        """The e-mail address, if the API sent it."""
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Login:
    """A login in progress, made by `Client.begin_login` or `Client.listen`.

    The first exchange that is sent uses the login up. After a redirect of another login, or an
    earlier failure, the login stays open.
    """

    @property
    def url(self) -> str:
        """The login page to open in the user's browser, which must follow redirects."""
    def finish(self, redirected_url: str) -> Tokens:
        """Checks the URL of the redirect, and exchanges its code for tokens.

        Raises `LoginError` if the redirect belongs to another login or the user denied the access.
        Raises `FixError` if it has no code or the login is finished already. Otherwise raises the
        errors of `Client.exchange_code`.
        """
    def wait(self, timeout: float = 300.0) -> Tokens:
        """Waits for the redirect of a login that listens, and finishes the login.

        The browser shows a page with the result. Other requests to the port get 400, and the wait
        goes on. A finished login closes the port.

        timeout: how long the browser may take, in seconds. The exchange has the client's timeout in
            addition.

        Raises `RetryError` after the timeout; you can then wait again. Raises `CancelledError`
        after `cancel`. Otherwise raises the errors of `finish`.
        """
    def cancel(self) -> None:
        """Ends `wait` within 100 ms. Call it from another thread."""
    def set_message(self, message: str) -> None:
        """Sets the text of the page that the browser shows after a login that listens."""
    def set_page(
        self,
        *,
        language: str | None = None,
        title: str | None = None,
        success: str | None = None,
        failure: str | None = None,
        product: str | None = None,
    ) -> None:
        """Sets texts of the page that the browser shows after a login that listens. `None` keeps one.

        language: the language of the other texts, as a tag such as "en" or "de-AT". `wait` raises
            `FixError` if it is none.
        title: the title of the page, in the tab of the browser.
        success: what the page says after a successful login, as `set_message` does.
        failure: what it says after a login that failed or that the user denied.
        product: the name of the product.
        """
    def to_json(self) -> str:
        """The login as JSON, for another process or machine to finish within an hour.

        It does not contain the secret of the API key, but it is as secret as a password.
        """
    @staticmethod
    def from_json(client: Client, json: str) -> Login:
        """Makes a login from the text that `to_json` returned, to finish it here.

        Raises `FixError` if it is another text, or of another API key or server than `client`.
        Raises `LoginError` if the login began more than an hour ago.
        """
    def is_redirect(self, url: str) -> bool:
        """Whether `url` is the redirect URI of this login with a code or an error.

        An embedded browser needs this to know when the login is over. Then call `finish`, which
        also checks the state.
        """

@final
class Tokens:
    """The tokens of a user, and when they expire. Immutable; a refresh returns new ones.

    The `repr` hides both tokens. Objects with the same content are equal. A pickle contains both
    tokens, as `to_json` does: it is as secret as a password.
    """

    @property
    def access_token(self) -> str:
        """The token for the header `Authorization: Bearer …`. Opaque and secret."""
    @property
    def authorization(self) -> str:
        """The value of the header `Authorization`: "Bearer " and the access token. Secret."""
    @property
    def refresh_token(self) -> str | None:
        """The token for `Client.refresh`, if the server sent one. Secret.

        It is valid until the user logs out.
        """
    @property
    def token_type(self) -> str:
        """The type of the access token: "bearer", in the spelling of the server."""
    @property
    def scope(self) -> str | None:
        """The scope that the server granted: "write", "read write"."""
    @property
    def expires_at(self) -> int | None:
        """When the access token expires, in Unix seconds. `None`: never."""
    @property
    def expires_in(self) -> int | None:
        """The remaining lifetime in seconds, at least 0. `None`: it never expires."""
    def to_json(self) -> str:
        """The tokens as JSON, for the application to store. As secret as the tokens themselves."""
    @staticmethod
    def from_json(json: str) -> Tokens:
        """Makes tokens from the text that `to_json` returned. Ignores unknown keys.

        Raises `FixError` if it is another text.
        """
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Session:
    """A logged-in user. It gives all threads and processes a valid access token.

    It keeps the tokens in `store`: a `FileStore`, a `MemoryStore`, a `RedisStore` or another
    `Store`. It begins with the tokens in the store. Without any, nobody is logged in until
    `start`. Threads share one session. Processes and machines share a store.

    Raises `RetryError` if the store cannot be read. If its content is damaged, or of another API
    key or server, nobody is logged in: `health` has a `FixError`, which every call except
    `forget` raises, and `forget` clears the store.
    """

    def __new__(cls, client: Client, store: MemoryStore | FileStore | _Store) -> Self: ...
    def start(self, tokens: Tokens) -> None:
        """Begins with the tokens of a login. They are in the store when this returns.

        Raises `RetryError` if the store cannot be locked or written. Raises `FixError` if the store
        has content that is damaged, or of another API key or server; `forget` deletes it. After an
        error, the session is unchanged and the tokens are still valid, so you can try again.
        """
    def tokens(self, *, min_validity: float | None = None) -> Tokens:
        """Returns valid tokens. Refreshes them shortly before they expire, once for all callers.

        If a refresh fails before the tokens have expired, this returns them, and `health` has the
        failure. Raises `LoginError` if nobody is logged in or the server ended the login.

        With a `MemoryStore` or `FileStore`, a caller whose tokens have not expired waits for a
        refresh for at most a second. After a failure, the session pauses: until `retry_after` has
        passed, it raises the same error at once if the tokens have expired or were rejected.

        min_validity: how many seconds the tokens must remain valid. They are refreshed first if they
            are not, for a job that must end with the tokens that it began with: see also `hold`.
            Raises `FixError` if it is more than new tokens have.
        """
    def tokens_at_hand(self) -> Tokens | None:
        """The tokens, if they are valid and need no refresh now, else `None`. Never blocks."""
    def rejected(self, tokens: Tokens | str) -> Tokens:
        """Returns other tokens after the API responded 401. Refreshes once for all callers.

        Do not call it after a 403, which other tokens would get too. It raises the errors of
        `tokens`, and the session does not return the rejected tokens again.

        Tokens that replaced rejected ones are not refreshed before they are 15 s old (up to 10
        minutes, if the API goes on rejecting tokens). Until then, this raises `RetryError` with the
        status `TOKEN_REJECTED` and `retry_after`.

        tokens: the rejected tokens, or only their access token.
        """
    def hold(self, until: float) -> Tokens:
        """Holds early refreshes off until `until`, for all sessions on the store, and returns the tokens.

        A refresh ends the old access token at once, so hold the tokens during a long download:
        `session.tokens(min_validity=3600)`, then `session.hold(time.time() + 3600)`. A hold ends with
        the tokens at the latest. A shorter one does not end a longer one. It does not prevent a
        refresh after a 401, a logout, or a refresh by a program that does not use this store.

        until: Unix seconds.

        Raises the errors of `tokens`. Raises `RetryError` if the hold could not be saved.
        """
    def sign_url(self, url: str, *, allow: Iterable[str] | None = None) -> SignedUrl:
        """Returns `url` with the access token as the query parameter `access_token`, as a `SignedUrl`.

        The API requires that for downloads of recordings. The token is percent-encoded, and replaces
        one that is there. The rest of the URL stays as it is, so encode the `+` of a time as `%2B`.
        Prefer the header where the API accepts it: servers and proxies log URLs.

        allow: further origins that may get the token: `["https://media.example"]`.

        Raises `FixError` if the URL may not get the token: see `Client.check_url`. Otherwise raises the
        errors of `tokens`.
        """
    def _check_url(self, url: str, allow: _Origins) -> None:
        """For `Auth` and `HttpxAuth`: `Client.check_url` of this session's client."""
    @property
    def _worker(self) -> Any:
        """For event loops: runs the blocking calls of this session in a thread."""
    def next_action(self) -> float | None:
        """How many seconds `tokens` has nothing to do but to return the tokens at hand.

        `None`: nothing will be due, because the tokens do not expire or nobody is logged in. An event
        loop can wait for this time. Another call, or another process, can change it.
        """
    def logout(self) -> bool:
        """Ends the login at the server, for all who share it, and clears the store.

        Returns `True` if the server confirmed it, `False` if the login had ended already. Raises an
        error and changes nothing if the server cannot be told; then try again, or call `forget`.
        """
    def forget(self) -> None:
        """Deletes the tokens here and in the store, without telling the server.

        It also clears a store whose content is damaged, or of another API key or server.
        """
    def on_change(self, callback: Callable[[Change, int], object] | None) -> None:
        """Calls `callback` with a `Change` and the generation after each change of the tokens.

        Long-lived streams can then reconnect. If several changes were not reported yet, it is called
        once, with the last one. The session calls it in the thread that noticed the
        change, within a call of the session. The callback may call the session. The generation
        differs after each change. Two concurrent calls can come in any order. `None` removes the
        callback.
        """
    def health(self) -> Health:
        """The state of the session, as far as this process knows. Sends nothing."""

@final
class _Origins:
    """Further origins that may get the access token, for `Auth` and `HttpxAuth`."""

    def __new__(cls, allow: Iterable[str] | None = None) -> Self: ...

@final
class _Answer:
    """What a store thread returns."""

    def begin(self) -> None:
        """The method begins on this thread."""
    def end(self, result: object, error: BaseException | None) -> None:
        """The method has returned `result`, or raised `error`."""

@final
class _Cancel:
    """Ends calls from another thread."""

    def __new__(cls) -> Self: ...
    def run(self, call: Callable[..., _Result], *arguments: Any) -> _Result:
        """Runs `call`. After `cancel`, the calls of the library that it makes raise `CancelledError`."""
    def cancel(self) -> None:
        """Ends the calls within 100 ms."""

@final
class SignedUrl:
    """A URL with the access token in its query, made by `Session.sign_url`.

    It is as secret as the token. Its `repr` and `str` hide it.
    """

    @property
    def url(self) -> str:
        """The URL. Do not log it."""
    @property
    def expires_at(self) -> int | None:
        """When the token in the URL expires, in Unix seconds. `None`: never.

        A refresh ends the token earlier: `Session.hold` keeps refreshes away.
        """

@final
class Health:
    """The state of a session. Contains no secret."""

    @property
    def logged_in(self) -> bool:
        """Whether there are tokens, as far as this process knows."""
    @property
    def generation(self) -> int:
        """A number that identifies the present tokens. It differs after each change."""
    @property
    def expires_at(self) -> int | None:
        """When the access token expires, in Unix seconds. `None`: never, or nobody is logged in."""
    @property
    def next_refresh(self) -> int | None:
        """When the next refresh is due, in Unix seconds. `None`: never, or nobody is logged in."""
    @property
    def failures(self) -> int:
        """The number of failures since the last success."""
    @property
    def last_error(self) -> Error | None:
        """The last of these failures, or the error in the content of the store."""
    @property
    def saved(self) -> bool:
        """Whether the store has the tokens. If saving them failed, the session tries again."""
    @property
    def held_until(self) -> int | None:
        """Until when early refreshes are held off, in Unix seconds: see `Session.hold`. `None`: they are not."""

@final
class MemoryStore:
    """Keeps a session in memory, until the process ends."""

    def __new__(cls) -> Self: ...

@final
class FileStore:
    """Keeps a session in one file, which only its owner can read, for all processes of a machine.

    Beside `path`, it uses `path.lock`, which stays, and `path.tmp` while it writes. If a process
    is killed, or the machine loses power, the file has the old session or the new one. The store
    rejects a file that other users can read. Opening a session raises errors of the path.

    A path that begins with "~" counts from the home folder. A relative path counts from the working
    directory at the time of this call. For a symbolic link, the store writes and locks the target.
    A child of `os.fork` does not inherit the lock. Other code of the process must not open and
    close `path.lock`, which would release the lock.
    """

    def __new__(cls, path: str | os.PathLike[str]) -> Self: ...

def exchange_code(
    client_id: str, client_secret: str, code: str, redirect_uri: str, **options: Unpack[Options]
) -> Tokens:
    """`Client.exchange_code` for a script that calls once. `options` are those of `Client`."""

def refresh(client_id: str, client_secret: str, refresh_token: str, **options: Unpack[Options]) -> Tokens:
    """`Client.refresh` for a script that calls once. `options` are those of `Client`."""

def logout(client_id: str, client_secret: str, access_token: str, **options: Unpack[Options]) -> None:
    """`Client.logout` for a script that calls once. `options` are those of `Client`."""

def store_time_left() -> float | None:
    """How many seconds a method of a store may still take, if a session calls it on this thread.

    Neither the timeout of the client nor a cancel ends a method of a store, so use this as the
    limit of its own requests. It is at least 1, because new tokens are saved even after the
    timeout. `None`: no session calls a store on this thread.
    """
