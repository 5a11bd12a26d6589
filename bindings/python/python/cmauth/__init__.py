"""The CameraManager login: OAuth login page, tokens, refresh, logout.

    import cmauth

    client = cmauth.Client("my.api.key", "its secret")
    tokens = client.login()                    # opens the browser and waits for the redirect

    login = client.begin_login("https://example.com")  # or in two steps, for a web application
    print("open", login.url)
    tokens = login.finish(input("URL of the redirect: "))

    # Use the token: Authorization: Bearer {tokens.access_token}
    # Refresh it before tokens.expires_in reaches 0:
    tokens = client.refresh(tokens.refresh_token)
    client.logout(tokens.access_token)

A refresh ends the old access token at once, so refresh in one place and store the new tokens.
A session does this for all threads and processes that share its store:

    session = cmauth.Session(client, cmauth.FileStore("/var/lib/recorder/cameramanager"))
    session.start(tokens)                      # once, after the login
    requests.get(url, auth=cmauth.Auth(session))

Every failure is a `cmauth.Error`. Its subclass says what to do:

    FixError        change something: the program, its settings, the network or the API key
    LoginError      send the user to the login page again
    RefreshError    get a new access token, then try again
    RetryError      try again later
    InternalError   report the bug
    CancelledError  nothing: you called client.cancel()

Ctrl-C ends a call within 100 ms. Scripts that make one call can use the functions
`exchange_code`, `refresh` and `logout` of this module, without a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmauth._async_api import AsyncClient, AsyncLogin, AsyncSession
from cmauth._auth import Auth
from cmauth._change import Change
from cmauth._cmauth import (
    DEFAULT_BASE_URL,
    Client,
    FileStore,
    Health,
    Login,
    MemoryStore,
    Session,
    SignedUrl,
    Tokens,
    User,
    __version__,
    exchange_code,
    logout,
    refresh,
    store_time_left,
)
from cmauth._errors import (
    Advice,
    CancelledError,
    Error,
    FixError,
    InternalError,
    LoginError,
    RefreshError,
    RetryError,
    Status,
)
from cmauth._options import Options
from cmauth._sessions import Sessions
from cmauth._stores import KeyringStore, RedisStore, StaleError, Store

if TYPE_CHECKING:
    from cmauth._httpx import HttpxAuth

__all__ = [
    "DEFAULT_BASE_URL",
    "Advice",
    "AsyncClient",
    "AsyncLogin",
    "AsyncSession",
    "Auth",
    "CancelledError",
    "Change",
    "Client",
    "Error",
    "FileStore",
    "FixError",
    "Health",
    "HttpxAuth",
    "InternalError",
    "KeyringStore",
    "Login",
    "LoginError",
    "MemoryStore",
    "Options",
    "RedisStore",
    "RefreshError",
    "RetryError",
    "Session",
    "Sessions",
    "SignedUrl",
    "StaleError",
    "Status",
    "Store",
    "Tokens",
    "User",
    "__version__",
    "exchange_code",
    "logout",
    "refresh",
    "store_time_left",
]


def __getattr__(name: str) -> object:
    # Imported on demand, because httpx is optional.
    if name == "HttpxAuth":
        try:
            from cmauth._httpx import HttpxAuth
        except ModuleNotFoundError as error:
            if error.name != "httpx":
                raise
            raise ImportError("cmauth.HttpxAuth needs the package httpx: pip install 'cmauth[httpx]'") from None
        return HttpxAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # For `help`. It gets every name, and `HttpxAuth` needs httpx.
    from importlib.util import find_spec

    return [name for name in (*globals(), "HttpxAuth") if name != "HttpxAuth" or find_spec("httpx")]
