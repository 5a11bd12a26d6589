"""The enumerations and exceptions of the package. The Rust side raises through `make` only."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """What kind of failure it was. The numbers are those of the C library and never change.

    INVALID_ARGUMENT: a parameter is malformed or impossible, or the login is already finished;
        nothing was sent.
    LOGIN_REQUIRED: the code or the refresh token is no longer good.
    TOKEN_REJECTED: the access token is unknown or expired, or is too young for a session to
        refresh it once more.
    ACCESS_DENIED: the user said no, or the server answered 403.
    CLIENT_REJECTED: the API key is wrong or may not do this.
    REQUEST_REJECTED: the server refused the request for another reason.
    STATE_MISMATCH: the redirect does not belong to this login, which stays open.
    NETWORK: no name, no route, refused, reset, cut off, or the proxy failed.
    TLS: the certificate or the handshake failed.
    TIMEOUT: the time was up.
    SERVER: the server has a problem, or too much to do (5xx or 429).
    PROTOCOL: an answer that is not what the API promises.
    STORE: the store of a session could not be read, locked or written, or its content is damaged
        or of another API key or server.
    INTERNAL: a bug in this library.
    CANCELLED: `Client.cancel` was called.
    """

    INVALID_ARGUMENT = 1
    LOGIN_REQUIRED = 2
    TOKEN_REJECTED = 3
    ACCESS_DENIED = 4
    CLIENT_REJECTED = 5
    REQUEST_REJECTED = 6
    STATE_MISMATCH = 7
    NETWORK = 8
    TLS = 9
    TIMEOUT = 10
    SERVER = 11
    PROTOCOL = 12
    STORE = 13
    INTERNAL = 14
    CANCELLED = 15


class Advice(enum.IntEnum):
    """What to do about an error; `Error` has one subclass for each."""

    NONE = 0
    FIX = 1
    LOG_IN = 2
    REFRESH = 3
    RETRY = 4
    REPORT = 5


class Error(Exception):
    """Why a call failed. Raised as one of the subclasses, which say what to do about it.

    Its text is one line that says what happened and what to do. Nothing in it is secret.

    status: what kind of failure it was.
    advice: what to do, the same as the subclass says.
    message: the text, as `str` gives it.
    http_status: the HTTP status, where there was an answer.
    oauth_error: the OAuth error code of the answer or the redirect: "invalid_grant".
    oauth_description: what the server said about it; for people, never branch on it.
    retry_after: how many seconds to wait before another try, as the server asked or as is left of
        a session's pause.
    request_sent: whether a byte of the request may have reached the server.
    """

    status: Status = Status.INTERNAL
    advice: Advice = Advice.REPORT
    http_status: int | None = None
    oauth_error: str | None = None
    oauth_description: str | None = None
    retry_after: float | None = None
    request_sent: bool = False

    @property
    def message(self) -> str:
        return str(self)


class FixError(Error):
    """Somebody must change something: the program, its settings, the network or the API key."""

    advice = Advice.FIX


class LoginError(Error):
    """Send the user to the login page again."""

    advice = Advice.LOG_IN


class RefreshError(Error):
    """Get a new access token with the refresh token, then do it again."""

    advice = Advice.REFRESH


class RetryError(Error):
    """Try again later; after `retry_after` seconds where there is a time."""

    advice = Advice.RETRY


class InternalError(Error):
    """It is a bug in this library: report it with the message."""

    advice = Advice.REPORT


class CancelledError(Error):
    """Nothing is to be done: you asked for it with `Client.cancel`."""

    advice = Advice.NONE


_BY_ADVICE = {kind.advice: kind for kind in Error.__subclasses__()}


def make(message: str, status: int, advice: int, **details: object) -> Error:
    """The exception for an error of the core. `details` are the other attributes of `Error`."""
    error = _BY_ADVICE[Advice(advice)](message)
    error.status = Status(status)
    error.__dict__.update(details)
    return error


# Tracebacks and documentation show them where users import them from.
for _kind in (Status, Advice, Error, *Error.__subclasses__()):
    _kind.__module__ = "cmauth"
