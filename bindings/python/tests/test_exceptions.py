"""What the exceptions of a program's own code become, and objects that refer to each other."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cmauth
import httpx
import pytest
import redis.asyncio
from cmauth.testing import Sandbox
from conftest import Fake, Response, tokens_response
from sessions import OwnStore, some_tokens


class Failing(OwnStore):
    """A store with one method that raises, once the test has set what."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method
        self.error: BaseException | None = None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name != self._method or self.error is None:
            return found
        error = self.error

        def fail(*_: object) -> None:
            raise error

        return fail


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("method", ["load", "save", "try_lock", "unlock"])
def test_an_exception_of_a_store_that_is_no_exception_arrives(
    fake: Fake, method: str, kind: type[BaseException]
) -> None:
    store = Failing(method)
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens(-10))
    store.error = kind("from the store")
    with pytest.raises(kind) as caught:
        session.tokens()
    assert caught.value is store.error
    store.error = None
    if store.lock.locked():
        store.lock.release()
    assert session.tokens()


@pytest.fixture
def handler() -> Iterator[Callable[[BaseException], None]]:
    logger = logging.getLogger("cmauth")
    made: list[logging.Handler] = []

    def add(error: BaseException) -> None:
        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
                raise error

        made.append(Handler())
        logger.addHandler(made[-1])

    yield add
    for each in made:
        logger.removeHandler(each)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exception_of_a_log_handler_that_is_no_exception_arrives(
    fake: Fake, handler: Callable[[BaseException], None], kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cmauth")
    client = fake.client()
    error = kind("from the handler")
    handler(error)
    with pytest.raises(kind) as caught:
        client.refresh("r")
    assert caught.value is error


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("where", ["store", "handler"])
def test_ctrl_c_in_python_code_of_the_program_ends_the_call(fake: Fake, where: str) -> None:
    program = f"""
        import logging, sys, time
        import cmauth

        def wait():
            print("waiting", flush=True)
            time.sleep(60)

        class Store:
            def load(self):
                if {where!r} == "store":
                    wait()
            def save(self, record, generation): pass
            def clear(self, generation): pass
            def try_lock(self, hold): return True
            def unlock(self): pass

        class Handler(logging.Handler):
            def emit(self, record):
                if {where!r} == "handler":
                    wait()

        logging.getLogger("cmauth").addHandler(Handler())
        logging.getLogger("cmauth").setLevel(logging.DEBUG)
        client = cmauth.Client("id", "secret", base_url={fake.url!r}, proxy="")
        try:
            cmauth.Session(client, Store())
            client.refresh("r")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(20) == 0


@pytest.mark.parametrize("method", ["load", "save", "try_lock"])
def test_an_error_of_a_store_has_the_exception_of_the_store_as_its_cause(fake: Fake, method: str) -> None:
    store = Failing(method)
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens(-10))
    store.error = OSError("the disk is gone")
    call = (lambda: session.start(some_tokens())) if method == "save" else session.tokens
    with pytest.raises(cmauth.RetryError, match="the disk is gone") as caught:
        call()
    assert caught.value.__cause__ is store.error
    assert "in fail" in "".join(traceback.format_exception(None, caught.value, caught.value.__traceback__))
    # It is not the cause of a later error.
    store.error = None
    session = cmauth.Session(fake.client(), OwnStore())
    with pytest.raises(cmauth.LoginError) as ended:
        session.tokens()
    assert ended.value.__cause__ is None


class NoStore:
    def load(self) -> str | None:
        return None


class AsyncStore(OwnStore):
    async def load(self) -> str | None:  # type: ignore[override]
        return None


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ("/tmp/x", r"such as cmauth\.FileStore\(path\), not a path"),
        (Path("/tmp/x"), r"such as cmauth\.FileStore\(path\), not a path"),
        (None, "a NoneType is no cmauth.Store"),
        (NoStore(), "a NoStore is no cmauth.Store, because it has no method 'save'"),
        (cmauth.MemoryStore, r"such as MemoryStore\(\), not the class"),
        (OwnStore, r"such as OwnStore\(\), not the class"),
        (AsyncStore(), r"AsyncStore\.load is a coroutine function"),
        (redis.asyncio.Redis(), "a Redis is no cmauth.Store"),
    ],
)
def test_what_is_no_store_is_a_type_error_at_once(fake: Fake, store: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        cmauth.Session(fake.client(), store)


def test_an_asyncio_redis_is_a_type_error_at_once() -> None:
    with pytest.raises(TypeError, match=r"client: give a redis\.Redis, not one of redis\.asyncio"):
        cmauth.RedisStore(redis.asyncio.Redis(), "key")  # type: ignore[arg-type]


def test_a_store_that_returns_another_type_is_a_type_error_that_names_the_method(fake: Fake) -> None:
    class Bytes(OwnStore):
        def load(self) -> str | None:
            return b"record"  # type: ignore[return-value]

    with pytest.raises(TypeError, match=r"^Bytes\.load: it returned bytes, not str or None$"):
        cmauth.Session(fake.client(), Bytes())


def test_a_file_that_cannot_be_used_is_advice_fix_with_its_remedy(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    with pytest.raises(cmauth.FixError, match="create the folder") as caught:
        cmauth.Session(fake.client(), cmauth.FileStore(folder / "session"))
    assert caught.value.status is cmauth.Status.INVALID_ARGUMENT
    folder.mkdir()
    session = cmauth.Session(fake.client(), cmauth.FileStore(folder / "session"))
    session.start(some_tokens())
    if os.name == "posix":
        (folder / "session").chmod(0o644)
        with pytest.raises(cmauth.FixError, match="chmod 600"):
            cmauth.Session(fake.client(), cmauth.FileStore(folder / "session"))
        (folder / "session").chmod(0o600)
    for name in ("session", "session.lock"):
        (folder / name).unlink()
    folder.rmdir()
    with pytest.raises(cmauth.FixError, match="create its folder") as gone:
        session.start(some_tokens())
    assert gone.value.status is cmauth.Status.STORE

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    cmauth.Session(fake.client(), cmauth.FileStore("~/session")).start(some_tokens())
    assert (tmp_path / "session").is_file()


class Recorder:
    """A program's own object, with its session and a method as callback."""

    def __init__(self, client: cmauth.Client, *, own_store: bool) -> None:
        store: Any = OwnStore() if own_store else cmauth.MemoryStore()
        if own_store:
            store.recorder = self
        self.session = cmauth.Session(client, store)
        self.session.on_change(self.reconnect)
        self.changes = 0

    def reconnect(self, _change: cmauth.Change, _generation: int) -> None:
        self.changes += 1


@pytest.mark.parametrize("own_store", [False, True])
def test_objects_that_refer_to_their_session_are_collected(fake: Fake, own_store: bool) -> None:
    client = fake.client()
    recorder = Recorder(client, own_store=own_store)
    recorder.session.start(some_tokens())
    gc.collect()
    recorder.session.start(some_tokens(access_token="other"))
    assert recorder.changes == 2
    gone = weakref.ref(recorder)
    session_gone = weakref.ref(recorder.session)
    del recorder
    gc.collect()
    assert gone() is None
    assert session_gone() is None


def test_the_sandbox_leaks_nothing(program: str) -> None:
    code = f"""
        import gc
        from cmauth.testing import Sandbox
        with Sandbox(program={program!r}) as sandbox:
            sandbox.log_in(sandbox.client())
        Sandbox(program={program!r}).close()
        dropped = Sandbox(program={program!r})
        del dropped
        gc.collect()
        try:
            Sandbox("--bogus", program={program!r})
        except RuntimeError:
            pass
        kept = Sandbox(program={program!r})
    """
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    errors = [line for line in run.stderr.splitlines() if "--" not in line]
    assert (run.returncode, errors) == (0, [])


@pytest.mark.parametrize("how", ["show", "browser"])
def test_a_login_ends_while_the_browser_still_runs(
    sandbox: Sandbox, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    def show(url: str) -> None:
        page = httpx.get(sandbox.visit(url), trust_env=False)
        assert page.status_code == 200
        closed.wait(60)

    if how == "browser":
        # A browser in the terminal, which runs until the user closes it.
        browser = tmp_path / "browser"
        browser.write_text(
            f'#!/bin/sh\nredirected=$({sandbox.program} user --ca-file {sandbox.ca_file} "$1")\n'
            f"{sys.executable} -c 'import sys, urllib.request as u; "
            'u.build_opener(u.ProxyHandler({})).open(sys.argv[1])\' "$redirected"\n'
            f"while [ ! -e {tmp_path}/closed ]; do sleep 0.05; done\n"
        )
        browser.chmod(0o755)
        monkeypatch.setattr("webbrowser._tryorder", None)
        monkeypatch.setattr("webbrowser._browsers", {})
        monkeypatch.setenv("BROWSER", f"{browser} %s")
    tokens = sandbox.client().login(show=show if how == "show" else None, timeout=60)
    assert tokens.access_token
    closed.set()
    (tmp_path / "closed").touch()


def test_no_browser_is_an_error_at_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    with pytest.raises(cmauth.FixError, match="pass show=print"):
        sandbox.client().login(timeout=60)


def test_a_response_is_not_lost_to_an_interrupt_of_a_store(fake: Fake) -> None:
    """The tokens of the refresh are saved before the interrupt is raised."""
    store = Failing("unlock")
    session = cmauth.Session(fake.client(), store)
    session.start(some_tokens(-10))
    fake.respond = lambda: tokens_response(access_token="fresh")
    store.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        session.tokens()
    store.error = None
    assert store.record
    assert "fresh" in store.record
    fake.respond = lambda: Response(500)
    again = cmauth.Session(fake.client(), store)
    assert again.tokens().access_token == "fresh"


def test_auth_given_to_httpx_is_a_mistake_that_names_the_remedy(fake: Fake) -> None:
    session = cmauth.Session(fake.client(), cmauth.MemoryStore())
    with pytest.raises(TypeError, match=r"give httpx a cmauth\.HttpxAuth"):
        httpx.get(f"{fake.url}/x", auth=cmauth.Auth(session))  # type: ignore[arg-type]


def test_a_missing_package_is_named() -> None:
    program = "import sys\nsys.modules['httpx'] = None\nimport cmauth\ncmauth.HttpxAuth\n"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr.endswith("ImportError: cmauth.HttpxAuth needs the package httpx: pip install 'cmauth[httpx]'\n")
    assert run.stderr.count("Traceback") == 1


def test_help_has_every_name() -> None:
    assert set(cmauth.__all__) <= set(dir(cmauth))
