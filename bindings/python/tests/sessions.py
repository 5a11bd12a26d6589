"""Tokens and stores for the tests of sessions."""

from __future__ import annotations

import threading
import time

import cmauth
from conftest import ACCESS_TOKEN, REFRESH_TOKEN


def some_tokens(expires_in: int = 1000, access_token: str = ACCESS_TOKEN) -> cmauth.Tokens:
    return cmauth.Tokens.from_json(
        f'{{"access_token":"{access_token}","refresh_token":"{REFRESH_TOKEN}",'
        f'"expires_at":{int(time.time()) + expires_in}}}'
    )


def ended(tokens: cmauth.Tokens) -> cmauth.Tokens:
    """The same login, with an access token that has expired."""
    return cmauth.Tokens.from_json(
        f'{{"access_token":"ended","refresh_token":"{tokens.refresh_token}","expires_at":1}}'
    )


class OwnStore:
    """A store that a user of the package could write."""

    def __init__(self) -> None:
        self.record: str | None = None
        self.generation = 0
        self.lock = threading.Lock()
        self.fails: Exception | None = None

    def load(self) -> str | None:
        if self.fails:
            raise self.fails
        return self.record

    def save(self, record: str, generation: int, /) -> None:
        assert self.lock.locked()
        if self.fails:
            raise self.fails
        if generation <= self.generation:
            raise cmauth.StaleError
        self.record, self.generation = record, generation

    def clear(self, generation: int, /) -> None:
        assert self.lock.locked()
        self.record, self.generation = None, generation

    def try_lock(self, hold: float, /) -> bool:
        assert hold >= 10
        return self.lock.acquire(blocking=False)

    def unlock(self) -> None:
        self.lock.release()
