"""What a session tells the callback of `Session.on_change`."""

from __future__ import annotations

import enum


class Change(enum.IntEnum):
    """What the last change of a session was. The numbers are those of the C library.

    TOKENS: the session has other tokens: by a login, by a refresh, or from the store.
    ENDED_HERE: `logout` or `forget` of this session ended the login.
    ENDED_BY_SERVER: the server rejected the refresh token. Send the user to the login page.
    ENDED_ELSEWHERE: another session, process or machine removed the tokens from the store.
    """

    TOKENS = 1
    ENDED_HERE = 2
    ENDED_BY_SERVER = 3
    ENDED_ELSEWHERE = 4


Change.__module__ = "cmauth"
