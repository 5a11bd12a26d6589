"""The enumerations and exceptions of the package. The Rust module raises them with `make`."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """The kind of a failure. The numbers are those of the C library and never change.

    INVALID_ARGUMENT: an argument is invalid, or the login is finished already. Nothing was sent.
    LOGIN_REQUIRED: the code or the refresh token is not valid any more.
    TOKEN_REJECTED: the access token is unknown or expired. From `Session.rejected`: the token is
        too new to be refreshed again.
    ACCESS_DENIED: the user denied the access, or the server responded 403.
    CLIENT_REJECTED: the API key is wrong or lacks a permission.
    REQUEST_REJECTED: the server rejected the request for another reason.
    STATE_MISMATCH: the redirect does not belong to this login, which stays open.
    NETWORK: no address, no route, a connection that was refused, reset or closed, or an error of
        the proxy.
    TLS: the certificate or the handshake failed.
    TIMEOUT: the time limit was reached.
    SERVER: the server has an error or is overloaded (5xx or 429).
    PROTOCOL: the response does not follow the API.
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
    """What to do about an error. Each advice has a subclass of `Error`."""

    NONE = 0
    FIX = 1
    LOG_IN = 2
    REFRESH = 3
    RETRY = 4
    REPORT = 5


class Error(Exception):
    """A failure. Calls raise one of its subclasses, which say what to do about it.

    The text is one line that says what happened and what to do. It contains no secret.

    status: the kind of the failure.
    advice: what to do, as the subclass says.
    message: the text, as from `str`.
    http_status: the HTTP status, if there was a response.
    oauth_error: the OAuth error code of the response or the redirect: "invalid_grant".
    oauth_description: the server's description, for people. Never branch on it.
    retry_after: how many seconds to wait before the next try: the time that the server requested,
        or the rest of a session's pause.
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
    """Change something: the program, its settings, the network or the API key."""

    advice = Advice.FIX


class LoginError(Error):
    """Send the user to the login page again."""

    advice = Advice.LOG_IN


class RefreshError(Error):
    """Get a new access token with the refresh token, then try again."""

    advice = Advice.REFRESH


class RetryError(Error):
    """Try again later: after `retry_after` seconds, if it is set."""

    advice = Advice.RETRY


class InternalError(Error):
    """This is a bug in this library: report it with the message."""

    advice = Advice.REPORT


class CancelledError(Error):
    """Do nothing: you called `Client.cancel`."""

    advice = Advice.NONE


_BY_ADVICE = {kind.advice: kind for kind in Error.__subclasses__()}


def make(message: str, status: int, advice: int, **details: object) -> Error:
    """The exception for an error of the core. `details` are the other attributes of `Error`."""
    error = _BY_ADVICE[Advice(advice)](message)
    error.status = Status(status)
    error.__dict__.update(details)
    return error


# Tracebacks and documentation show the module from which users import them.
for _kind in (Status, Advice, Error, *Error.__subclasses__()):
    _kind.__module__ = "cmauth"
