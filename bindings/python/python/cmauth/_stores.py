"""Stores of a session that are best said in Python, and the protocol for others."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

from cmauth._locks import LockFile as _LockFile
from cmauth._locks import ProcessLock as _ProcessLock

if TYPE_CHECKING:
    import redis


class StaleError(Exception):
    """What a store raises from `save` and `clear` where it has as new a record, or a newer one."""


class Store(Protocol):
    """Keeps the session of one user, for `Session`: what to write for a database of your own.

    A record is a text of a few hundred bytes, secret, for the tokens are in it. A session calls
    `load` at any time, `save` and `clear` only while it has the lock, each in the thread that
    called the session. Sessions in other processes are kept away by the lock alone: one that can
    expire needs the generation, by which a holder that slept through its end is refused. What is
    raised becomes a `RetryError` of the session; `KeyboardInterrupt` and its like stay as they
    are. A store must not call the session that uses it. The timeout of a call does not end a
    method of a store: give yours timeouts of its own.

    A store that keeps the generation can have one more method, `generation() -> int`: that of the
    last `save` or `clear`, or 0. A new login then gets a larger one, whatever the clocks of the
    machines say. It is called with the lock held.
    """

    def load(self) -> str | None:
        """The record that was saved last, never half of one; `None` where there is none."""

    def save(self, record: str, generation: int, /) -> None:
        """Keeps the record in place of the one before; raises `StaleError` if that is newer."""

    def clear(self, generation: int, /) -> None:
        """Removes the record. A store that has generations keeps this one."""

    def try_lock(self, hold: float, /) -> bool:
        """Takes the lock if it is free, at once, for at least `hold` seconds."""

    def unlock(self) -> None:
        """Gives the lock back, in the thread that took it.

        The lock may have expired, and another session that uses this object may hold it now: only
        the lock that this thread took may be released.
        """


# Keeps a record (ARGV 1) of a generation (ARGV 2), or none (""); 0: what is there is newer. The
# same once more is no failure, for the answer to the first time can be lost.
_SAVE = """
local there = redis.call('HGET', KEYS[1], 'generation')
local record = redis.call('HGET', KEYS[1], 'record') or ''
if there and tonumber(there) == tonumber(ARGV[2]) and record == ARGV[1] then return 1 end
if there and tonumber(there) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'generation', ARGV[2])
return 1
"""


class RedisStore:
    """Keeps a session in Redis, for several machines that share a user.

    client: a `redis.Redis` of the package redis, with the time-outs that you want.
    key: the hash that has the session; the lock is at `key` + ":lock".

    Programs in C share it by examples/c/redis_store.c.

    The lock is redis-py's own, and expires if its holder dies. A holder that slept through its
    end cannot overwrite newer tokens, for they have a larger generation.
    """

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client = client
        self._key = key
        self._save = client.register_script(_SAVE)
        # The locks that each thread took, the last one last: a signal handler may call a session
        # while another waits for the server.
        self._taken = threading.local()

    def load(self) -> str | None:
        record: Any = self._client.hget(self._key, "record")
        text: str | None = record.decode() if isinstance(record, bytes) else record
        return text or None

    def save(self, record: str, generation: int, /) -> None:
        if not self._save(keys=[self._key], args=[record, generation]):
            raise StaleError("Redis has a newer session")

    def clear(self, generation: int, /) -> None:
        self.save("", generation)

    def generation(self) -> int:
        generation: Any = self._client.hget(self._key, "generation")
        return int(generation or 0)

    def try_lock(self, hold: float, /) -> bool:
        # A new one has a token of its own, so that one that has expired releases nothing.
        lock = self._client.lock(f"{self._key}:lock", timeout=hold, thread_local=False)
        locked = bool(lock.acquire(blocking=False))
        if locked:
            self._locks().append(lock)
        return locked

    def unlock(self) -> None:
        from redis.exceptions import LockError, RedisError

        locks = self._locks()
        # If it cannot be given back, it has expired, or will.
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

    service, user: under what the keyring has it; needs the package keyring.
    lock_file: a file whose lock keeps other processes away. Without it, only stores of the same
        item in this process are: enough for a program that runs once. No other code of the
        process may open and close the file, which would release the lock.
    """

    def __init__(
        self, service: str, user: str, lock_file: str | os.PathLike[str] | None = None
    ) -> None:
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


for _kind in (StaleError, Store, RedisStore, KeyringStore):
    _kind.__module__ = "cmauth"
