"""The command `cmauth`: a logged-in user of this account and machine, for shells and scripts."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import getpass
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import cmauth

_DESCRIPTION = """\
The CameraManager login for shells and scripts.

  cmauth login
  curl -H "Authorization: Bearer $(cmauth token)" https://rest.cameramanager.com/rest/v2.4/cameras
  cmauth logout
"""

_EPILOG = """\
The API key: its id is --client-id or CMAUTH_CLIENT_ID, or is asked for and remembered by the
profile. Its secret is never an argument, which others could see: CMAUTH_CLIENT_SECRET, or the
keyring (pip install 'cmauth[keyring]'), or it is asked for.

Also read: CMAUTH_BASE_URL (another server), CMAUTH_CA_FILE (certificates to trust in place of
the system's), CMAUTH_STATE_DIR (where sessions are), HTTPS_PROXY and NO_PROXY.

exit codes: 0 done, 1 another failure, 2 wrong usage, 3 log in (again), 4 try again later,
5 change something first (the key, a setting, the network), 130 interrupted
"""

_EXIT_CODES = {
    cmauth.LoginError: 3,
    cmauth.RetryError: 4,
    cmauth.RefreshError: 4,
    cmauth.FixError: 5,
}

_KEYRING_SERVICE = "cmauth"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command, and ends the program with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["sandbox"]:
        # Its options are its own.
        _sandbox(given[1:])
    options = _parser().parse_args(given)
    try:
        sys.exit(_COMMANDS[options.command](options))
    except cmauth.Error as error:
        code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 1)
        message = str(error)
        if _is_unusable(error):
            here = "" if options.profile == "default" else f" --profile {options.profile}"
            message = (
                f"{_file(options, 'session')}: {message} (that is: cmauth logout --forget{here}, "
                f"or cmauth login{here}, which replaces it)"
            )
        _fail(options, code, message, error.status.name, error.advice.name)
    except OSError as error:
        _fail(options, 1, str(error), "OS", "FIX")
    except KeyboardInterrupt:
        _fail(options, 130, "interrupted", "CANCELLED", "NONE")


def _fail(options: argparse.Namespace, code: int, message: str, *kind: str) -> NoReturn:
    if options.json:
        status, advice = kind
        error = {"message": message, "status": status, "advice": advice, "exit_code": code}
        print(json.dumps({"error": error}), file=sys.stderr)
    else:
        print(f"cmauth: {message}", file=sys.stderr)
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="output for scripts, errors too")
    shared.add_argument(
        "--profile",
        default=os.environ.get("CMAUTH_PROFILE", "default"),
        help="which of several users [CMAUTH_PROFILE, default]",
    )
    shared.add_argument("--client-id", help="the API key's id, to log in [CMAUTH_CLIENT_ID]")

    parser = argparse.ArgumentParser(
        prog="cmauth",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cmauth {cmauth.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    login = commands.add_parser("login", parents=[shared], help="log in with a browser")
    login.add_argument(
        "--no-browser",
        action="store_true",
        help="show the page's address, for a browser on any machine, and ask where it ended",
    )
    login.add_argument("--port", type=int, default=0, help="where the browser comes back [free]")
    login.add_argument("--timeout", type=float, default=300, help="seconds to wait for it [300]")
    login.add_argument(
        "--redirect-uri",
        default="http://127.0.0.1/",
        help="with --no-browser, where the browser ends [http://127.0.0.1/]",
    )
    commands.add_parser("status", parents=[shared], help="who is logged in, and until when")
    commands.add_parser("token", parents=[shared], help="print an access token that is valid now")
    commands.add_parser("refresh", parents=[shared], help="get a new access token; ends the old")
    logout = commands.add_parser("logout", parents=[shared], help="log out at the server and here")
    logout.add_argument(
        "--forget", action="store_true", help="only here, where the server cannot be told"
    )
    commands.add_parser("sandbox", help="run the stand-in server: cmauth sandbox --help")
    return parser


@dataclass
class _Profile:
    """What is remembered of a profile beside its session. Not secret."""

    client_id: str
    base_url: str
    ca_file: str | None


def _state_folder() -> Path:
    given = os.environ.get("CMAUTH_STATE_DIR")
    if given:
        folder = Path(given)
    else:
        import platformdirs

        folder = Path(platformdirs.user_state_dir("cmauth", appauthor=False))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _file(options: argparse.Namespace, kind: str) -> Path:
    name: str = options.profile
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        _fail(options, 2, "--profile: use letters, digits, '-', '_' and '.'", "USAGE", "FIX")
    return _state_folder() / f"{name}.{kind}"


def _remembered(options: argparse.Namespace) -> _Profile | None:
    try:
        return _Profile(**json.loads(_file(options, "json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        path = _file(options, "json")
        _fail(options, 5, f"{path} is damaged; remove it and log in", "STORE", "FIX")


def _profile(options: argparse.Namespace, *, ask: bool = False) -> _Profile:
    known = _remembered(options)
    client_id = (
        options.client_id
        or os.environ.get("CMAUTH_CLIENT_ID")
        or (known.client_id if known else "")
    )
    if not client_id and ask and sys.stdin.isatty():
        print("API key id: ", end="", file=sys.stderr, flush=True)
        client_id = sys.stdin.readline().strip()
    if not client_id:
        message = "no API key; set CMAUTH_CLIENT_ID (from https://dealer.cameramanager.com)"
        _fail(options, 5 if ask else 3, message if ask else "nobody is logged in", "FIX", "FIX")
    base_url = os.environ.get("CMAUTH_BASE_URL") or (known and known.base_url)
    ca_file = os.environ.get("CMAUTH_CA_FILE") or (known and known.ca_file)
    return _Profile(client_id, base_url or cmauth.DEFAULT_BASE_URL, ca_file or None)


def _secret(options: argparse.Namespace, client_id: str, *, ask: bool) -> str:
    secret = os.environ.get("CMAUTH_CLIENT_SECRET")
    if secret:
        return secret
    with _keyring() as keyring:
        kept: str | None = keyring and keyring.get_password(_KEYRING_SERVICE, client_id)
    if kept:
        return kept
    if not sys.stdin.isatty():
        message = "no secret of the API key; set CMAUTH_CLIENT_SECRET, or log in at a terminal once"
        _fail(options, 5, message, "FIX", "FIX")
    secret = getpass.getpass(f"Secret of the API key {client_id}: ")
    with _keyring() as keyring:
        if keyring and ask and _yes("Keep it in the keyring? [y/N] "):
            keyring.set_password(_KEYRING_SERVICE, client_id, secret)
    return secret


@contextlib.contextmanager
def _keyring() -> Iterator[Any]:
    """The package keyring, or `None` where there is none; a keyring that fails is none."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        yield None
        return
    with contextlib.suppress(KeyringError):
        yield keyring


def _yes(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _client(options: argparse.Namespace, *, ask: bool = False) -> tuple[cmauth.Client, _Profile]:
    profile = _profile(options, ask=ask)
    client = cmauth.Client(
        profile.client_id,
        _secret(options, profile.client_id, ask=ask),
        base_url=profile.base_url,
        ca_file=profile.ca_file,
        user_agent=f"cmauth-cli/{cmauth.__version__}",
    )
    return client, profile


def _session(options: argparse.Namespace, client: cmauth.Client) -> cmauth.Session:
    return cmauth.Session(client, cmauth.FileStore(_file(options, "session")))


def _is_unusable(error: cmauth.Error | None) -> bool:
    """Whether an error says that the session's file is damaged, or of another key or server."""
    return isinstance(error, cmauth.FixError) and error.status is cmauth.Status.STORE


def _open(options: argparse.Namespace) -> cmauth.Session:
    if not _file(options, "session").exists():
        _fail(options, 3, "nobody is logged in; run: cmauth login", "LOGIN_REQUIRED", "LOG_IN")
    client, _ = _client(options)
    return _session(options, client)


def _forget(options: argparse.Namespace) -> None:
    """Gives up what the file has, whatever it is: neither a key nor a server is needed for it."""
    _session(options, cmauth.Client("none", None)).forget()


def _say(options: argparse.Namespace, text: str, **facts: object) -> None:
    print(json.dumps(facts) if options.json else text)


def _when(seconds: int | None) -> str:
    if seconds is None:
        return "never"
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _login(options: argparse.Namespace) -> int:
    client, profile = _client(options, ask=True)
    session = _session(options, client)
    unusable = session.health().last_error
    if _is_unusable(unusable):
        print(
            f"cmauth: {_file(options, 'session')}: {unusable} (the new login replaces it)",
            file=sys.stderr,
            flush=True,
        )
    if options.no_browser:
        login = client.begin_login(options.redirect_uri)
        _show(login.url)
        print(
            "Then paste the address that the browser ends on (the page may not be there): ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        tokens = login.finish(sys.stdin.readline())
    else:
        tokens = client.login(timeout=options.timeout, port=options.port, show=_browse)
    if _is_unusable(session.health().last_error):
        session.forget()
    session.start(tokens)
    file = _file(options, "json")
    file.write_text(json.dumps(asdict(profile)) + "\n", encoding="utf-8")
    _say(
        options,
        f"Logged in. The access token ends {_when(tokens.expires_at)} and is refreshed as needed.",
        logged_in=True,
        expires_at=tokens.expires_at,
        scope=tokens.scope,
    )
    return 0


def _browse(url: str) -> None:
    import webbrowser

    # Said as well: what opens may be a browser that nobody sees, or none.
    _show(url)
    webbrowser.open(url)


def _show(url: str) -> None:
    print(f"Open this page and log in:\n{url}", file=sys.stderr, flush=True)


def _status(options: argparse.Namespace) -> int:
    health = None
    if _file(options, "session").exists():
        # Nothing is sent, so no secret is needed.
        profile = _profile(options)
        client = cmauth.Client(
            profile.client_id, None, base_url=profile.base_url, ca_file=profile.ca_file
        )
        health = _session(options, client).health()
        if health.last_error is not None and _is_unusable(health.last_error):
            raise health.last_error
    if health is None or not health.logged_in:
        _say(options, "Nobody is logged in.", logged_in=False)
        return 3
    _say(
        options,
        f"Logged in as a user of the API key {profile.client_id}, at {profile.base_url}.\n"
        f"The access token ends {_when(health.expires_at)}, "
        f"and is refreshed when it is asked for after {_when(health.next_refresh)}.",
        logged_in=True,
        client_id=profile.client_id,
        base_url=profile.base_url,
        expires_at=health.expires_at,
        next_refresh=health.next_refresh,
    )
    return 0


def _token(options: argparse.Namespace) -> int:
    tokens = _open(options).tokens()
    _say(
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
    # What has ended is refreshed by asking for it.
    tokens = session.rejected(at_hand) if at_hand else session.tokens()
    _say(
        options,
        f"Refreshed. The new access token ends {_when(tokens.expires_at)}.",
        expires_at=tokens.expires_at,
    )
    return 0


def _logout(options: argparse.Namespace) -> int:
    if not _file(options, "session").exists():
        _say(options, "Nobody was logged in.", told_server=False)
        return 0
    if options.forget:
        _forget(options)
        _say(options, "Forgotten here; the server was not told.", told_server=False)
        return 0
    told = _open(options).logout()
    text = "Logged out." if told else "Logged out; the server knew the login no more."
    _say(options, text, told_server=told)
    return 0


def _sandbox(arguments: list[str]) -> NoReturn:
    program = shutil.which("cmauth-sandbox")
    if program is None:
        print(
            "cmauth: the stand-in server is not installed; in the source of libcmauth, run:\n"
            "  pip install ./sandbox",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.stdout.flush()
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.call([program, *arguments]))
    os.execv(program, [program, *arguments])


_COMMANDS = {
    "login": _login,
    "status": _status,
    "token": _token,
    "refresh": _refresh,
    "logout": _logout,
}
