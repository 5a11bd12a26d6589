"""The CameraManager login: OAuth login page, tokens, refresh, logout.

    import cmauth

    client = cmauth.Client("my.api.key", "its secret")
    login = client.begin_login("https://example.com")
    print("open", login.url)
    tokens = login.finish(input("where did the browser go? "))

    # Use it: Authorization: Bearer {tokens.access_token}. When tokens.expires_in nears 0:
    tokens = client.refresh(tokens.refresh_token)
    client.logout(tokens.access_token)

A refresh ends the old access token at once, so refresh in one place and keep what comes back:
`tokens.to_json()` and `Tokens.from_json(json)`.

Every failure is a `cmauth.Error`, whose subclass says what to do:

    FixError        change something: the program, its settings, the network or the API key
    LoginError      send the user to the login page again
    RefreshError    get a new access token, then do it again
    RetryError      try again later
    InternalError   report it
    CancelledError  nothing: you called client.cancel()

`exchange_code`, `refresh` and `logout` of this module do the same without a client, for scripts.
"""

from cmauth._cmauth import (
    DEFAULT_BASE_URL,
    Client,
    Login,
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

__all__ = [
    "DEFAULT_BASE_URL",
    "Advice",
    "CancelledError",
    "Client",
    "Error",
    "FixError",
    "InternalError",
    "Login",
    "LoginError",
    "Options",
    "RefreshError",
    "RetryError",
    "Status",
    "Tokens",
    "__version__",
    "exchange_code",
    "logout",
    "refresh",
]
