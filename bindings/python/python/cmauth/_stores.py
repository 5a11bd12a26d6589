"""The stores of sessions that are written in Python, and the protocol for your own store."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

from cmauth._errors import Advice, Status, make
from cmauth._locks import LockFile as _LockFile
from cmauth._locks import ProcessLock as _ProcessLock

if TYPE_CHECKING:
    import redis


_METHODS = ("load", "save", "clear", "try_lock", "unlock")
_CO_COROUTINE = 0x80  # as in `inspect`, whose import takes long


def check_store(store: object) -> None:
    """Raises `TypeError` if `store` cannot be a store. `Session` calls it."""
    if isinstance(store, (str, bytes, os.PathLike)):
        raise TypeError("store: give a store, such as cmauth.FileStore(path), not a path")
    if isinstance(store, type):
        raise TypeError(f"store: give an object, such as {store.__name__}(), not the class")
    kind = type(store).__name__
    for name in _METHODS:
        method = getattr(store, name, None)
        if not callable(method):
            raise TypeError(f"store: a {kind} is no cmauth.Store, because it has no method {name!r}")
        _check_not_async(method, f"{kind}.{name}")


def _check_not_async(method: object, name: str) -> None:
    code = getattr(method, "__code__", None)
    if code is not None and code.co_flags & _CO_COROUTINE:
        raise TypeError(
            f"store: {name} is a coroutine function; a store is synchronous, and "
            "cmauth.AsyncSession calls it in a thread"
        )


class StaleError(Exception):
    """A store raises this from `save` and `clear` if its record is newer, or as new."""


class Store(Protocol):
    """The protocol of a store for `Session`, which keeps the session of one user.

    Write a class with these methods to keep sessions in your own database. A record is a text of a
    few hundred bytes. It is secret, because it contains the tokens.

    A session calls `load` at any time, and `save` and `clear` only while it holds the lock, in the
    thread that called the session. The lock excludes sessions in other processes. If it can expire,
    the store must compare generations, so that it rejects a `save` from a holder whose lock has
    expired.

    An exception of a store becomes a `RetryError` of the session, except exceptions such as
    `KeyboardInterrupt`, which the session raises unchanged. A store must not call the session that
    uses it. The timeout of a call does not interrupt a store, so set timeouts in the store.

    A store that keeps the generation can have one more method, `generation() -> int`: the
    generation of the last `save` or `clear`, or 0. A new login then gets a larger generation, even
    if the clocks of the machines differ. The session calls it while it holds the lock.
    """

    def load(self) -> str | None:
        """Returns the last record, never a part of one. `None` if there is none."""

    def save(self, record: str, generation: int, /) -> None:
        """Replaces the record. Raises `StaleError` if the stored one is newer."""

    def clear(self, generation: int, /) -> None:
        """Removes the record. A store that tracks generations keeps this generation."""

    def try_lock(self, hold: float, /) -> bool:
        """Takes the lock for at least `hold` seconds if it is free. Returns at once."""

    def unlock(self) -> None:
        """Releases the lock. The session calls it in the thread that took the lock.

        The lock may have expired, and another session may have taken it. Release only the lock that
        this thread took.
        """


# Saves a record (ARGV 1; "" for none) with its generation (ARGV 2). Returns 0 if the stored one is
# newer. The same save twice is no failure, because the reply to the first one can be lost. The key
# expires after ARGV 3 seconds, or with 0 never.
_SAVE = """
local there = redis.call('HGET', KEYS[1], 'generation')
local record = redis.call('HGET', KEYS[1], 'record') or ''
if there and tonumber(there) == tonumber(ARGV[2]) and record == ARGV[1] then return 1 end
if there and tonumber(there) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'generation', ARGV[2])
if tonumber(ARGV[3]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) else redis.call('PERSIST', KEYS[1]) end
return 1
"""

# How long the generation of a session that was cleared stays, in seconds. A machine that stalled in a
# refresh could otherwise restore a login that has ended.
_CLEARED_EXPIRE = 60


# A hundred years, in seconds.
_MAX_EXPIRE = 100 * 365 * 86400


class RedisStore:
    """Keeps a session in Redis, for several machines that share a user.

    client: a `redis.Redis` of the package redis, with timeouts as you need them.
    key: the key of the hash with the session. The lock is at `key` + ":lock".
    expire: after how many seconds without a new login or refresh Redis drops the session. The server
        is not told. Default: never.

    A minute after `logout` or `forget`, Redis drops the key.

    Programs in C share the session with examples/c/redis_store.c.

    The lock is the one of redis-py. It expires if its holder dies. A holder whose lock has expired
    cannot overwrite newer tokens, because they have a larger generation.
    """

    def __init__(self, client: redis.Redis, key: str, *, expire: int | None = None) -> None:
        if isinstance(expire, bool) or not isinstance(expire, (int, type(None))):
            raise TypeError(f"expire: give whole seconds, as an int, not a {type(expire).__name__}")
        if expire is not None and not 1 <= expire <= _MAX_EXPIRE:
            raise ValueError(f"expire: give seconds, at least 1 and at most {_MAX_EXPIRE}")
        if type(client).__module__.startswith("redis.asyncio"):
            raise TypeError(
                "client: give a redis.Redis, not one of redis.asyncio; cmauth.AsyncSession uses it in a thread"
            )
        self._client = client
        self._key = key
        self._expire = expire or 0
        self._script = client.register_script(_SAVE)
        # The locks of each thread, in the order in which it took them. A thread can have several: a
        # signal handler can call a session while another one waits for the server.
        self._taken = threading.local()

    def load(self) -> str | None:
        record: Any = self._client.hget(self._key, "record")
        text: str | None = record.decode() if isinstance(record, bytes) else record
        return text or None

    def save(self, record: str, generation: int, /) -> None:
        self._save(record, generation, self._expire)

    def clear(self, generation: int, /) -> None:
        self._save("", generation, _CLEARED_EXPIRE)

    def _save(self, record: str, generation: int, expire: int) -> None:
        if not self._script(keys=[self._key], args=[record, generation, expire]):
            raise StaleError("Redis has a newer session")

    def generation(self) -> int:
        generation: Any = self._client.hget(self._key, "generation")
        return int(generation or 0)

    def try_lock(self, hold: float, /) -> bool:
        # Every lock has another token, so an expired one releases nothing.
        lock = self._client.lock(f"{self._key}:lock", timeout=hold, thread_local=False)
        locked = bool(lock.acquire(blocking=False))
        if locked:
            self._locks().append(lock)
        return locked

    def unlock(self) -> None:
        from redis.exceptions import LockError, RedisError

        locks = self._locks()
        # A lock that cannot be released has expired, or will expire.
        with contextlib.suppress(LockError, RedisError):
            if locks:
                locks.pop().release()

    def _locks(self) -> list[Any]:
        locks: list[Any] = self._taken.__dict__.setdefault("locks", [])
        return locks

    def __repr__(self) -> str:
        return f"RedisStore(key={self._key!r})"


class KeyringStore:
    """Keeps a session in the keyring of the desktop or of the service's account.

    It needs the package keyring: without it, making a store raises `FixError`.

    service, user: the item of the keyring.
    lock_file: a file whose lock excludes other processes. Without it, the store excludes only
        stores of the same item in this process, which is enough for a program that runs once. Other
        code of the process must not open and close the file, which would release the lock.
    """

    def __init__(self, service: str, user: str, lock_file: str | os.PathLike[str] | None = None) -> None:
        _check_keyring()
        self._service = service
        self._user = user
        self._lock: _ProcessLock | _LockFile
        if lock_file is None:
            self._lock = _ProcessLock(service, user)
        else:
            self._lock = _LockFile(lock_file)

    def load(self) -> str | None:
        import keyring

        return keyring.get_password(self._service, self._user)

    def save(self, record: str, generation: int, /) -> None:  # noqa: ARG002
        import keyring

        keyring.set_password(self._service, self._user, record)

    def clear(self, generation: int, /) -> None:  # noqa: ARG002
        import keyring

        if keyring.get_password(self._service, self._user) is not None:
            keyring.delete_password(self._service, self._user)

    def try_lock(self, hold: float, /) -> bool:  # noqa: ARG002
        return self._lock.try_lock()

    def unlock(self) -> None:
        self._lock.unlock()

    def __repr__(self) -> str:
        return f"KeyringStore(service={self._service!r}, user={self._user!r})"


def _check_keyring() -> None:
    """Raises `FixError` if the package is missing, which no later try would change."""
    try:
        import keyring  # noqa: F401
    except ImportError:
        problem = "KeyringStore needs the package keyring: pip install 'cmauth[keyring]'"
        raise make(problem, Status.STORE, Advice.FIX) from None


for _kind in (StaleError, Store, RedisStore, KeyringStore):
    _kind.__module__ = "cmauth"
