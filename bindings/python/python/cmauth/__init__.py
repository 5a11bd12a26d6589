"""The CameraManager login: OAuth login page, tokens, refresh, logout.

    import cmauth

    client = cmauth.Client("my.api.key", "its secret")
    tokens = client.login()                    # opens the browser, and waits for it

    login = client.begin_login("https://example.com")  # or by hand, for a web application
    print("open", login.url)
    tokens = login.finish(input("where did the browser go? "))

    # Use it: Authorization: Bearer {tokens.access_token}. When tokens.expires_in nears 0:
    tokens = client.refresh(tokens.refresh_token)
    client.logout(tokens.access_token)

A refresh ends the old access token at once, so refresh in one place and keep what comes back.
A session does so, for all threads and processes that share its store:

    session = cmauth.Session(client, cmauth.FileStore("/var/lib/recorder/cameramanager"))
    session.start(tokens)                      # once, after the login
    requests.get(url, auth=cmauth.Auth(session))

Every failure is a `cmauth.Error`, whose subclass says what to do:

    FixError        change something: the program, its settings, the network or the API key
    LoginError      send the user to the login page again
    RefreshError    get a new access token, then do it again
    RetryError      try again later
    InternalError   report it
    CancelledError  nothing: you called client.cancel()

`exchange_code`, `refresh` and `logout` of this module do the same without a client, for scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmauth._cmauth import (
    DEFAULT_BASE_URL,
    Client,
    FileStore,
    Health,
    Login,
    MemoryStore,
    Session,
    Tokens,
    __version__,
    exchange_code,
    logout,
    refresh,
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
from cmauth._sessions import AsyncSession, Auth
from cmauth._stores import KeyringStore, RedisStore, StaleError, Store

if TYPE_CHECKING:
    from cmauth._httpx import HttpxAuth

__all__ = [
    "DEFAULT_BASE_URL",
    "Advice",
    "AsyncSession",
    "Auth",
    "CancelledError",
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
    "StaleError",
    "Status",
    "Store",
    "Tokens",
    "__version__",
    "exchange_code",
    "logout",
    "refresh",
]


def __getattr__(name: str) -> object:
    # Needs httpx, which a program without it need not have.
    if name == "HttpxAuth":
        from cmauth._httpx import HttpxAuth

        return HttpxAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
