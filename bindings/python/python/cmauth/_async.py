"""Runs blocking calls for event loops: of asyncio and of trio."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import copy
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from cmauth._cmauth import _Answer, _Cancel

_T = TypeVar("_T")

# How long the end of the program waits for a call that was cancelled, in seconds.
_EXIT_TIMEOUT = 1.0


_workers: WeakSet[Worker] = WeakSet()


class Worker:
    """Runs calls in a thread of its own, one after the other. The thread ends when nothing is to do.

    Calls with the same `key` at the same time are one call, whose result all of them get. It goes on
    if a task that waits for it is cancelled.
    """

    def __init__(self) -> None:
        self._reset()
        _workers.add(self)

    def _reset(self) -> None:
        # A garbage collection in the same thread can begin another call.
        self._lock = threading.RLock()
        self._jobs: dict[Hashable, _Job[Any]] = {}
        self._queue: deque[Hashable] = deque()
        self._running = False

    async def run(self, key: Hashable, call: Callable[[], _T]) -> _T:
        event = _new_event()
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                job = self._jobs[key] = _Job(call)
                self._queue.append(key)
            event = job.events.setdefault(event.loop, event)
            if not self._running:
                start_thread(self._work, "cmauth-session")
                self._running = True
        await event.wait()
        result: _T = job.result()
        return result

    def _work(self, cancel: _Cancel) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._running = False
                    return
                key = self._queue.popleft()
                job = self._jobs[key]
            job.run(cancel)
            with self._lock:
                # From here on, nobody can join the call.
                self._jobs.pop(key, None)
                events = list(job.events.values())
            for event in events:
                event.set_from_thread()


async def run_alone(call: Callable[[], _T], cancel: Callable[[], object] | None = None) -> _T:
    """Runs a call in a thread of its own. It ends when the task is cancelled.

    cancel: what ends the call, in addition to the end of the calls of the library.
    """
    job = _Job(call)
    event = _new_event()
    own = _Cancel()

    def work(at_exit: _Cancel) -> None:
        at_exit.run(job.run, own)
        event.set_from_thread()

    start_thread(work, "cmauth-call")
    done = False
    try:
        await event.wait()
        done = True
    finally:
        if not done:
            own.cancel()
            if cancel is not None:
                cancel()
    return job.result()


class _Job(Generic[_T]):
    """A call, its result, and those who wait for it."""

    def __init__(self, call: Callable[[], _T]) -> None:
        self._call = contextvars.copy_context().run, call
        self._error: BaseException | None = None
        self.events: dict[object, _Event] = {}

    def run(self, cancel: _Cancel) -> None:
        run, call = self._call
        try:
            self._result: _T = cancel.run(run, call)
        except BaseException as error:  # it is raised in the tasks
            self._error = error

    def result(self) -> _T:
        if self._error is None:
            return self._result
        raise _copy(self._error)


def _copy(error: BaseException) -> BaseException:
    """A copy for one of several tasks, because raising an exception changes its traceback."""
    try:
        made = copy.copy(error)
    except Exception:  # an exception of a store need not be one that can be copied
        return error
    if type(made) is not type(error):
        return error
    made.__cause__ = error.__cause__
    return made.with_traceback(error.__traceback__)


class _Event(Protocol):
    @property
    def loop(self) -> object: ...
    async def wait(self) -> object: ...
    def set_from_thread(self) -> None: ...


class _AsyncioEvent:
    def __init__(self) -> None:
        # Imported on demand, because most programs have no event loop.
        import asyncio

        self.loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    async def wait(self) -> object:
        return await self._event.wait()

    def set_from_thread(self) -> None:
        # A loop that was closed has no tasks that wait.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._event.set)


class _TrioEvent:
    def __init__(self, trio: Any) -> None:
        self.loop = trio.lowlevel.current_trio_token()
        self._event = trio.Event()
        self._closed = trio.RunFinishedError

    async def wait(self) -> object:
        return await self._event.wait()

    def set_from_thread(self) -> None:
        with contextlib.suppress(self._closed):
            self.loop.run_sync_soon(self._event.set)


def _new_event() -> _Event:
    trio = sys.modules.get("trio")
    # A program can run both.
    if trio is not None and trio.lowlevel.in_trio_task():
        return _TrioEvent(trio)
    return _AsyncioEvent()


# The threads of this module, each with what ends its calls. Every change is one operation of the `dict`.
_threads: dict[threading.Thread, _Cancel] = {}


def start_thread(work: Callable[[_Cancel], object], name: str) -> None:
    """Starts a thread that does not keep the program from ending. `work` gets what ends its calls.

    Such a thread must not be in a call of the library when the interpreter shuts down, which would end
    the program with an error. So the end of the program ends these calls, and waits for them.
    """
    cancel = _Cancel()

    def run() -> None:
        try:
            work(cancel)
        finally:
            _threads.pop(threading.current_thread(), None)
            calls: _Calls | None = getattr(_store_threads, "calls", None)
            if calls is not None:
                calls.put(None)

    thread = threading.Thread(target=run, name=name, daemon=True)
    _threads[thread] = cancel
    try:
        thread.start()
    except BaseException:
        del _threads[thread]
        raise


# For each thread of this module that has called a method of a store: the calls for its store thread.
_store_threads = threading.local()
_Calls = Any  # queue.SimpleQueue[tuple[contextvars.Context, Callable, tuple, _Answer] | None]
_has_ended = False


def call_on_store_thread(method: Callable[..., object], arguments: tuple[Any, ...], answer: _Answer) -> None:
    """Calls a method of a store on the store thread of this thread. The module `_cmauth` calls it, and says why.

    All calls of a thread are on the same store thread, because a lock can belong to a thread.
    """
    calls: _Calls | None = getattr(_store_threads, "calls", None)
    if calls is None:
        calls = _store_threads.calls = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(calls,), name="cmauth-store", daemon=True).start()
    calls.put((contextvars.copy_context(), method, arguments, answer))


def _serve(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        context, method, arguments, answer = call
        del call
        result, error = None, None
        answer.begin()
        try:
            result = context.run(method, *arguments)
        except BaseException as raised:  # the call of the session raises it
            error = raised
        # The thread that waits must not go on while the interpreter ends.
        if not _has_ended:
            answer.end(result, error)
        del context, method, arguments, answer, result, error


def _end_threads() -> None:
    global _has_ended
    threads = dict(_threads)
    for cancel in threads.values():
        cancel.cancel()
    deadline = time.monotonic() + _EXIT_TIMEOUT
    for thread in threads:
        if thread.is_alive():
            thread.join(max(0, deadline - time.monotonic()))
    _has_ended = True


def _after_fork() -> None:
    """In a forked child, there are no threads, and a lock can be a locked copy."""
    _threads.clear()
    _store_threads.__dict__.clear()
    for worker in list(_workers):
        worker._reset()


atexit.register(_end_threads)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
