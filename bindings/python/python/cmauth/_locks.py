"""The locks of a `KeyringStore`: at most one store of one process holds a lock.

On Unix, the lock between processes is a record lock (`fcntl`). It belongs to the process: it ends
with the process, and a forked child does not inherit it. A record lock does not exclude other
threads of the process, so a table lists the locks that this process holds. Closing any descriptor
of the file releases the lock, so lock files stay open. Every step is one operation of a `dict`,
because a fork could copy a `threading.Lock` in its locked state.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The locks that a process holds, by process id, because a forked child does not hold the locks of
# its parent.
_held: dict[tuple[object, ...], object] = {}
# The open lock files, by device and inode.
_files: dict[tuple[int, int], int] = {}


class ProcessLock:
    """A lock between the threads of a process, by name."""

    def __init__(self, *name: object) -> None:
        self._name = name

    def try_lock(self) -> bool:
        own = object()
        return _held.setdefault((os.getpid(), *self._name), own) is own

    def unlock(self) -> None:
        _held.pop((os.getpid(), *self._name), None)


def _absolute(path: str | os.PathLike[str]) -> Path:
    """The path, relative to the present working directory."""
    # Imported on demand: most programs have no such lock.
    from pathlib import Path

    return Path(path).absolute()


if sys.platform == "win32":
    import msvcrt

    class LockFile:
        """A lock between processes and threads, on a file. It belongs to the descriptor."""

        def __init__(self, path: str | os.PathLike[str]) -> None:
            self._path = _absolute(path)
            self._file: int | None = None

        def try_lock(self) -> bool:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                os.close(file)
                return False
            except BaseException:
                os.close(file)
                raise
            self._file = file
            return True

        def unlock(self) -> None:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)

else:
    import fcntl

    class LockFile:
        """A lock between processes and threads, on a file."""

        def __init__(self, path: str | os.PathLike[str]) -> None:
            self._path = _absolute(path)
            self._taken: tuple[ProcessLock, int, int] | None = None

        def try_lock(self) -> bool:
            if self._taken is not None and self._taken[2] == os.getpid():
                return False
            # Tries again if the file was replaced meanwhile.
            for _ in range(8):
                key, file = self._open()
                own = ProcessLock(*key)
                if not own.try_lock():
                    return False
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except (BlockingIOError, PermissionError):
                    own.unlock()
                    return False
                except BaseException:
                    own.unlock()
                    raise
                self._taken = (own, file, os.getpid())
                if self._key() == key:
                    return True
                self.unlock()
            return False

        def unlock(self) -> None:
            # In a forked child, this is a copy of the parent's lock, which holds nothing.
            if self._taken is None or self._taken[2] != os.getpid():
                return
            own, file, _ = self._taken
            self._taken = None
            fcntl.lockf(file, fcntl.LOCK_UN)
            own.unlock()

        def _key(self) -> tuple[int, int] | None:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                return None
            return found.st_dev, found.st_ino

        def _open(self) -> tuple[tuple[int, int], int]:
            key = self._key()
            file = None if key is None else _files.get(key)
            if key is None or file is None:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                found = os.fstat(file)
                key = found.st_dev, found.st_ino
                # If another thread was faster, this descriptor stays open and unused.
                file = _files.setdefault(key, file)
            return key, file
