"""`cmauth login` for people: prompts, the keyring, and a login over the one of another user."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from cmauth.testing import CLIENT_ID, CLIENT_SECRET
from shell import Shell

USERS = pytest.mark.cmauth_sandbox("--user", "demo:demo", "--user", "eve:eve")


def test_status_names_the_user_and_sends_nothing(shell: Shell) -> None:
    shell.log_in()
    requests = len(shell.sandbox.requests())
    assert "Logged in as demo (demo@example.com, ID 20003)," in shell.run("status")[0]
    assert shell.json("status")["user"] == {"id": "20003", "name": "demo", "email": "demo@example.com"}
    assert len(shell.sandbox.requests()) == requests
    shell.run("logout")
    assert "demo" not in (shell.folder / "default.json").read_text()


def test_a_login_works_if_the_server_does_not_say_who_the_user_is(shell: Shell) -> None:
    with shell.start("login", "--no-browser", "--json") as process:
        assert process.stderr
        process.stderr.readline()
        back = shell.sandbox.visit(process.stderr.readline().strip())
        # The first response is that with the tokens, which may come in chunks.
        shell.sandbox.faults("chunked", "status-403")
        out, err = process.communicate(f"{back}\n", timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["user"] is None
    assert shell.sandbox.requests()[-1]["target"] == "/rest/v2.0/users/self"
    assert shell.run("status")[0].startswith(f"Logged in with the API key {CLIENT_ID}, at ")
    assert shell.json("status")["user"] is None
    assert shell.run("profiles")[0].splitlines()[1].split()[:3] == ["default", "yes", "-"]


@USERS
def test_profiles_lists_the_users(shell: Shell) -> None:
    assert shell.run("profiles")[0] == "There are no profiles.\n"
    assert shell.json("profiles") == {"profiles": []}
    shell.log_in("--profile", "one")
    shell.log_in("--profile", "two", user="eve:eve")
    shell.run("logout", "--profile", "two")
    requests = len(shell.sandbox.requests())
    one, two = shell.json("profiles")["profiles"]
    assert (one["profile"], one["logged_in"], one["user"]["name"]) == ("one", True, "demo")
    assert (one["client_id"], one["base_url"]) == (CLIENT_ID, shell.sandbox.url)
    assert (two["profile"], two["logged_in"], two["user"]) == ("two", False, None)
    # The settings of the shell are not those of the profiles.
    shell.environment["CMAUTH_BASE_URL"] = "https://elsewhere.example"
    head, first, second = shell.run("profiles")[0].splitlines()
    assert head.split("  ")[0] == "PROFILE"
    assert first.split() == ["one", "yes", "demo", CLIENT_ID, shell.sandbox.url]
    assert second.split() == ["two", "no", "-", CLIENT_ID, shell.sandbox.url]
    assert len(shell.sandbox.requests()) == requests


def test_the_same_user_can_log_in_again_without_a_question(shell: Shell) -> None:
    shell.log_in()
    shell.log_in()
    shell.sandbox.advance(43200)
    shell.log_in()


@USERS
def test_another_user_replaces_nobody_without_a_terminal(shell: Shell) -> None:
    shell.log_in()
    token = shell.run("token")[0]
    _, err = shell.log_in(user="eve:eve", exit_code=5)
    assert "the login of demo (demo@example.com, ID 20003) stays" in err
    assert "eve" in err
    assert "--replace" in err
    assert "--profile" in err
    assert shell.run("token")[0] == token
    assert shell.json("status")["user"]["name"] == "demo"
    shell.run("refresh")

    shell.log_in("--replace", user="eve:eve")
    assert shell.json("status")["user"]["name"] == "eve"


@USERS
@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_another_user_is_asked_for_at_a_terminal(shell: Shell, answer: str) -> None:
    shell.log_in()
    token = shell.run("token")[0]
    with shell.at_terminal("login") as terminal:
        terminal.read_until("Open this page and log in:\n")
        shell.sandbox.come_back(terminal.read_until("\n").strip(), "eve:eve")
        question = terminal.read_until("[y/N] ")
        assert "has the login of demo" in question
        assert "eve" in question
        assert shell.run("token")[0] == token, "the old login is there while the question is"
        terminal.type(answer)
        assert terminal.end() == (0 if answer == "y" else 5)
    assert shell.json("status")["user"]["name"] == ("eve" if answer == "y" else "demo")
    if answer != "y":
        shell.run("refresh")


@USERS
def test_ctrl_c_at_the_question_means_no(shell: Shell) -> None:
    shell.log_in()
    with shell.at_terminal("login") as terminal:
        terminal.read_until("Open this page and log in:\n")
        shell.sandbox.come_back(terminal.read_until("\n").strip(), "eve:eve")
        terminal.read_until("[y/N] ")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert shell.json("status")["user"]["name"] == "demo"


@USERS
def test_an_unknown_user_is_not_replaced_without_agreement(shell: Shell) -> None:
    shell.log_in()
    (shell.folder / "default.json").unlink()
    _, err = shell.log_in(user="eve:eve", exit_code=5)
    assert "of an unknown user stays" in err
    # The server returns the tokens of the same login: they are not logged out, and no question is asked.
    shell.log_in()
    shell.run("refresh")
    assert shell.json("status")["user"]["name"] == "demo"


BROKEN = {
    "no backend": "keyring.backends.fail.Keyring",
    "a module that is missing": "missing.Keyring",
    "a backend that raises anything": "broken.Keyring",
    "a backend that cannot be made": "broken.Unmade",
}


@pytest.mark.parametrize("backend", BROKEN)
def test_a_keyring_that_fails_leads_to_the_prompt(shell: Shell, backend: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, *_): raise RuntimeError('a secret')\n"
        "    def set_password(self, *_): raise RuntimeError('a secret')\n"
        "class Unmade(Keyring):\n"
        "    def __init__(self): raise OSError('a secret')\n"
    )
    shell.environment["PYTHONPATH"] = str(tmp_path)
    shell.environment["PYTHON_KEYRING_BACKEND"] = BROKEN[backend]
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    _, err = shell.run("login", exit_code=5)
    assert "CMAUTH_CLIENT_SECRET" in err
    assert err.count("\n") == 1
    with shell.at_terminal("login") as terminal:
        terminal.read_until(f"Secret of the API key {CLIENT_ID}: ")
        terminal.type(CLIENT_SECRET)
        assert "keyring?" not in terminal.read_until("Open this page and log in:\n"), "it could not keep it"
        shell.sandbox.come_back(terminal.read_until("\n").strip())
        assert terminal.end() == 0
        assert CLIENT_SECRET not in terminal.output


def test_a_keyring_that_keeps_nothing_does_not_end_the_login(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "full.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, *_): return None\n"
        "    def set_password(self, *values): raise RuntimeError(str(values))\n"
    )
    shell.environment["PYTHONPATH"] = str(tmp_path)
    shell.environment["PYTHON_KEYRING_BACKEND"] = "full.Keyring"
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    with shell.at_terminal("login") as terminal:
        terminal.read_until(f"Secret of the API key {CLIENT_ID}: ")
        terminal.type(CLIENT_SECRET)
        terminal.read_until("Keep it in the keyring? [y/N] ")
        terminal.type("y")
        said = terminal.read_until("Open this page and log in:\n")
        assert "the keyring did not keep it (RuntimeError)" in said
        assert CLIENT_SECRET not in said
        shell.sandbox.come_back(terminal.read_until("\n").strip())
        assert terminal.end() == 0


def test_a_login_asks_for_the_key_and_its_secret(shell: Shell) -> None:
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    del shell.environment["CMAUTH_CLIENT_ID"]
    with shell.at_terminal("login") as terminal:
        terminal.read_until("API key id: ")
        terminal.type("")
        assert terminal.end() == 5
    with shell.at_terminal("login") as terminal:
        terminal.read_until("API key id: ")
        terminal.type(CLIENT_ID)
        terminal.read_until(f"Secret of the API key {CLIENT_ID}: ")
        # The end of the input.
        terminal.type("\x04")
        assert terminal.end() == 5
    assert not shell.sandbox.requests()


def test_a_browser_that_blocks_does_not_hold_the_login_up(shell: Shell, tmp_path: Path) -> None:
    browser, started = tmp_path / "browser", tmp_path / "started"
    os.mkfifo(started)
    browser.write_text(f"#!/bin/sh\necho $$ >{started}\nexec sleep 600 >/dev/null 2>&1\n")
    browser.chmod(0o700)
    shell.environment["BROWSER"] = f"{browser} %s"
    with shell.start("login") as process:
        assert process.stderr
        process.stderr.readline()
        url = process.stderr.readline().strip()
        running = int(started.read_text())
        try:
            shell.sandbox.come_back(url)
            _, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            os.kill(running, 0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running, signal.SIGKILL)
    shell.run("status")


def test_the_product_is_on_the_last_page(shell: Shell) -> None:
    with shell.start("login", "--product", "Recorder 7 & co") as process:
        assert process.stderr
        process.stderr.readline()
        page = shell.sandbox.come_back(process.stderr.readline().strip())
        process.communicate(timeout=60)
    assert "Recorder 7 &amp; co" in page


@USERS
def test_a_login_that_is_refused_ends_no_other_login_of_its_user(shell: Shell) -> None:
    shell.log_in()
    shell.log_in("--profile", "eve", user="eve:eve")
    shell.log_in(user="eve:eve", exit_code=5)
    # All logins of a user share their tokens at the server.
    shell.run("refresh", "--profile", "eve")


@USERS
def test_of_two_users_who_log_in_at_once_one_is_told(shell: Shell) -> None:
    for round_number in range(5):
        profile = f"round{round_number}"
        with shell.start("login", "--profile", profile) as one, shell.start("login", "--profile", profile) as other:
            codes = []
            for process, user in ((one, "demo"), (other, "eve")):
                assert process.stderr
                process.stderr.readline()
                url = process.stderr.readline().strip()
                threading.Thread(target=shell.sandbox.come_back, args=(url, f"{user}:{user}")).start()
            for process in (one, other):
                process.communicate(timeout=60)
                codes.append(process.returncode)
        assert sorted(codes) == [0, 5]
        stored = "demo" if codes[0] == 0 else "eve"
        assert shell.json("status", "--profile", profile)["user"]["name"] == stored


@USERS
def test_the_user_is_asked_about_the_login_that_is_there_at_the_end(shell: Shell) -> None:
    shell.log_in()
    with shell.start("login") as slow:
        assert slow.stderr
        slow.stderr.readline()
        url = slow.stderr.readline().strip()
        shell.log_in("--replace", user="eve:eve")
        shell.sandbox.come_back(url)
        _, err = slow.communicate(timeout=60)
    assert slow.returncode == 5
    assert "the login of eve" in err
    assert shell.json("status")["user"]["name"] == "eve"


def test_a_login_that_is_killed_while_it_stores_leaves_no_wrong_user(shell: Shell, tmp_path: Path) -> None:
    shell.log_in()
    # The second file of a login is its settings with the user.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib, signal\n"
        "replace, calls = pathlib.Path.replace, []\n"
        "def kill(self, target):\n"
        "    calls.append(target)\n"
        "    if len(calls) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return replace(self, target)\n"
        "pathlib.Path.replace = kill\n"
    )
    shell.environment["PYTHONPATH"] = str(tmp_path)
    shell.log_in(exit_code=-signal.SIGKILL)
    del shell.environment["PYTHONPATH"]
    assert shell.json("status")["user"] is None


def test_what_the_browser_prints_is_not_the_output(shell: Shell, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\necho hello\nexec sleep 60\n")
    browser.chmod(0o700)
    shell.environment["BROWSER"] = f"{browser} %s"
    began = time.monotonic()
    _, err = shell.run("login", "--json", "--timeout", "0.3", exit_code=4)
    assert time.monotonic() - began < 30
    assert json.loads(err.splitlines()[-1])["error"]["exit_code"] == 4
    assert "hello" not in err


def test_what_is_wrong_is_said_before_the_secret_is_asked_for(shell: Shell) -> None:
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = (
            ["--port", str(taken.getsockname()[1])],
            ["--no-browser", "--redirect-uri", "bogus"],
        )
        for arguments in wrong:
            with shell.at_terminal("login", *arguments) as terminal:
                assert terminal.end() == 5
                assert "Secret of" not in terminal.output
    del shell.environment["CMAUTH_CLIENT_ID"]
    shell.environment["CMAUTH_BASE_URL"] = "bogus"
    with shell.at_terminal("login") as terminal:
        assert terminal.end() == 5
        assert "API key id" not in terminal.output


def test_a_login_with_a_fixed_port(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(3):
        shell.log_in("--port", str(port))
        shell.run("logout")
