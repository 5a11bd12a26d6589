"""The profiles of the command `cmauth`: their files, API keys and clients."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cmauth
from cmauth._cli_output import fail, tell

_KEYRING_SERVICE = "cmauth"


@dataclass
class Profile:
    """The settings of a profile. The session has a file of its own. Nothing here is secret."""

    client_id: str
    base_url: str
    ca_file: str | None

    def save(self, options: argparse.Namespace) -> None:
        text = json.dumps(asdict(self)) + "\n"
        file_of(options, "json").write_text(text, encoding="utf-8")


def file_of(options: argparse.Namespace, kind: str) -> Path:
    """The file of the profile: "session" or "json"."""
    name: str = options.profile
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
        fail(options, 2, "--profile: use letters, digits, '-', '_' and '.'", "USAGE", "FIX")
    return _state_folder() / f"{name}.{kind}"


def _state_folder() -> Path:
    given = os.environ.get("CMAUTH_STATE_DIR")
    if given:
        folder = Path(given)
    else:
        import platformdirs

        folder = Path(platformdirs.user_state_dir("cmauth", appauthor=False))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def profile_of(options: argparse.Namespace, *, ask: bool = False) -> Profile:
    """The settings: those of the options and the environment, else the saved ones.

    ask: asks for the API key's id if it is missing.
    """
    saved = _saved_profile(options)
    client_id = options.client_id or os.environ.get("CMAUTH_CLIENT_ID") or (saved.client_id if saved else "")
    if not client_id and ask and sys.stdin.isatty():
        tell("API key id: ", end="")
        client_id = sys.stdin.readline().strip()
    if not client_id:
        message = "no API key; set CMAUTH_CLIENT_ID (from https://dealer.cameramanager.com)"
        fail(options, 5 if ask else 3, message if ask else "nobody is logged in", "FIX", "FIX")
    base_url = os.environ.get("CMAUTH_BASE_URL") or (saved and saved.base_url)
    ca_file = os.environ.get("CMAUTH_CA_FILE") or (saved and saved.ca_file)
    return Profile(client_id, base_url or cmauth.DEFAULT_BASE_URL, ca_file or None)


def _saved_profile(options: argparse.Namespace) -> Profile | None:
    path = file_of(options, "json")
    try:
        return Profile(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        fail(options, 5, f"{path} is damaged; remove it and log in", "STORE", "FIX")


def client_of(options: argparse.Namespace, *, ask: bool = False) -> tuple[cmauth.Client, Profile]:
    profile = profile_of(options, ask=ask)
    client = cmauth.Client(
        profile.client_id,
        _secret(options, profile.client_id, ask=ask),
        base_url=profile.base_url,
        ca_file=profile.ca_file,
        user_agent=f"cmauth-cli/{cmauth.__version__}",
    )
    return client, profile


def session_of(options: argparse.Namespace, client: cmauth.Client) -> cmauth.Session:
    return cmauth.Session(client, cmauth.FileStore(file_of(options, "session")))


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
        fail(options, 5, message, "FIX", "FIX")
    secret = getpass.getpass(f"Secret of the API key {client_id}: ")
    with _keyring() as keyring:
        if keyring and ask and _yes("Keep it in the keyring? [y/N] "):
            keyring.set_password(_KEYRING_SERVICE, client_id, secret)
    return secret


@contextlib.contextmanager
def _keyring() -> Iterator[Any]:
    """The package keyring. `None` if it is not installed. Errors of the keyring are ignored."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        yield None
        return
    with contextlib.suppress(KeyringError):
        yield keyring


def _yes(question: str) -> bool:
    tell(question, end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
