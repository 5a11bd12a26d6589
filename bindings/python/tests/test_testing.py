"""`cmauth.testing`, as the tests of a product use it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cmauth
import pytest
from cmauth.testing import Sandbox

PRODUCT = """
import cmauth
import pytest

def test_the_session_survives_faults(cmauth_sandbox):
    client = cmauth_sandbox.client()
    session = cmauth.Session(client, cmauth.MemoryStore())
    session.start(cmauth_sandbox.log_in(client))
    before = session.tokens()
    cmauth_sandbox.faults("status-503", "cut-body")
    assert session.rejected(before).access_token != before.access_token
    assert any("refresh_token" in r["target"] for r in cmauth_sandbox.requests())

@pytest.mark.cmauth_sandbox("--access-token-lifetime", "60", "--rotate-refresh-tokens")
def test_tokens_that_live_for_a_minute(cmauth_sandbox):
    client = cmauth_sandbox.client()
    tokens = cmauth_sandbox.log_in(client)
    assert tokens.expires_in <= 60
    cmauth_sandbox.advance(61)
    with pytest.raises(cmauth.RefreshError):
        client.logout(tokens.access_token)
    assert client.refresh(tokens.refresh_token).refresh_token != tokens.refresh_token
"""


def test_a_product_can_use_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_product.py").write_text(PRODUCT)
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "2 passed" in run.stdout, run.stdout + run.stderr


def test_every_fault_can_be_set(cmauth_sandbox: Sandbox) -> None:
    names = cmauth_sandbox.fault_names()
    assert len(names) > 40
    for name in names:
        cmauth_sandbox.faults(name)
    cmauth_sandbox.faults("status-503", times=2)
    cmauth_sandbox.faults("status-503", for_ever=True)
    cmauth_sandbox.faults()
    with pytest.raises(ValueError, match="unknown"):
        cmauth_sandbox.faults("unknown")
    assert cmauth_sandbox.log_in(cmauth_sandbox.client()).access_token


def test_a_login_can_fail_and_be_denied(cmauth_sandbox: Sandbox) -> None:
    client = cmauth_sandbox.client()
    with pytest.raises(RuntimeError, match="could not log in"):
        cmauth_sandbox.log_in(client, user="demo:wrong")
    login = client.begin_login("https://example.com")
    with pytest.raises(cmauth.LoginError):
        login.finish(cmauth_sandbox.visit(login.url, deny=True))


def test_the_error_for_a_missing_program_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMAUTH_SANDBOX")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match=r"pip install \./sandbox"):
        Sandbox()


def test_bad_options_are_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        Sandbox("--unknown")
    assert "--unknown" in capfd.readouterr().err


VERBOSE = """#!{python}
import sys
import time
from pathlib import Path

options = sys.argv[1:]
Path(options[options.index("--control-out") + 1]).write_text("http://127.0.0.1:1")
print("cmauth-sandbox ready at http://127.0.0.1:1", flush=True)
print("x" * 1_000_000, flush=True)
Path({done!r}).touch()
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows runs no scripts by their first line")
def test_a_program_that_prints_much_does_not_block(tmp_path: Path) -> None:
    program, done = tmp_path / "program", tmp_path / "done"
    program.write_text(VERBOSE.format(python=sys.executable, done=str(done)), encoding="utf-8")
    program.chmod(0o700)
    with Sandbox(program=str(program)):
        until = time.monotonic() + 20
        while not done.exists():
            assert time.monotonic() < until, "the program could not write its output"
            time.sleep(0.01)
