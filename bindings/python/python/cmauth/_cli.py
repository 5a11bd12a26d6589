"""The command `cmauth`: the login of a user, for shells and scripts."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import NoReturn

import cmauth
from cmauth._cli_output import expiry, fail, local_time, say, tell
from cmauth._cli_profile import client_of, file_of, profile_of, session_of

_DESCRIPTION = """\
The CameraManager login for shells and scripts.

  cmauth login
  curl -H "Authorization: Bearer $(cmauth token)" https://rest.cameramanager.com/rest/v2.4/cameras
  cmauth logout
"""

_EPILOG = """\
API key: its id comes from --client-id or CMAUTH_CLIENT_ID. Else the command asks for it, and the
profile keeps it. Its secret comes from CMAUTH_CLIENT_SECRET or from the keyring (pip install
'cmauth[keyring]'), or the command asks for it. It is never an argument, which other users of the
machine could see.

Other variables: CMAUTH_BASE_URL (another server), CMAUTH_CA_FILE (certificates to trust instead of
the system's), CMAUTH_STATE_DIR (the folder of the sessions), HTTPS_PROXY and NO_PROXY.

exit codes: 0 success, 1 other failure, 2 wrong usage, 3 log in (again), 4 try again later,
5 change something first (the key, a setting, the network), 130 interrupted
"""

_EXIT_CODES = {
    cmauth.LoginError: 3,
    cmauth.RetryError: 4,
    cmauth.RefreshError: 4,
    cmauth.FixError: 5,
}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command, and ends the program with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["sandbox"]:
        # The program reads its own options.
        _sandbox(given[1:])
    options = _parser().parse_args(given)
    try:
        sys.exit(_COMMANDS[options.command](options))
    except cmauth.Error as error:
        code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 1)
        message = str(error)
        if _is_unusable(error) and _opens(options):
            here = "" if options.profile == "default" else f" --profile {options.profile}"
            message = (
                f"{file_of(options, 'session')}: {message} (run cmauth logout --forget{here}, "
                f"or cmauth login{here}, which replaces the file)"
            )
        fail(options, code, message, error.status.name, error.advice.name)
    except OSError as error:
        fail(options, 1, str(error), "OS", "FIX")
    except KeyboardInterrupt:
        fail(options, 130, "interrupted", "CANCELLED", "NONE")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, also for errors")
    shared.add_argument(
        "--profile",
        default=os.environ.get("CMAUTH_PROFILE", "default"),
        help="the name of the login, for several users [CMAUTH_PROFILE, default]",
    )
    shared.add_argument("--client-id", help="the id of the API key, for the login [CMAUTH_CLIENT_ID]")

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
        help="print the URL, for a browser on any machine, and ask for the URL of the redirect",
    )
    login.add_argument("--port", type=int, default=0, help="port for the redirect [any free port]")
    login.add_argument("--timeout", type=float, default=300, help="seconds to wait for the redirect [300]")
    login.add_argument(
        "--redirect-uri",
        default="http://127.0.0.1/",
        help="with --no-browser, the redirect URI [http://127.0.0.1/]",
    )
    commands.add_parser("status", parents=[shared], help="show who is logged in, and until when")
    commands.add_parser("token", parents=[shared], help="print an access token that is valid now")
    commands.add_parser("refresh", parents=[shared], help="get a new access token; end the old one")
    logout = commands.add_parser("logout", parents=[shared], help="log out at the server and here")
    logout.add_argument("--forget", action="store_true", help="delete the login here, without telling the server")
    commands.add_parser("sandbox", help="run the sandbox, a mock server: cmauth sandbox --help")
    return parser


def _is_unusable(error: cmauth.Error | None) -> bool:
    """Whether the file of the session is damaged, or of another API key or server."""
    return isinstance(error, cmauth.FixError) and error.status is cmauth.Status.STORE


def _opens(options: argparse.Namespace) -> bool:
    """Whether the file can be read, so that the fault is in its content and not in its rights."""
    try:
        session_of(options, cmauth.Client("none", None))
    except cmauth.Error:
        return False
    return True


def _open(options: argparse.Namespace) -> cmauth.Session:
    if not file_of(options, "session").exists():
        fail(options, 3, "nobody is logged in; run: cmauth login", "LOGIN_REQUIRED", "LOG_IN")
    client, _ = client_of(options)
    return session_of(options, client)


def _forget(options: argparse.Namespace) -> None:
    # This needs neither the API key nor the server of the session.
    session_of(options, cmauth.Client("none", None)).forget()


def _login(options: argparse.Namespace) -> int:
    client, profile = client_of(options, ask=True)
    session = session_of(options, client)
    unusable = session.health().last_error
    if _is_unusable(unusable):
        tell(f"cmauth: {file_of(options, 'session')}: {unusable} (the new login replaces the file)")
    if options.no_browser:
        login = client.begin_login(options.redirect_uri)
        _show(login.url)
        tell("Then paste the URL of the redirect (the browser may show an error there): ", end="")
        tokens = login.finish(sys.stdin.readline())
    else:
        tokens = client.login(timeout=options.timeout, port=options.port, show=_browse)
    if _is_unusable(session.health().last_error):
        session.forget()
    session.start(tokens)
    profile.save(options)
    say(
        options,
        f"Logged in. The access token {expiry(tokens.expires_at)}"
        + ("; cmauth token refreshes it." if tokens.expires_at else "."),
        logged_in=True,
        expires_at=tokens.expires_at,
        scope=tokens.scope,
    )
    return 0


def _browse(url: str) -> None:
    import webbrowser

    # `open` can fail silently, or open a browser on a screen that nobody sees.
    _show(url)
    webbrowser.open(url)


def _show(url: str) -> None:
    tell(f"Open this page and log in:\n{url}")


def _status(options: argparse.Namespace) -> int:
    health = None
    if file_of(options, "session").exists():
        # This sends nothing, so it needs no secret.
        profile = profile_of(options)
        client = cmauth.Client(profile.client_id, None, base_url=profile.base_url, ca_file=profile.ca_file)
        health = session_of(options, client).health()
        if health.last_error is not None and _is_unusable(health.last_error):
            raise health.last_error
    if health is None or not health.logged_in:
        say(options, "Nobody is logged in.", logged_in=False)
        return 3
    text = f"Logged in with the API key {profile.client_id}, at {profile.base_url}.\n"
    text += f"The access token {expiry(health.expires_at)}."
    if health.next_refresh is not None:
        text += f" From {local_time(health.next_refresh)} on, cmauth token refreshes it."
    say(
        options,
        text,
        logged_in=True,
        client_id=profile.client_id,
        base_url=profile.base_url,
        expires_at=health.expires_at,
        next_refresh=health.next_refresh,
    )
    return 0


def _token(options: argparse.Namespace) -> int:
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
    tokens = session.rejected(at_hand) if at_hand else session.tokens()
    say(
        options,
        f"Refreshed. The new access token {expiry(tokens.expires_at)}.",
        expires_at=tokens.expires_at,
    )
    return 0


def _logout(options: argparse.Namespace) -> int:
    if not file_of(options, "session").exists():
        say(options, "Nobody was logged in.", told_server=False)
        return 0
    if options.forget:
        _forget(options)
        say(options, "Deleted here; the server was not told.", told_server=False)
        return 0
    told = _open(options).logout()
    text = "Logged out." if told else "Logged out. The login had already ended at the server."
    say(options, text, told_server=told)
    return 0


def _sandbox(arguments: list[str]) -> NoReturn:
    program = shutil.which("cmauth-sandbox")
    if program is None:
        print(
            "cmauth: cmauth-sandbox is not installed; in the source of libcmauth, run:\n  pip install ./sandbox",
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
