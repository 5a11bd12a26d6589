"""The secret of the API key of the command `cmauth`: from the environment, the keyring or a prompt."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Any

from cmauth._cli_input import ask_secret, at_terminal, confirm
from cmauth._cli_output import fail, tell

_KEYRING_SERVICE = "cmauth"


def secret_of(options: argparse.Namespace, client_id: str, *, keep: bool = False) -> str:
    """The secret. At a terminal, asks for it if nothing else has it.

    keep: offers to keep a secret from the terminal in the keyring.
    """
    secret, keyring = secret_at_hand(client_id)
    if secret:
        return secret
    if not at_terminal():
        message = (
            "no secret of the API key; set CMAUTH_CLIENT_SECRET, or pip install 'cmauth[keyring]' "
            "and log in at a terminal once"
        )
        fail(options, 5, message, "INVALID_ARGUMENT", "FIX")
    secret = ask_secret(f"Secret of the API key {client_id}: ")
    if not secret:
        fail(options, 5, "no secret of the API key was given", "INVALID_ARGUMENT", "FIX")
    if keep and keyring is not None and confirm("Keep it in the keyring?"):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                keyring.set_password(_KEYRING_SERVICE, client_id, secret)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            tell(f"cmauth: the keyring did not keep it ({type(error).__name__})")
    return secret


def secret_at_hand(client_id: str) -> tuple[str | None, Any]:
    """The secret, without a prompt, and the package keyring if it can be used."""
    secret = os.environ.get("CMAUTH_CLIENT_SECRET")
    if secret:
        return secret, None
    # The package can be missing, have no backend for this machine, or have one that is broken, which can raise and
    # return anything, and print. Its text could contain the secret.
    try:
        with contextlib.redirect_stdout(sys.stderr):
            import keyring

            kept = keyring.get_password(_KEYRING_SERVICE, client_id)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None, None
    return (kept if isinstance(kept, str) else None), keyring
