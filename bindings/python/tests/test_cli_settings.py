"""The command `cmauth` with settings, files and streams that are wrong: one clear line, nothing is sent."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cmauth.testing import CLIENT_ID, CLIENT_SECRET
from shell import Shell


def one_line(err: str) -> str:
    assert err.count("\n") == 1, err
    assert err.startswith("cmauth: ")
    return err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", value) for value in ("-1", "65536", "99999999999999999999", "1.5", "x", "")]
    + [("--timeout", value) for value in ("nan", "inf", "-inf", "-1", "0", "86401", "1e300", "x", "")],
)
def test_a_port_or_a_timeout_out_of_range_is_wrong_usage(shell: Shell, option: str, value: str) -> None:
    out, err = shell.run("login", f"{option}={value}", exit_code=2)
    assert not out
    assert f"argument {option}: give" in one_line(err)
    assert not shell.folder.exists()
    assert not shell.sandbox.requests()


def test_wrong_usage_is_json_for_a_script(shell: Shell) -> None:
    _, err = shell.run("login", "--json", "--port", "x", exit_code=2)
    error = json.loads(err)["error"]
    assert (error["status"], error["advice"], error["exit_code"]) == ("INVALID_ARGUMENT", "FIX", 2)


def test_a_closed_standard_input_is_reported_if_it_is_needed(shell: Shell) -> None:
    closed = shell.sh("$CMAUTH login --no-browser <&-")
    assert closed.returncode == 2
    assert "standard input, which is closed" in one_line(closed.stderr)
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    closed = shell.sh("$CMAUTH login <&-")
    assert closed.returncode == 5
    assert "CMAUTH_CLIENT_SECRET" in one_line(closed.stderr)
    del shell.environment["CMAUTH_CLIENT_ID"]
    closed = shell.sh("$CMAUTH login <&-")
    assert closed.returncode == 5
    assert "CMAUTH_CLIENT_ID" in one_line(closed.stderr)
    assert not shell.sandbox.requests()


def test_a_login_that_needs_no_input_works_without_it(shell: Shell) -> None:
    with shell.start("login", stdin=subprocess.DEVNULL) as process:
        assert process.stderr
        process.stderr.readline()
        shell.sandbox.come_back(process.stderr.readline().strip())
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_closed_standard_error_does_not_reach_the_output(shell: Shell) -> None:
    closed = shell.sh("$CMAUTH token 2>&-")
    assert (closed.returncode, closed.stdout) == (3, "")


@pytest.mark.parametrize("variable", ["CMAUTH_STATE_DIR", "HOME"])
def test_a_folder_that_cannot_be_made_is_reported_before_a_login(shell: Shell, variable: str, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    del shell.environment["CMAUTH_STATE_DIR"]
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    shell.environment[variable] = str(blocked / "home")
    with shell.at_terminal("login") as terminal:
        assert terminal.end() == 5
        assert "CMAUTH_STATE_DIR" in one_line(terminal.output)
        assert str(blocked) in terminal.output
    assert shell.run("status", exit_code=3)[0] == "Nobody is logged in.\n"
    shell.run("token", exit_code=3)
    shell.run("profiles")


def test_a_folder_that_cannot_be_written_is_reported_before_a_login(shell: Shell) -> None:
    # Root may write to any other folder.
    shell.environment["CMAUTH_STATE_DIR"] = "/proc/self"
    _, err = shell.run("login", exit_code=5)
    assert "/proc/self" in one_line(err)
    assert not shell.sandbox.requests()


def test_commands_that_only_read_make_no_folder(shell: Shell) -> None:
    shell.run("status", exit_code=3)
    shell.run("token", exit_code=3)
    shell.run("refresh", exit_code=3)
    shell.run("profiles")
    shell.run("logout")
    shell.run("logout", "--forget")
    assert not shell.folder.exists()


OTHERS = {
    "--client-id": ("another.key", CLIENT_ID),
    "CMAUTH_CLIENT_ID": ("another.key", CLIENT_ID),
    "CMAUTH_BASE_URL": ("https://elsewhere.example", "localhost"),
}


@pytest.mark.parametrize("source", OTHERS)
def test_another_key_or_server_than_that_of_the_login_is_refused(shell: Shell, source: str) -> None:
    shell.log_in()
    other, own = OTHERS[source]
    session = (shell.folder / "default.session").read_text()
    requests = len(shell.sandbox.requests())
    option: tuple[str, ...] = ()
    if source.startswith("--"):
        option = (source, other)
    else:
        shell.environment[source] = other
    for command in ("token", "refresh", "logout", "status", "login"):
        out, err = shell.run(command, *option, exit_code=5)
        assert not out
        assert f"{source} says {other}" in one_line(err)
        assert own in err
        assert "--profile" in err
        assert "cmauth logout --forget" in err
        _, err = shell.run(command, *option, "--json", exit_code=5)
        assert json.loads(err)["error"]["status"] == "STORE"
    assert len(shell.sandbox.requests()) == requests, "nothing is sent"
    assert (shell.folder / "default.session").read_text() == session, "the login stays"
    # Both remedies work.
    shell.run("status", *option, "--profile", "other", exit_code=3)
    shell.run("logout", "--forget", *option)
    shell.run("status", *option, exit_code=3)


@pytest.mark.parametrize("content", ["key", "server"])
def test_the_tokens_decide_to_whom_they_belong(shell: Shell, content: str) -> None:
    shell.log_in()
    session = shell.folder / "default.session"
    old, new = {"key": (CLIENT_ID, "another.key"), "server": (shell.sandbox.url, "https://elsewhere.example")}[content]
    text = session.read_text().replace(old, new)
    session.write_text(text)
    requests = len(shell.sandbox.requests())
    for command in ("token", "refresh", "logout", "status", "login"):
        _, err = shell.run(command, exit_code=5)
        assert new in one_line(err)
        assert old in err
        assert "cmauth logout --forget" in err
    assert len(shell.sandbox.requests()) == requests, "nothing is sent"
    assert session.read_text() == text
    shell.run("logout", "--forget")
    shell.log_in()


def test_a_login_without_its_settings_belongs_to_its_key_and_server(shell: Shell) -> None:
    shell.log_in()
    (shell.folder / "default.json").unlink()
    del shell.environment["CMAUTH_CLIENT_ID"]
    del shell.environment["CMAUTH_BASE_URL"]
    assert shell.json("status")["base_url"] == shell.sandbox.url
    shell.run("refresh")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"client_id": 5, "base_url": "x"}', "\udcff", "null"])
def test_damaged_settings_are_reported_and_deleted_or_replaced(shell: Shell, content: str) -> None:
    shell.log_in()
    settings = shell.folder / "default.json"

    def spoil() -> None:
        settings.write_bytes(content.encode(errors="surrogateescape"))

    spoil()
    requests = len(shell.sandbox.requests())
    for command in ("token", "refresh", "logout", "status"):
        _, err = shell.run(command, exit_code=5)
        assert f"{settings}: " in one_line(err)
        assert "damaged" in err
        assert "cmauth logout --forget" in err
        assert "cmauth login" in err
    assert len(shell.sandbox.requests()) == requests, "nothing is sent"
    [profile] = shell.json("profiles")["profiles"]
    assert profile["unusable"]

    shell.run("logout", "--forget")
    assert not settings.exists()
    shell.run("status", exit_code=3)

    spoil()
    shell.log_in(warning=(f"cmauth: {settings}: ", "the new login replaces them"))
    assert "demo" in shell.run("status")[0]


def test_settings_of_a_later_version_can_be_read(shell: Shell) -> None:
    shell.log_in()
    settings = shell.folder / "default.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "later": [1]}))
    shell.run("status")


def test_a_token_at_hand_needs_no_secret(shell: Shell) -> None:
    shell.log_in()
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    requests = len(shell.sandbox.requests())
    assert shell.run("token")[0].strip()
    with shell.at_terminal("token") as terminal:
        assert terminal.end() == 0
        assert terminal.output.strip() == shell.run("token")[0].strip()
    assert len(shell.sandbox.requests()) == requests
    # A refresh needs it.
    _, err = shell.run("refresh", exit_code=5)
    assert "CMAUTH_CLIENT_SECRET" in one_line(err)


@pytest.mark.parametrize("command", ["token", "status", "profiles", "--help", "token --json"])
def test_a_reader_that_has_ended_is_no_error(shell: Shell, command: str) -> None:
    shell.log_in()
    # A pipe without a reader: `| true` would race with it.
    ended = shell.sh(f"exec 3> >(exec true); wait $!; $CMAUTH {command} >&3; echo $?")
    assert ended.stderr == ""
    assert ended.stdout == "1\n"
    assert shell.sh(f"$CMAUTH {command} | true").stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_reported_in_one_line(shell: Shell) -> None:
    shell.log_in()
    full = shell.sh("$CMAUTH token >/dev/full")
    assert full.returncode == 5
    assert "No space left" in one_line(full.stderr)


def test_options_work_before_and_after_the_command(shell: Shell) -> None:
    shell.log_in("--profile", "one")
    for arguments in (
        ("--json", "--profile", "one", "status"),
        ("status", "--json", "--profile", "one"),
        ("--profile", "one", "status", "--json"),
        ("--profile", "none", "--json", "status", "--profile", "one"),
    ):
        assert json.loads(shell.run(*arguments)[0])["logged_in"]
    shell.environment["CMAUTH_PROFILE"] = "one"
    assert shell.json("status")["logged_in"]
    shell.run("--profile", "default", "status", exit_code=3)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_can_complete_the_command(shell: Shell, name: str) -> None:
    out, _ = shell.run("--print-completion", name)
    for word in ("login", "profiles", "--no-browser", "--profile"):
        assert word in out
    if name == "bash":
        subprocess.run(["bash", "-n"], input=out, text=True, check=True)


def test_the_completion_names_what_it_needs(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError\n")
    shell.environment["PYTHONPATH"] = str(tmp_path)
    _, err = shell.run("--print-completion", "bash", exit_code=5)
    assert "cmauth[completion]" in one_line(err)


def test_no_secret_is_in_a_file_of_the_settings(shell: Shell) -> None:
    shell.log_in()
    token = shell.run("token")[0].strip()
    text = (shell.folder / "default.json").read_text()
    assert token not in text
    assert CLIENT_SECRET not in text


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--redirect-uri", "http://127.0.0.1/x"], "--redirect-uri"),
        (["--no-browser", "--port", "8080"], "--port"),
        (["--no-browser", "--timeout", "5"], "--timeout"),
        (["--no-browser", "--product", "x"], "--product"),
    ],
)
def test_an_option_that_would_be_ignored_is_wrong_usage(shell: Shell, arguments: list[str], unused: str) -> None:
    _, err = shell.run("login", *arguments, exit_code=2)
    assert f"{unused} is not for " in one_line(err)
    assert not shell.sandbox.requests()


def test_a_closed_standard_output_is_reported(shell: Shell) -> None:
    shell.log_in()
    closed = shell.sh("$CMAUTH token >&-")
    assert closed.returncode == 1
    assert "standard output is closed" in one_line(closed.stderr)


def test_forget_deletes_the_settings_too(shell: Shell) -> None:
    shell.log_in()
    shell.run("logout")
    assert (shell.folder / "default.json").exists()
    shell.run("logout", "--forget")
    assert not (shell.folder / "default.json").exists()


def test_a_second_refresh_says_when_it_is_possible(shell: Shell) -> None:
    shell.log_in()
    shell.run("refresh")
    _, err = shell.run("refresh", exit_code=4)
    assert "the access token was refreshed a moment ago; try again in 1" in one_line(err)


def test_messages_have_the_words_of_the_command(shell: Shell) -> None:
    shell.environment["CMAUTH_CA_FILE"] = "/no/such/file"
    assert one_line(shell.run("login", exit_code=5)[1]).startswith('cmauth: CMAUTH_CA_FILE: "/no/such/file"')
    shell.environment["CMAUTH_CA_FILE"] = shell.sandbox.ca_file
    _, err = shell.run("login", "--no-browser", exit_code=5, stdin="garbage\n")
    assert "the URL of the redirect: it has no query" in err
    _, err = shell.run("login", "--no-browser", exit_code=2)
    assert err.endswith("\ncmauth: no URL of the redirect was given\n")
    _, err = shell.run("login", "--timeout", "0.1", exit_code=4)
    assert "wait again" not in err


def test_text_that_the_encoding_does_not_have_is_printed_as_escapes(shell: Shell) -> None:
    shell.log_in()
    settings = shell.folder / "default.json"
    saved = json.loads(settings.read_text())
    for encoding, name in (("ascii", "\N{CYRILLIC CAPITAL LETTER ZE}"), ("cp1252", "\u4e00"), ("utf-8", "\ud800")):
        settings.write_text(json.dumps({**saved, "user": {**saved["user"], "name": name}}))
        shell.environment["PYTHONIOENCODING"] = encoding
        for command in ("status", "profiles", "doctor"):
            assert f"\\u{ord(name):04x}" in shell.run(command)[0] or command == "doctor"
    shell.environment["LC_ALL"] = "en_US.UTF-8"
    redirect = shell.sh("printf 'http://127.0.0.1/\\xff\\n' | $CMAUTH login --no-browser")
    assert redirect.returncode == 5
    assert "Traceback" not in redirect.stderr


KEYRINGS = {
    "bytes": "return b's3cret'",
    "a number": "return 5",
    "the end of the program": "raise SystemExit(7)",
    "a panic": "raise BaseException('s3cret')",
}


@pytest.mark.parametrize("kind", KEYRINGS)
def test_a_keyring_that_returns_or_raises_anything_is_none(shell: Shell, kind: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, *_):\n"
        "        print('noise')\n"
        f"        {KEYRINGS[kind]}\n"
        "    def set_password(self, *_): pass\n"
    )
    shell.environment["PYTHONPATH"] = str(tmp_path)
    shell.environment["PYTHON_KEYRING_BACKEND"] = "odd.Keyring"
    shell.log_in()
    del shell.environment["CMAUTH_CLIENT_SECRET"]
    _, err = shell.run("refresh", exit_code=5)
    assert "no secret of the API key" in err
    assert "s3cret" not in err
    assert {found["check"]: found["advice"] for found in shell.json("doctor")["checks"]}["API key"] == "SKIPPED"


def test_nested_brackets_are_damage_with_a_way_out(shell: Shell) -> None:
    shell.log_in()
    for name in ("default.json", "default.session"):
        (shell.folder / name).write_text("[" * 100_000)
    for command in ("status", "token", "refresh"):
        assert "cmauth logout --forget" in one_line(shell.run(command, exit_code=5)[1])
    assert shell.json("profiles")["profiles"][0]["unusable"]
    shell.run("logout", "--forget")
    assert shell.json("profiles")["profiles"] == []


def test_a_user_without_a_home_folder_is_told_the_remedy(shell: Shell) -> None:
    shell.environment["HOME"] = ""
    del shell.environment["CMAUTH_STATE_DIR"]
    program = shell.sh("exec env -u HOME setpriv --reuid=54321 --clear-groups $CMAUTH status")
    assert program.returncode == 5, program
    assert "set CMAUTH_STATE_DIR" in one_line(program.stderr)


def test_other_files_in_the_folder_are_no_profiles(shell: Shell) -> None:
    shell.log_in()
    (shell.folder / "my file.json").touch()
    (shell.folder / "folder.json").mkdir()
    names = {each["profile"]: each["unusable"] for each in shell.json("profiles")["profiles"]}
    assert names == {"default": False, "folder": True}
    assert "remove it" in shell.run("logout", "--forget", "--profile", "folder", exit_code=5)[1]


def test_an_empty_profile_is_the_default(shell: Shell) -> None:
    shell.log_in()
    shell.environment["CMAUTH_PROFILE"] = ""
    assert shell.json("status")["logged_in"]
    shell.run("login", "--profile", "x" * 65, exit_code=2)


def test_a_password_in_a_url_is_not_printed(shell: Shell) -> None:
    shell.log_in()
    shell.environment["CMAUTH_BASE_URL"] = "https://u:hunter2@localhost"
    for command in ("status", "token", "login"):
        assert "hunter2" not in shell.run(command, exit_code=5)[1]
    assert "hunter2" not in str(shell.run("doctor", exit_code=5))


def test_the_sandbox_has_its_own_options_after_those_of_the_command(shell: Shell) -> None:
    folder = Path(os.environ["CMAUTH_SANDBOX"]).parent
    shell.environment["PATH"] = f"{folder}:{shell.environment['PATH']}"
    for before in ([], ["--profile", "x"], ["--json", "--profile=x"]):
        assert "--until-eof" in shell.run(*before, "sandbox", "--help")[0]
    shell.environment["PATH"] = "/nowhere"
    assert json.loads(shell.run("sandbox", "--json", exit_code=5)[1])["error"]["advice"] == "FIX"


def test_a_symbolic_link_that_leads_nowhere_is_seen_and_can_be_forgotten(shell: Shell, tmp_path: Path) -> None:
    shell.folder.mkdir()
    link = shell.folder / "default.session"
    link.symlink_to(tmp_path / "missing" / "file")
    assert "missing" in one_line(shell.run("status", exit_code=5)[1])
    shell.run("logout", "--forget")
    assert not os.path.lexists(link)
