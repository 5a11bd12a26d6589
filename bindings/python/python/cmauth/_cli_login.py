"""`cmauth login`: logs a user in, and stores the session if it replaces nobody else's."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import cmauth
from cmauth._cli_input import ask, at_terminal, confirm
from cmauth._cli_output import expiry, fail, say, tell
from cmauth._cli_profile import (
    Profile,
    User,
    client_of,
    file_of,
    in_profile,
    prepare_folder,
    profile_of,
    session_of,
    unusable,
)
from cmauth._show import wait_and_show


def log_in(options: argparse.Namespace) -> int:
    if options.no_browser and sys.stdin is None:
        message = "login --no-browser reads the URL of the redirect from standard input, which is closed"
        fail(options, 2, message, "USAGE", "FIX")
    file_of(options, "session")
    prepare_folder(options)
    profile = profile_of(options, for_login=True)
    client = client_of(options, profile, for_login=True)
    session = session_of(options, client)
    problem = unusable(session)
    if problem is not None:
        tell(f"cmauth: {file_of(options, 'session')}: {problem} (the new login replaces the file)")
    tokens = _new_tokens(options, client)
    user = _user_of(client, tokens)
    if session.health().logged_in and not options.replace:
        _ask_to_replace(options, client, session, profile.user, tokens, user)
    if unusable(session) is not None:
        session.forget()
    session.start(tokens)
    profile = replace(profile, user=user)
    profile.save(options)
    _say_logged_in(options, profile, tokens)
    return 0


def _new_tokens(options: argparse.Namespace, client: cmauth.Client) -> cmauth.Tokens:
    if options.no_browser:
        login = client.begin_login(options.redirect_uri)
        _show(login.url)
        redirect = ask("Then paste the URL of the redirect (the browser may show an error there): ")
        return login.finish(redirect)
    listening = client.listen(options.port)
    if options.product:
        listening.set_page(product=options.product)
    return wait_and_show(listening, _browse, options.timeout)


def _browse(url: str) -> None:
    import webbrowser

    # `open` can fail silently, or open a browser on a screen that nobody sees.
    _show(url)
    webbrowser.open(url)


def _show(url: str) -> None:
    tell(f"Open this page and log in:\n{url}")


def _user_of(client: cmauth.Client, tokens: cmauth.Tokens) -> User | None:
    try:
        user = client.user(tokens)
    except cmauth.Error:
        # The scope of the API key need not allow it, and the login is good without it.
        return None
    return User(user.id, user.name, user.email)


def _ask_to_replace(
    options: argparse.Namespace,
    client: cmauth.Client,
    session: cmauth.Session,
    old_user: User | None,
    tokens: cmauth.Tokens,
    user: User | None,
) -> None:
    """Fails if the login would replace the one of another user, and nobody agrees."""
    old = session.tokens_at_hand()
    if old is not None and (old.access_token, old.refresh_token) == (tokens.access_token, tokens.refresh_token):
        return  # The server returns the tokens of a login that is still valid.
    if old_user is not None and user is not None and old_user.id == user.id:
        return
    whose = f"of {old_user}" if old_user else "of an unknown user"
    now = f"of {user}" if user else "of an unknown user"
    agreed = False
    try:
        if at_terminal():
            agreed = confirm(f"The profile {options.profile} has a login {whose}. Replace it by this one {now}?")
    finally:
        # If the user or the tokens are unknown, the new ones could be of the old login, which must stay.
        is_other = old_user is not None and user is not None
        is_other = is_other or (old is not None and old.refresh_token != tokens.refresh_token)
        if not agreed and is_other:
            _end(client, tokens)
    if not agreed:
        remedy = f"use another --profile, or cmauth login{in_profile(options)} --replace"
        message = f"the login {whose} stays, and the new one {now} was dropped; {remedy}"
        fail(options, 5, message, "USAGE", "FIX")


def _end(client: cmauth.Client, tokens: cmauth.Tokens) -> None:
    try:
        client.logout(tokens.access_token)
    except cmauth.Error as error:
        tell(f"cmauth: the new login could not be ended at the server: {error}")


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
