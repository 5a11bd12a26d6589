"""`cmauth login`: logs a user in, and stores the session if it replaces nobody else's."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from dataclasses import replace

import cmauth
from cmauth._cli_input import ask, at_terminal, confirm
from cmauth._cli_output import expiry, fail, say, tell
from cmauth._cli_profile import (
    DamagedError,
    Profile,
    User,
    client_of,
    file_of,
    in_profile,
    prepare_folder,
    profile_lock,
    profile_of,
    public_client,
    saved_profile,
    session_of,
    unusable,
)
from cmauth._show import wait_and_show

_REDIRECT_URI = "http://127.0.0.1/"
# How long a login waits for the redirect, in seconds.
_TIMEOUT = 300.0


def log_in(options: argparse.Namespace) -> int:
    # What can be wrong is checked before anything is asked, shown or sent.
    _check_options(options)
    file_of(options, "session")
    prepare_folder(options)
    profile = profile_of(options, for_login=True)
    public = public_client(profile)
    problem = unusable(session_of(options, public))
    _check_redirect(options, public)
    if problem is not None:
        tell(f"cmauth: {file_of(options, 'session')}: {problem} (the new login replaces the file)")
    client = client_of(options, profile, for_login=True)
    tokens = _new_tokens(options, client)
    profile = replace(profile, user=_user_of(client, tokens))
    _store(options, client, profile, tokens)
    _say_logged_in(options, profile, tokens)
    return 0


def _store(options: argparse.Namespace, client: cmauth.Client, profile: Profile, tokens: cmauth.Tokens) -> None:
    """Stores the login, unless it would replace that of another user and nobody agrees."""
    agreed: object = None
    while True:
        # Another command can log in meanwhile, also while the person reads the question.
        with profile_lock(options):
            session = session_of(options, client)
            other = None if options.replace else _other_login(options, session, profile.user, tokens)
            if other is None or other == agreed:
                if unusable(session) is not None:
                    session.forget()
                # A command that is killed in between leaves an unknown user, not a wrong one.
                replace(profile, user=None).save(options)
                session.start(tokens)
                profile.save(options)
                return
        _ask_to_replace(options, other, profile.user)
        agreed = other


def _check_options(options: argparse.Namespace) -> None:
    given = {"--port": options.port, "--timeout": options.timeout, "--product": options.product}
    if not options.no_browser:
        given = {"--redirect-uri": options.redirect_uri}
    unused = [name for name, value in given.items() if value is not None]
    if unused:
        what = "--no-browser" if options.no_browser else "a login without --no-browser"
        fail(options, 2, f"{unused[0]} is not for {what}", "INVALID_ARGUMENT", "FIX")
    if options.no_browser and sys.stdin is None:
        message = "login --no-browser reads the URL of the redirect from standard input, which is closed"
        fail(options, 2, message, "INVALID_ARGUMENT", "FIX")


def _check_redirect(options: argparse.Namespace, public: cmauth.Client) -> None:
    if options.no_browser:
        public.begin_login(options.redirect_uri or _REDIRECT_URI)
    elif options.port:
        # Raises an error if another program has the port. The port is free again when the login is.
        public.listen(options.port).cancel()


def _new_tokens(options: argparse.Namespace, client: cmauth.Client) -> cmauth.Tokens:
    if options.no_browser:
        login = client.begin_login(options.redirect_uri or _REDIRECT_URI)
        _show(login.url)
        redirect = ask("Then paste the URL of the redirect (the browser may show an error there): ")
        if not redirect:
            tell("")
            fail(options, 2, "no URL of the redirect was given", "INVALID_ARGUMENT", "FIX")
        return login.finish(redirect)
    listening = client.listen(options.port or 0)
    if options.product:
        listening.set_page(product=options.product)
    return wait_and_show(listening, _browse, options.timeout or _TIMEOUT)


def _browse(url: str) -> None:
    # To open a browser can fail silently, or open it on a screen that nobody sees.
    _show(url)
    # In a process of its own: a browser, or the program that starts it, can print, read and block.
    command = [sys.executable, "-m", "webbrowser", url]
    none = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        subprocess.Popen(command, stdin=none, stdout=none, stderr=none, start_new_session=True)


def _show(url: str) -> None:
    tell(f"Open this page and log in:\n{url}")


def _user_of(client: cmauth.Client, tokens: cmauth.Tokens) -> User | None:
    try:
        user = client.user(tokens)
    except cmauth.Error:
        # The scope of the API key need not allow it, and the login is good without it.
        return None
    return User(user.id, user.name, user.email)


def _other_login(
    options: argparse.Namespace, session: cmauth.Session, user: User | None, tokens: cmauth.Tokens
) -> str | None:
    """Whose login would be replaced. `None`: nobody's, or one of the same user."""
    if not session.health().logged_in:
        return None
    old = session.tokens_at_hand()
    if old is not None and (old.access_token, old.refresh_token) == (tokens.access_token, tokens.refresh_token):
        return None  # The server returns the tokens of a login that is still valid.
    try:
        saved = saved_profile(options)
    except DamagedError:
        saved = None
    if saved is None or saved.user is None:
        return "an unknown user"
    return None if user is not None and user.id == saved.user.id else str(saved.user)


def _ask_to_replace(options: argparse.Namespace, other: str, user: User | None) -> None:
    """Ends the command if the person does not agree."""
    new = user or "an unknown user"
    question = f"The profile {options.profile} has the login of {other}. Replace it with the login of {new}?"
    if at_terminal() and confirm(question):
        return
    # The new tokens are not ended at the server. All logins of a user share their tokens there, and another profile or
    # machine can use them.
    remedy = f"use another --profile, or cmauth login{in_profile(options)} --replace"
    message = f"the login of {other} stays, and the new login of {new} was not stored; {remedy}"
    fail(options, 5, message, "INVALID_ARGUMENT", "FIX")


def _say_logged_in(options: argparse.Namespace, profile: Profile, tokens: cmauth.Tokens) -> None:
    who = f"Logged in as {profile.user}." if profile.user else "Logged in."
    say(
        options,
        f"{who} The access token {expiry(tokens.expires_at)}"
        + ("; cmauth token refreshes it." if tokens.expires_at else "."),
        logged_in=True,
        user=profile.user and vars(profile.user),
        expires_at=tokens.expires_at,
        scope=tokens.scope,
    )
