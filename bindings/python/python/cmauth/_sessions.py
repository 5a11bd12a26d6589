"""The sessions of many users."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Union
from weakref import WeakSet, WeakValueDictionary

from cmauth._async import Worker
from cmauth._async_api import AsyncSession
from cmauth._cmauth import Client, FileStore, MemoryStore, Session
from cmauth._stores import RedisStore, Store

if TYPE_CHECKING:
    import redis

_AnyStore = Union[MemoryStore, FileStore, Store]

# What a key of a user keeps in the name of a file or of a key in Redis. All else is percent-encoded.
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_MAX_NAME = 200
# How many sessions can be opened at the same time in an event loop.
_MAX_OPENING = 32


class Sessions:
    """The sessions of many users, for a backend: one session for each user.

        sessions = cmauth.Sessions.in_redis(client, redis.Redis(), "cameramanager")
        user = client.user(tokens)                 # after a login
        sessions.get(user.id).start(tokens)
        sessions.get(user_id).tokens()             # with each request of that user

    A user who logs in with two browsers has one session. With one for each browser, each refresh
    would end the tokens of the other. So keep the ID of the user in the cookie, not the tokens.

    A session is opened when it is used. Those that were not used for the longest time are closed, so
    memory is bounded. Their tokens remain in the store.

    store_factory: called with the key of a user; returns the store of that user.
    max_idle: how many sessions stay open that nobody uses.
    """

    def __init__(self, client: Client, store_factory: Callable[[str], _AnyStore], *, max_idle: int = 1000) -> None:
        if not callable(store_factory):
            raise TypeError("store_factory: give a function that returns the store of a user")
        self._client = client
        self._store_factory = store_factory
        if isinstance(max_idle, bool) or not isinstance(max_idle, int):
            raise TypeError(f"max_idle: give an int, not a {type(max_idle).__name__}")
        if max_idle < 0:
            raise ValueError("max_idle: give 0 or more")
        self._max_idle = max_idle
        self._reset()
        _all.add(self)

    @classmethod
    def in_folder(cls, client: Client, folder: str | os.PathLike[str], *, max_idle: int = 1000) -> Sessions:
        """Sessions in files of a folder, for all processes of a machine: see `FileStore`."""
        # Not by pathlib, whose import takes long.
        path = os.path.abspath(os.path.expanduser(folder))  # noqa: PTH100, PTH111

        def store(user: str) -> FileStore:
            return FileStore(os.path.join(path, f"{_name(user)}.session"))  # noqa: PTH118

        return cls(client, store, max_idle=max_idle)

    @classmethod
    def in_redis(
        cls,
        client: Client,
        redis: redis.Redis,
        prefix: str,
        *,
        expire: int | None = None,
        max_idle: int = 1000,
    ) -> Sessions:
        """Sessions in Redis, for several machines: see `RedisStore`.

        The key of a user's session is `prefix`, ":" and the key of the user, percent-encoded.
        """

        def store(user: str) -> RedisStore:
            return RedisStore(redis, f"{prefix}:{_name(user)}", expire=expire)

        return cls(client, store, max_idle=max_idle)

    def get(self, user: str) -> Session:
        """The session of a user, such as `User.id`. Opens it if necessary, which reads the store.

        Raises the errors of `Session`.
        """
        session = self._opened(user)
        if session is None:
            # Without a lock: the factory and the store are code of the program, which can ask for sessions, too. If
            # two threads open the same one, the first is kept.
            opened = Session(self._client, self._store_factory(user))
            with self._lock:
                session = self._sessions.setdefault(user, opened)
            self._opened(user)
        return session

    async def get_async(self, user: str) -> AsyncSession:
        """As `get`, for asyncio and trio."""
        session = self._opened(user)
        if session is None:
            worker = self._workers[hash(user) % len(self._workers)]
            session = await worker.run(user, lambda: self.get(user))
        return AsyncSession(session)

    def _opened(self, user: str) -> Session | None:
        """The session if it is open. It is now the one that was used last."""
        if not isinstance(user, str):
            raise TypeError(f"user: give a str, such as User.id, not a {type(user).__name__}")
        if not user:
            raise ValueError("user: it is empty")
        closed = []
        with self._lock:
            session = self._sessions.get(user)
            if session is not None:
                self._used[user] = session
                self._used.move_to_end(user)
                while len(self._used) > self._max_idle:
                    closed.append(self._used.popitem(last=False))
        # Outside the lock, because the end of a session can run code of the program.
        del closed
        return session

    def _reset(self) -> None:
        # A signal handler or a finalizer can ask for a session while its thread has the lock.
        self._lock = threading.RLock()
        # All open sessions, so that whoever still uses one shares it.
        self._sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()
        # Those that stay open, the one that was used last at the end.
        self._used: OrderedDict[str, Session] = OrderedDict()
        # They have a thread only while they open a session. A store that does not answer holds up one of them.
        self._workers = [Worker() for _ in range(_MAX_OPENING)]

    def __repr__(self) -> str:
        return f"Sessions({self._client!r}, open={len(self._sessions)})"


# In a forked child, the locks can be locked copies.
_all: WeakSet[Sessions] = WeakSet()


def _reset_all() -> None:
    for sessions in list(_all):
        sessions._reset()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_reset_all)


def _name(user: str) -> str:
    """The key of a user as a name that is also safe where upper and lower case are the same."""
    encoded = user.encode()
    name = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in encoded)
    if len(name) > _MAX_NAME:
        raise ValueError(f"user: it is too long, {len(name)} characters of at most {_MAX_NAME}")
    return name


Sessions.__module__ = "cmauth"
