"""Stores: locks and `fork`, paths, and the locks and generations of Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cmauth
import pytest
from conftest import ACCESS_TOKEN, CLIENT_SECRET, Fake, RedisServer, Response, tokens_response

EXPIRED = '{"access_token":"old","refresh_token":"r","expires_at":1}'

# Each of these programs takes a lock, and then forks. The child executes the lines that it reads.
# On SIGUSR1 the parent releases the lock.
REFRESHING = f"""
import os, sys, threading, time
import cmauth
url, path = sys.argv[1:]
options = dict(base_url=url, proxy="", max_retries=0, timeout=20)
client = cmauth.Client("test.key", "{CLIENT_SECRET}", **options)
session = cmauth.Session(client, cmauth.FileStore(path))
session.start(cmauth.Tokens.from_json('{EXPIRED}'))
threading.Thread(target=session.tokens, daemon=True).start()
sys.stdin.readline()
if os.fork() == 0:
    print("forked", flush=True)
    for line in sys.stdin:
        print(session.tokens().access_token, flush=True)
    os._exit(0)
time.sleep(60)
"""
HOLDING = """
import os, signal, sys, time
import cmauth
store = cmauth.KeyringStore("service", "user", *sys.argv[1:])
assert store.try_lock(1)
def unlock(*_):
    store.unlock()
    print("unlocked", flush=True)
signal.signal(signal.SIGUSR1, unlock)
if os.fork() == 0:
    print("forked", flush=True)
    for line in sys.stdin:
        print(store.unlock() if line == "unlock\\n" else store.try_lock(1), flush=True)
    os._exit(0)
time.sleep(60)
"""


class Family:
    """A process that runs `program`, and the child that it forks."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def reads(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.reads()

    def kill_parent(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def family(program: str, *arguments: str) -> Iterator[Family]:
    started = Family(program, *arguments)
    try:
        yield started
    finally:
        started.process.kill()
        # The end of its input ends the child.
        started.process.communicate()


class SlowOnce:
    """Responds to the first refresh when the test sets `answered`; to all others at once."""

    def __init__(self, fake: Fake) -> None:
        self.asked, self.answered = threading.Event(), threading.Event()
        fake.respond = self.respond

    def respond(self) -> Response:
        if not self.asked.is_set():
            self.asked.set()
            assert self.answered.wait(30)
        return tokens_response()


@pytest.mark.parametrize("killed", [True, False])
def test_a_child_forked_during_a_refresh_does_not_keep_the_lock_of_the_file(
    fake: Fake, tmp_path: Path, killed: bool
) -> None:
    path = tmp_path / "session"
    server = SlowOnce(fake)
    with family(REFRESHING, fake.url, str(path)) as holder:
        assert server.asked.wait(20)
        assert holder.ask("fork") == "forked"
        restarted = cmauth.Session(fake.client(timeout=4), cmauth.FileStore(path))
        if killed:
            holder.kill_parent()
        else:
            with pytest.raises(cmauth.RetryError, match="lock"):
                restarted.start(cmauth.Tokens.from_json(EXPIRED))
            server.answered.set()
        begun = time.monotonic()
        assert restarted.tokens().access_token == ACCESS_TOKEN
        restarted.start(cmauth.Tokens.from_json(EXPIRED))
        assert holder.ask("tokens") == ACCESS_TOKEN
        assert time.monotonic() - begun < 3
        server.answered.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_keep_the_lock_of_a_killed_parent_in_a_keyring(tmp_path: Path) -> None:
    other = cmauth.KeyringStore("service", "user", tmp_path / "lock")
    with family(HOLDING, str(tmp_path / "lock")) as holder:
        assert holder.reads() == "forked"
        assert not other.try_lock(1)
        assert holder.ask("try") == "False"
        holder.kill_parent()
        assert other.try_lock(1)
        assert holder.ask("try") == "False"
        other.unlock()
        assert holder.ask("try") == "True"
        assert holder.ask("try") == "False"
        assert not other.try_lock(1)


@pytest.mark.parametrize("lock", [True, False])
def test_a_child_and_others_get_a_lock_that_the_parent_released(tmp_path: Path, lock: bool) -> None:
    arguments = [str(tmp_path / "lock")] if lock else []
    with family(HOLDING, *arguments) as holder:
        assert holder.reads() == "forked"
        if lock:
            # The lock belongs to the parent, so the child can neither take nor release it.
            other = cmauth.KeyringStore("service", "user", tmp_path / "lock")
            assert holder.ask("try") == "False"
            assert holder.ask("unlock") == "None"
            assert not other.try_lock(1)
        holder.process.send_signal(signal.SIGUSR1)
        assert holder.reads() == "unlocked"
        if lock:
            assert other.try_lock(1)
            other.unlock()
        assert holder.ask("try") == "True"
        assert holder.ask("unlock") == "None"
        assert holder.ask("try") == "True"


def test_stores_of_one_keyring_item_exclude_each_other_in_a_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    link = tmp_path / "link"
    link.symlink_to(path)
    one, other = (cmauth.KeyringStore("service", "user", name) for name in (path, link))
    for _ in range(3):
        assert one.try_lock(1)
        assert not one.try_lock(1)
        assert not other.try_lock(1)
        one.unlock()
        assert other.try_lock(1)
        assert not one.try_lock(1)
        other.unlock()
    # After the lock file was removed, all stores must use the new one.
    assert one.try_lock(1)
    path.unlink()
    one.unlock()
    assert other.try_lock(1)
    assert not one.try_lock(1)
    other.unlock()


def test_a_relative_path_counts_from_the_folder_in_which_the_store_was_made(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "before")
    session = cmauth.Session(fake.client(), cmauth.FileStore("session"))
    lock = cmauth.KeyringStore("service", "user", "lock")
    monkeypatch.chdir(tmp_path / "after")
    session.start(cmauth.Tokens.from_json(EXPIRED))
    assert lock.try_lock(1)
    lock.unlock()
    names = sorted(path.name for path in (tmp_path / "before").iterdir())
    assert names == ["lock", "session", "session.lock"]
    assert not list((tmp_path / "after").iterdir())


def test_a_late_unlock_releases_only_the_lock_that_its_thread_took(
    redis_server: RedisServer,
) -> None:
    store = cmauth.RedisStore(redis_server.client(), "session")
    other = cmauth.RedisStore(redis_server.client(), "session")
    taken, taken_over, released = (threading.Event() for _ in range(3))

    def release_after_its_end() -> None:
        assert store.try_lock(0.2)
        taken.set()
        assert taken_over.wait(20)
        store.unlock()
        released.set()

    late = threading.Thread(target=release_after_its_end)
    late.start()
    assert taken.wait(20)
    deadline = time.monotonic() + 10
    while not store.try_lock(30):
        assert time.monotonic() < deadline
    taken_over.set()
    assert released.wait(20)
    late.join()
    assert not other.try_lock(30), "the second holder still has its lock"
    store.unlock()
    assert other.try_lock(30)
    other.unlock()
    # The same in one thread, as when a signal handler calls a session while another one waits.
    assert store.try_lock(0.2)
    while not store.try_lock(30):
        assert time.monotonic() < deadline
    store.unlock()
    assert other.try_lock(30)
    store.unlock()
    assert not store.try_lock(30)
    store.unlock()  # Releases nothing.
    other.unlock()


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}])
def test_redis_keeps_the_generation_after_a_clear(redis_server: RedisServer, options: dict[str, bool]) -> None:
    store = cmauth.RedisStore(redis_server.client(**options), "session")
    assert store.generation() == 0
    store.save("record", 1_700_000_000_000)
    assert store.generation() == 1_700_000_000_000
    store.clear(1_700_000_000_001)
    assert store.load() is None
    assert store.generation() == 1_700_000_000_001


def test_a_login_and_forget_work_after_a_machine_with_a_fast_clock(fake: Fake, redis_server: RedisServer) -> None:
    store = cmauth.RedisStore(redis_server.client(), "session")
    session = cmauth.Session(fake.client(), store)
    tomorrow = int(time.time() * 1000) + 86_400_000
    assert store.try_lock(10)
    store.clear(tomorrow)
    store.unlock()
    session.forget()
    assert store.generation() > tomorrow
    session.start(cmauth.Tokens.from_json(EXPIRED))
    assert session.tokens().access_token == ACCESS_TOKEN


class WithGeneration:
    """A store with a `generation` method of the test."""

    record: str | None = None

    def __init__(self, generation: Callable[[], int]) -> None:
        self.generation = generation

    def load(self) -> str | None:
        return self.record

    def save(self, record: str, generation: int, /) -> None:  # noqa: ARG002
        self.record = record

    def clear(self, generation: int, /) -> None:  # noqa: ARG002
        self.record = None

    def try_lock(self, hold: float, /) -> bool:  # noqa: ARG002
        return True

    def unlock(self) -> None:
        pass


def test_a_session_reads_the_generation_of_a_store(fake: Fake) -> None:
    far = 2**52
    session = cmauth.Session(fake.client(), WithGeneration(lambda: far))
    session.start(cmauth.Tokens.from_json(EXPIRED))
    assert session.health().generation > far

    def fails() -> int:
        raise OSError("the database is away")

    for generation, kind, message in (
        (fails, cmauth.RetryError, "OSError: the database"),
        (lambda: "x", TypeError, r"WithGeneration\.generation: it returned str, not int"),
    ):
        session = cmauth.Session(fake.client(), WithGeneration(generation))  # type: ignore[arg-type]
        with pytest.raises(kind, match=message):
            session.start(cmauth.Tokens.from_json(EXPIRED))


class Interrupted:
    """A store in memory. One of its methods is interrupted, as by Ctrl-C."""

    def __init__(self, method: str) -> None:
        self.record: str | None = None
        self.method = method
        self.armed = False

    def _interrupt(self, method: str) -> None:
        if self.armed and method == self.method:
            self.armed = False
            raise KeyboardInterrupt

    def load(self) -> str | None:
        self._interrupt("load")
        return self.record

    def save(self, record: str, _: int) -> None:
        self._interrupt("save")
        self.record = record

    def clear(self, _: int) -> None:
        self.record = None

    def try_lock(self, _: float) -> bool:
        self._interrupt("try_lock")
        return True

    def unlock(self) -> None:
        self._interrupt("unlock")


@pytest.mark.parametrize("method", ["load", "save", "try_lock", "unlock", "callback"])
def test_an_interrupt_of_a_store_or_a_callback_ends_the_call(fake: Fake, method: str) -> None:
    store = Interrupted(method)
    session = cmauth.Session(fake.client(), store)
    session.start(cmauth.Tokens.from_json(EXPIRED))
    session.on_change(lambda *_: store._interrupt("callback"))
    store.armed = True
    with pytest.raises(KeyboardInterrupt):
        session.tokens()
    # It does not affect the next call.
    assert session.tokens().access_token == ACCESS_TOKEN


def test_a_missing_keyring_package_is_reported_at_once() -> None:
    program = """
import sys
sys.modules["keyring"] = None
import cmauth
try:
    cmauth.KeyringStore("a", "b")
except cmauth.FixError as error:
    print(error.status.name, error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "STORE KeyringStore needs the package keyring: pip install 'cmauth[keyring]'\n"
