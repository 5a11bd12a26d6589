"""Keeps the sessions of many users in a table of SQL, here with sqlite3 of the standard library.

    sessions = cmauth.Sessions(client, lambda user: SqlStore("sessions.db", user))

The lock is a row that expires. A holder whose lock has expired cannot overwrite newer tokens,
because each save compares generations.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from contextlib import closing
from typing import Any

import cmauth

TABLE = """
create table if not exists cameramanager_session (
    user text primary key,
    record text,
    generation integer not null default 0,
    lock_owner text,
    lock_until real not null default 0
)
"""


class SqlStore:
    """The session of one user in a table."""

    def __init__(self, database: str, user: str) -> None:
        self._database = database
        self._user = user
        # The lock that a thread took. Another thread must not release it.
        self._owner = threading.local()
        self._change(TABLE)

    def load(self) -> str | None:
        return self._row("record")

    def save(self, record: str, generation: int, /) -> None:
        self._store(record, generation)

    def clear(self, generation: int, /) -> None:
        self._store(None, generation)

    def generation(self) -> int:
        return self._row("generation") or 0

    def try_lock(self, hold: float, /) -> bool:
        owner, now = uuid.uuid4().hex, time.time()
        self._change("insert or ignore into cameramanager_session (user) values (?)", self._user)
        locked = self._change(
            "update cameramanager_session set lock_owner = ?, lock_until = ? where user = ? and lock_until < ?",
            owner, now + hold, self._user, now,
        )  # fmt: skip
        if locked:
            self._owner.name = owner
        return locked

    def unlock(self) -> None:
        self._change(
            "update cameramanager_session set lock_until = 0 where user = ? and lock_owner = ?",
            self._user, self._owner.name,
        )  # fmt: skip

    def _store(self, record: str | None, generation: int) -> None:
        saved = self._change(
            "update cameramanager_session set record = ?, generation = ? where user = ? "
            "and (generation < ? or (generation = ? and record is ?))",
            record, generation, self._user, generation, generation, record,
        )  # fmt: skip
        if not saved:
            raise cmauth.StaleError("the table has a newer session")

    def _row(self, column: str) -> Any:
        with closing(self._connect()) as connection:
            row = connection.execute(
                f"select {column} from cameramanager_session where user = ?", (self._user,)
            ).fetchone()
        return row and row[0]

    def _change(self, statement: str, *values: object) -> bool:
        with closing(self._connect()) as connection, connection:
            return connection.execute(statement, values).rowcount > 0

    def _connect(self) -> sqlite3.Connection:
        # No longer than the call of the session may take.
        return sqlite3.connect(self._database, timeout=min(cmauth.store_time_left() or 5, 5))
