"""The code of the tutorial runs, and the reference is complete."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cmauth
import pytest
import redis
from cmauth.testing import CLIENT_ID, CLIENT_SECRET, Sandbox
from conftest import WORKSPACE, RedisServer

TUTORIAL = WORKSPACE / "docs" / "python" / "tutorial.md"
WHOLE_API = Path(__file__).parent / "whole_api.py"


def pieces() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S)


def test_every_piece_of_the_tutorial_runs(
    cmauth_sandbox: Sandbox,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the reader has: an API key, a browser, a folder, a Redis server, a trusted server.
    monkeypatch.setenv("CMAUTH_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("CMAUTH_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", cmauth_sandbox.ca_file)
    monkeypatch.setenv("SSL_CERT_FILE", cmauth_sandbox.ca_file)
    monkeypatch.setenv("CMAUTH_BASE_URL", cmauth_sandbox.url)
    monkeypatch.setenv("CMAUTH_CA_FILE", cmauth_sandbox.ca_file)
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setattr(cmauth, "FileStore", lambda path: FILE_STORE(tmp_path / Path(path).name))
    monkeypatch.setattr(redis, "Redis", redis_server.client)

    def open_browser(url: str) -> bool:
        threading.Thread(target=cmauth_sandbox.come_back, args=(url,)).start()
        return True

    monkeypatch.setattr("webbrowser.open", open_browser)
    names: dict[str, Any] = {}
    names["wait_for_redirect"] = lambda: cmauth_sandbox.visit(names["login"].url)

    found = pieces()
    assert len(found) >= 10
    for piece in found:
        exec(compile(piece, "tutorial.md", "exec"), names)
        if "async def names" in piece:
            assert asyncio.run(names["names"]())
        if "def tokens_or_what_to_do" in piece:
            assert isinstance(names["tokens_or_what_to_do"](), cmauth.Tokens)
        if "def after_login" in piece:
            user = names["after_login"](names["tokens"])
            assert names["sessions"].get(user).health().logged_in
    assert names["cameras"]
    names["test_my_product"](cmauth_sandbox)


FILE_STORE = cmauth.FileStore


def test_a_program_that_uses_the_whole_api_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(WHOLE_API), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout == "done\n", run.stdout + run.stderr


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]])
def test_a_program_that_uses_the_whole_api_is_typed(checker: list[str], tmp_path: Path) -> None:
    # Outside of the source tree, where checkers would find the package without its compiled module.
    program = tmp_path / "whole_api.py"
    program.write_text(WHOLE_API.read_text(encoding="utf-8"))
    if checker == ["pyright"]:
        strict = '{"typeCheckingMode": "strict", "reportMissingTypeStubs": false}'
        (tmp_path / "pyrightconfig.json").write_text(strict)
        checker = ["pyright", "--pythonpath", sys.executable]
    command = [sys.executable, "-m", *checker, str(program)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_that_program_uses_every_public_name() -> None:
    program = WHOLE_API.read_text(encoding="utf-8")
    for name in cmauth.__all__:
        assert f"cmauth.{name}" in program, name
        item = getattr(cmauth, name)
        if isinstance(item, type) and item not in (cmauth.Status, cmauth.Advice, cmauth.Change, cmauth.Options):
            for member in vars(item):
                if not member.startswith("_") and not member.endswith("auth_flow"):
                    assert f".{member}" in program or f"def {member}" in program, (name, member)


def test_the_reference_has_every_public_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pdoc", "-o", str(tmp_path)]
    command += [str(TUTORIAL.with_suffix(".py")), "cmauth", "cmauth.testing", "!cmauth._pytest"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "cmauth.html").read_text(encoding="utf-8")
    for name in cmauth.__all__:
        assert f'id="{name}"' in page, name
    tutorial = (tmp_path / "tutorial.html").read_text(encoding="utf-8")
    assert "A session does this for you" in tutorial
    assert (tmp_path / "cmauth" / "testing.html").exists()


def test_help_describes_the_package() -> None:
    command = [sys.executable, "-c", "import cmauth; help(cmauth)"]
    text = subprocess.check_output(command, text=True)
    for words in ("client.login()", "FileStore", "RetryError", "Ctrl-C"):
        assert words in text, words
