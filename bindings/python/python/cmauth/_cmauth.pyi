"""Signatures and docs of the Rust side, for editors and type checkers."""

import os
from collections.abc import Iterable
from typing import ClassVar, Final, final

from typing_extensions import Self, Unpack

from cmauth._options import Options

__all__ = [
    "DEFAULT_BASE_URL",
    "_ADVICES",
    "_STATUSES",
    "Client",
    "Login",
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
    running meanwhile; Ctrl-C takes effect when they end.

    Options, `None` standing for the default:

    base_url: the server, https (http only to this machine, for tests); `DEFAULT_BASE_URL`.
    scope: what to ask for: "write" (default), "read", or several joined by spaces.
    timeout: seconds that a whole call may take, retries included; 30.
    connect_timeout: seconds that making one connection may take, TLS included; 10.
    ca_file: a PEM file with the certificates to trust in place of the system's.
    add_ca_files: PEM files with certificates to trust beside those.
    proxy: `None`: from the environment (ALL_, HTTPS_, HTTP_, NO_PROXY), "": none, else a URL.
    user_agent: your product and its version, added after `libcmauth/x.y.z`.
    max_retries: how often a refresh or logout is sent again after a passing failure; 2.
    params_in_body: send token requests as a form and not in the query; `False`.

    A value that cannot be raises `FixError`, which names it. Sends nothing.
    """

    def __new__(
        cls,
        client_id: str,
        client_secret: str,
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
    def begin_login(self, redirect_uri: str) -> Login:
        """Begins a login that will come back to `redirect_uri`. Sends nothing.

        Raises `FixError` where that does not begin with http:// or https://.
        """

@final
class Login:
    """One login under way, made by `Client.begin_login`.

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
    def is_redirect(self, url: str) -> bool:
        """Whether `url` is the redirect of a login like this one.

        For a browser inside the product, to know when to stop showing pages and call `finish`,
        which checks the rest.
        """

@final
class Tokens:
    """What the server gave, and until when. Immutable; a refresh gives new ones.

    Its `repr` hides both tokens. Two are equal when all they hold is.
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
