"""The command `cmauth`: the login of a user, for shells and scripts."""

from __future__ import annotations

import argparse
import functools
import math
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import cmauth
from cmauth._cli_login import log_in
from cmauth._cli_output import accept_any_text, drop_output, expiry, fail, local_time, say, tell
from cmauth._cli_profile import (
    DamagedError,
    Profile,
    ProfileError,
    clean_up,
    client_of,
    file_of,
    forget_settings,
    has_session,
    in_profile,
    is_unusable,
    profile_names,
    profile_of,
    public_client,
    saved_profile,
    session_of,
    unusable,
    with_options,
)

_DESCRIPTION = """\
The CameraManager login for shells and scripts.

  cmauth login
  curl -H "Authorization: Bearer $(cmauth token)" https://rest.cameramanager.com/rest/v2.4/cameras
  cmauth logout
"""

_EPILOG = """\
API key: its id comes from --client-id or CMAUTH_CLIENT_ID. Else the command asks for it. The profile
keeps the id, the server and the CA file; cmauth logout --forget deletes them. The secret comes from
CMAUTH_CLIENT_SECRET or from the keyring (pip install 'cmauth[keyring]'), or the command asks for it. It
is never an argument, which other users of the machine could see.

Other variables: CMAUTH_BASE_URL (another server), CMAUTH_CA_FILE (certificates to trust instead of
the system's), CMAUTH_STATE_DIR (the folder of the sessions), HTTPS_PROXY and NO_PROXY.

Completion of the shell: pip install 'cmauth[completion]', then
  cmauth --print-completion bash >~/.local/share/bash-completion/completions/cmauth

A token can end at the server, which this machine does not know: after a 401 of the API, run
cmauth refresh. All logins of a user share their tokens, so use one profile for each user.

exit codes: 0 success, 1 other failure, 2 wrong usage, 3 log in (again), 4 try again later,
5 change something first (the key, a setting, the network), 130 interrupted
"""

_EXIT_CODES = {
    cmauth.LoginError: 3,
    cmauth.RetryError: 4,
    cmauth.RefreshError: 4,
    cmauth.FixError: 5,
}

_MAX_TIMEOUT = 86400


class _UsageError(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message} (see {self.prog} --help)")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command, and ends the program with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    accept_any_text()
    try:
        try:
            _run(given)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        drop_output()
        # What reads the output has ended, as in `cmauth token | true`, or its disk is full.
        if not isinstance(error, BrokenPipeError):
            tell(f"cmauth: the output cannot be written: {error.strerror}")
            sys.exit(5)
        sys.exit(1)


def _run(given: list[str]) -> NoReturn:
    options = argparse.Namespace(json="--json" in given)
    try:
        for_sandbox = _arguments_of_sandbox(given)
        if for_sandbox is not None:
            _sandbox(options, for_sandbox)
        options = _parser().parse_args(given)
        sys.exit(_COMMANDS[options.command](options))
    except _UsageError as error:
        fail(options, 2, str(error), "INVALID_ARGUMENT", "FIX")
    except ProfileError as error:
        fail(options, 5, str(error), error.status, "FIX")
    except cmauth.Error as error:
        code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 1)
        message = _in_words_of_the_command(str(error))
        if is_unusable(error) and _opens(options):
            here = in_profile(options)
            message = (
                f"{file_of(options, 'session')}: {message} (run cmauth logout --forget{here}, "
                f"or cmauth login{here}, which replaces the file)"
            )
        fail(options, code, message, error.status.name, error.advice.name)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        where = f"{error.filename}: " if error.filename else ""
        fail(options, 5, f"{where}{error.strerror or error}", "STORE", "FIX")
    except KeyboardInterrupt:
        fail(options, 130, "interrupted", "CANCELLED", "NONE")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cmauth",
        allow_abbrev=False,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cmauth {cmauth.__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh"),
        help="print the completion for a shell; needs cmauth[completion]",
    )
    _add_shared(parser, json=False, profile=os.environ.get("CMAUTH_PROFILE") or "default", client_id=None)
    # After the command, the same options have no default, which would replace what is before it.
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_shared(shared)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # An abbreviation of --json would not be found in an error of the usage.
    add_command = functools.partial(commands.add_parser, parents=[shared], allow_abbrev=False)

    login = add_command("login", help="log in with a browser")
    login.add_argument(
        "--no-browser",
        action="store_true",
        help="print the URL, for a browser on any machine, and ask for the URL of the redirect",
    )
    login.add_argument("--port", type=_port, help="port for the redirect [any free port]")
    login.add_argument("--timeout", type=_timeout, help="seconds to wait for the redirect [300]")
    login.add_argument(
        "--redirect-uri",
        help="with --no-browser, the redirect URI [http://127.0.0.1/]",
    )
    login.add_argument("--product", help="the name of your product, for the page at the end of the login")
    login.add_argument("--replace", action="store_true", help="replace the login of another user without a question")
    add_command("status", help="show who is logged in, and until when")
    add_command("profiles", help="list the profiles")
    add_command("token", help="print an access token, refreshed if necessary")
    add_command(
        "refresh",
        help="get a new access token, for example after a 401; end the old one",
    )
    logout = add_command("logout", help="log out at the server and here")
    logout.add_argument("--forget", action="store_true", help="delete the login here, without telling the server")
    add_command("doctor", help="find out why a login does not work")
    commands.add_parser("sandbox", help="run the sandbox, a mock server: cmauth sandbox --help")
    return parser


def _add_shared(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, also for errors")
    parser.add_argument("--profile", help="the name of the login, for several users [CMAUTH_PROFILE, default]")
    parser.add_argument("--client-id", help="the id of the API key, for the login [CMAUTH_CLIENT_ID]")
    parser.set_defaults(**defaults)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("give a number from 0 to 65535")
    return int(text)


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # This is false for NaN.
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise argparse.ArgumentTypeError(f"give seconds, more than 0 and at most {_MAX_TIMEOUT}")
    return seconds


class _PrintCompletion(argparse.Action):
    """Prints the completion of a shell, and ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        _option: str | None = None,
    ) -> NoReturn:
        try:
            import shtab
        except ImportError:
            fail(namespace, 5, "the completion needs: pip install 'cmauth[completion]'", "INVALID_ARGUMENT", "FIX")
        print(shtab.complete(parser, str(values)), flush=True)
        sys.exit(0)


def _in_words_of_the_command(message: str) -> str:
    """An error of the library names its arguments and functions. A person at the command has others."""
    for library, command in _WORDS:
        message = message.replace(library, command)
    return message


_WORDS = (
    ("redirected_url: ", "the URL of the redirect: "),
    ("redirect_uri: ", "--redirect-uri: "),
    ("ca_file: ", "CMAUTH_CA_FILE: "),
    ("base_url: ", "CMAUTH_BASE_URL: "),
    ("client_id: ", "CMAUTH_CLIENT_ID: "),
    ("client_secret: ", "CMAUTH_CLIENT_SECRET: "),
    ("wait again, or log in again", "log in again"),
    ("; to remove it, call forget and log in again", ""),
    ("; to remove the login from the store, call forget", ""),
)


def _opens(options: argparse.Namespace) -> bool:
    """Whether the file can be read, so that the fault is in its content and not in its rights."""
    try:
        session_of(options, cmauth.Client("none", None))
    except cmauth.Error:
        return False
    return True


def _profile_of_login(options: argparse.Namespace) -> Profile:
    if not has_session(options):
        message = f"nobody is logged in; run: cmauth login{in_profile(options)}"
        fail(options, 3, message, "LOGIN_REQUIRED", "LOG_IN")
    return profile_of(options)


def _open(options: argparse.Namespace) -> cmauth.Session:
    profile = _profile_of_login(options)
    # A file that is damaged is reported before the person types a secret.
    _open_public(options, profile)
    return session_of(options, client_of(options, profile))


def _open_public(options: argparse.Namespace, profile: Profile) -> cmauth.Session:
    """The session for what sends nothing, and so needs no secret."""
    session = session_of(options, public_client(profile))
    error = unusable(session)
    if error is not None:
        raise error
    return session


def _status(options: argparse.Namespace) -> int:
    profile = profile_of(options) if has_session(options) else None
    health = _open_public(options, profile).health() if profile else None
    if profile is None or health is None or not health.logged_in:
        say(options, "Nobody is logged in.", logged_in=False)
        return 3
    who = f" as {profile.user}," if profile.user else ""
    text = f"Logged in{who} with the API key {profile.client_id}, at {profile.base_url}.\n"
    text += f"The access token {expiry(health.expires_at)}."
    if health.next_refresh is not None:
        text += f" From {local_time(health.next_refresh)} on, cmauth token refreshes it."
    say(
        options,
        text,
        logged_in=True,
        user=profile.user and vars(profile.user),
        client_id=profile.client_id,
        base_url=profile.base_url,
        expires_at=health.expires_at,
        next_refresh=health.next_refresh,
    )
    return 0


def _profiles(options: argparse.Namespace) -> int:
    profiles = [_describe(with_options(options, name)) for name in profile_names()]
    rows = [("PROFILE", "LOGGED IN", "USER", "API KEY", "SERVER")]
    for about in profiles:
        rows.append(
            (
                about["profile"],
                "unusable" if about["unusable"] else "yes" if about["logged_in"] else "no",
                (about["user"] and (about["user"]["name"] or about["user"]["id"])) or "-",
                about["client_id"] or "-",
                about["base_url"] or "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
    say(options, "\n".join(lines) if profiles else "There are no profiles.", profiles=profiles)
    return 0


def _describe(options: argparse.Namespace) -> dict[str, Any]:
    is_readable, logged_in = True, False
    saved = None
    try:
        saved = saved_profile(options)
        if saved is not None and has_session(options):
            logged_in = _open_public(options, saved).health().logged_in
    except (DamagedError, cmauth.Error, OSError):
        is_readable = False
    return {
        "profile": options.profile,
        "logged_in": logged_in,
        "unusable": not is_readable,
        "user": (saved and saved.user and logged_in and vars(saved.user)) or None,
        "client_id": saved and saved.client_id,
        "base_url": saved and saved.base_url,
    }


def _token(options: argparse.Namespace) -> int:
    tokens = _open_public(options, _profile_of_login(options)).tokens_at_hand()
    if tokens is None:
        tokens = _open(options).tokens()
    say(
        options,
        tokens.access_token,
        access_token=tokens.access_token,
        token_type=tokens.token_type,
        expires_at=tokens.expires_at,
    )
    return 0


def _refresh(options: argparse.Namespace) -> int:
    session = _open(options)
    at_hand = session.tokens_at_hand()
    # `tokens` refreshes tokens that have expired.
    try:
        tokens = session.rejected(at_hand) if at_hand else session.tokens()
    except cmauth.RetryError as error:
        if error.status is not cmauth.Status.TOKEN_REJECTED:
            raise
        wait = math.ceil(error.retry_after or 0)
        message = f"the access token was refreshed a moment ago; try again in {wait} s"
        fail(options, 4, message, error.status.name, error.advice.name)
    say(
        options,
        f"Refreshed. The new access token {expiry(tokens.expires_at)}.",
        expires_at=tokens.expires_at,
    )
    return 0


def _logout(options: argparse.Namespace) -> int:
    if options.forget:
        return _forget(options)
    if not has_session(options):
        say(options, "Nobody was logged in.", told_server=False)
        return 0
    told = _open(options).logout()
    clean_up(options)
    text = "Logged out." if told else "Logged out. The login had already ended at the server."
    say(options, text, told_server=told)
    return 0


def _forget(options: argparse.Namespace) -> int:
    path = file_of(options, "session")
    there = has_session(options)
    if there and not path.exists():
        path.unlink()  # A symbolic link that leads nowhere.
    elif there:
        # This needs neither the API key nor the server of the session.
        session_of(options, cmauth.Client("none", None)).forget()
    forget_settings(options)
    say(options, "Deleted here; the server was not told." if there else "Nobody was logged in.", told_server=False)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from cmauth._doctor import examine

    return examine(options)


def _arguments_of_sandbox(given: list[str]) -> list[str] | None:
    """What follows the command `sandbox`, whose program reads its own options. `None`: it is another command."""
    words = iter(enumerate(given))
    for position, word in words:
        if word in ("--profile", "--client-id"):
            next(words, None)
        elif not word.startswith("-"):
            return given[position + 1 :] if word == "sandbox" else None
    return None


def _sandbox(options: argparse.Namespace, arguments: list[str]) -> NoReturn:
    program = shutil.which("cmauth-sandbox")
    if program is None:
        message = "cmauth-sandbox is not installed; in the source of libcmauth, run: pip install ./sandbox"
        fail(options, 5, message, "INVALID_ARGUMENT", "FIX")
    if sys.stdout is not None:
        sys.stdout.flush()
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.call([program, *arguments]))
    os.execv(program, [program, *arguments])


_COMMANDS = {
    "login": log_in,
    "status": _status,
    "profiles": _profiles,
    "token": _token,
    "refresh": _refresh,
    "doctor": _doctor,
    "logout": _logout,
}
