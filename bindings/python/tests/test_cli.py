"""The command `cmauth`, as a shell runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cmauth.testing import CLIENT_ID, CLIENT_SECRET
from shell import Shell


def test_log_in_use_refresh_log_out(shell: Shell) -> None:
    shell.run("token", exit_code=3)
    assert shell.run("status", exit_code=3)[0] == "Nobody is logged in.\n"
    assert shell.log_in()[0].startswith(
        "Logged in as demo (demo@example.com, ID 20003). The access token expires at 20"
    )

    [token] = shell.run("token")[0].splitlines()
    assert shell.run("token")[0].strip() == token
    status = shell.run("status")[0]
    assert CLIENT_ID in status
    assert shell.sandbox.url in status
    assert token not in status

    assert shell.run("refresh")[0].startswith("Refreshed. ")
    assert shell.run("token")[0].strip() != token
    assert shell.run("logout")[0] == "Logged out.\n"
    assert shell.run("logout")[0] == "Nobody was logged in.\n"
    _, err = shell.run("token", exit_code=3)
    assert err == "cmauth: nobody is logged in; run: cmauth login\n"


def test_scripts_get_json(shell: Shell) -> None:
    out = json.loads(shell.log_in("--json")[0])
    assert out["logged_in"] is True
    assert out["scope"] == "write"
    assert shell.json("token")["token_type"] == "bearer"
    status = shell.json("status")
    assert status["client_id"] == CLIENT_ID
    assert status["next_refresh"] < status["expires_at"]
    assert shell.json("refresh")["expires_at"] >= out["expires_at"]
    assert shell.json("logout") == {"told_server": True}
    _, err = shell.run("refresh", "--json", exit_code=3)
    error = json.loads(err)["error"]
    assert (error["status"], error["advice"], error["exit_code"]) == (
        "LOGIN_REQUIRED",
        "LOG_IN",
        3,
    )


def test_a_login_with_a_browser_on_another_machine(shell: Shell) -> None:
    with shell.start("login", "--no-browser") as process:
        assert process.stderr
        assert process.stdin
        process.stderr.readline()
        ended = shell.sandbox.visit(process.stderr.readline().strip())
        assert ended.startswith("http://127.0.0.1/?code=")
        out, err = process.communicate(ended + "\n", timeout=60)
    assert process.returncode == 0, out + err
    assert shell.run("token")[0]


def test_profiles_are_separate_users(shell: Shell) -> None:
    shell.log_in("--profile", "one")
    shell.run("token", "--profile", "one")
    shell.run("token", exit_code=3)
    shell.run("token", "--profile", "../one", exit_code=2)
    # The profile keeps the settings of the login, but not the secret.
    for name in ("CMAUTH_CLIENT_ID", "CMAUTH_BASE_URL", "CMAUTH_CA_FILE"):
        del shell.environment[name]
    shell.run("token", "--profile", "one")
    folder = shell.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "one.session").stat().st_mode & 0o777 == 0o600
    for file in folder.iterdir():
        assert CLIENT_SECRET not in file.read_text()
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    _, err = shell.run("refresh", "--profile", "one", exit_code=5)
    assert "CMAUTH_CLIENT_SECRET" in err
    # These commands need no secret.
    shell.run("status", "--profile", "one")
    shell.run("logout", "--forget", "--profile", "one")
    shell.run("status", "--profile", "one", exit_code=3)


def test_the_secret_comes_from_the_keyring(shell: Shell, tmp_path: Path) -> None:
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    (tmp_path / "kept.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, service, user):\n"
        f"        ours = (service, user) == ('cmauth', {CLIENT_ID!r})\n"
        f"        return {CLIENT_SECRET!r} if ours else None\n"
        "    def set_password(self, *_): raise NotImplementedError\n"
    )
    shell.environment["PYTHONPATH"] = str(tmp_path)
    shell.environment["PYTHON_KEYRING_BACKEND"] = "kept.Keyring"
    shell.log_in()
    shell.run("token")


def test_each_advice_has_its_exit_code(shell: Shell) -> None:
    shell.log_in()
    shell.sandbox.faults("status-503", for_ever=True)
    _, err = shell.run("refresh", exit_code=4)
    assert err.startswith("cmauth: ")
    assert err.count("\n") == 1
    shell.sandbox.faults()
    shell.environment["CMAUTH_CLIENT_SECRET"] = "wrong"
    shell.run("refresh", exit_code=5)
    shell.environment["CMAUTH_BASE_URL"] = "http://example.com"
    _, err = shell.run("login", "--profile", "other", exit_code=5)
    assert "CMAUTH_BASE_URL" in err
    shell.environment["CMAUTH_BASE_URL"] = shell.sandbox.url
    shell.run("unknown", exit_code=2)
    shell.run(exit_code=2)
    shell.run("login", "--client-secret", "x", exit_code=2)
    (shell.folder / "default.session").chmod(0o644)
    _, err = shell.run("token", exit_code=5)
    assert "default.session" in err
    assert "chmod 600" in err
    assert "--forget" not in err


def test_a_damaged_session_is_reported_and_deleted_or_replaced(shell: Shell) -> None:
    shell.log_in()
    session = shell.folder / "default.session"

    def spoil() -> str:
        text = session.read_text()[:-2]
        session.write_text(text)
        return text

    text = spoil()
    before = len(shell.sandbox.requests())
    for command in (["status"], ["token"], ["refresh"], ["logout"]):
        out, err = shell.run(*command, exit_code=5)
        assert not out
        assert err.startswith(f"cmauth: {session}: ")
        assert "it is not JSON" in err
        assert "cmauth logout --forget" in err
        assert "cmauth login" in err
        assert err.count("\n") == 1
        _, err = shell.run(*command, "--json", exit_code=5)
        error = json.loads(err)["error"]
        assert (error["status"], error["advice"], error["exit_code"]) == ("STORE", "FIX", 5)
        assert "it is not JSON" in error["message"]
    assert session.read_text() == text, "the file is unchanged"
    assert len(shell.sandbox.requests()) == before, "nothing is sent"

    assert shell.run("logout", "--forget")[0] == "Deleted here; the server was not told.\n"
    assert not session.exists()
    assert shell.run("status", exit_code=3)[0] == "Nobody is logged in.\n"

    # A login replaces the file, and says so.
    shell.log_in()
    spoil()
    shell.log_in(warning=(f"cmauth: {session}: ", "it is not JSON", "the new login replaces the file"))
    shell.run("status")
    assert shell.run("token")[0].strip()


def test_a_login_that_fails_replaces_nothing(shell: Shell) -> None:
    shell.log_in()
    session = shell.folder / "default.session"
    session.write_text("{")
    _, err = shell.run("login", "--timeout", "0.1", exit_code=4)
    assert "the new login replaces the file" in err
    assert session.read_text() == "{"


def test_a_damaged_file_without_its_profile_can_be_deleted(shell: Shell) -> None:
    shell.log_in("--profile", "one")
    folder = shell.folder
    (folder / "one.session").write_text("{")
    _, err = shell.run("token", "--profile", "one", exit_code=5)
    assert "cmauth logout --forget --profile one" in err
    (folder / "one.json").unlink()
    for name in ("CMAUTH_CLIENT_ID", "CMAUTH_CLIENT_SECRET", "CMAUTH_BASE_URL", "CMAUTH_CA_FILE"):
        del shell.environment[name]
    _, err = shell.run("status", "--profile", "one", exit_code=5)
    assert "cmauth logout --forget --profile one" in err
    shell.run("logout", "--forget", "--profile", "one")
    assert not (folder / "one.session").exists()


def test_help_names_every_command_and_exit_code(shell: Shell) -> None:
    out, _ = shell.run("--help")
    for word in ("login", "status", "token", "refresh", "logout", "profiles", "sandbox", "exit codes"):
        assert word in out
    assert shell.run("--version")[0].startswith("cmauth 0.")
    module = [sys.executable, "-m", "cmauth", "--version"]
    assert subprocess.check_output(module, text=True).startswith("cmauth 0.")


def test_the_command_sandbox_runs_it_or_names_the_remedy(shell: Shell, tmp_path: Path) -> None:
    shell.environment["PATH"] = str(tmp_path)
    _, err = shell.run("sandbox", exit_code=5)
    assert "pip install ./sandbox" in err
    program = tmp_path / "cmauth-sandbox"
    program.symlink_to(os.environ["CMAUTH_SANDBOX"])
    assert shell.run("sandbox", "--version")[0].startswith("cmauth-sandbox 0.")


def test_ctrl_c_ends_a_login(shell: Shell) -> None:
    with shell.start("login") as process:
        assert process.stderr
        process.stderr.readline()
        process.stderr.readline()
        process.send_signal(2)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "cmauth: interrupted\n"
