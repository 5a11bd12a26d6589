"""What the command `cmauth` asks the person at the terminal."""

from __future__ import annotations

import getpass
import sys

from cmauth._cli_output import tell


def at_terminal() -> bool:
    # It is `None` if the shell closed it.
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str) -> str:
    """A line of standard input; "" at its end."""
    tell(question, end="")
    return sys.stdin.readline().strip()


def confirm(question: str) -> bool:
    """Asks for y or n. A terminal that has closed means no."""
    return ask(f"{question} [y/N] ").lower() in ("y", "yes")


def ask_secret(question: str) -> str:
    """A line that the terminal does not show; "" if it has closed."""
    try:
        return getpass.getpass(question)
    except EOFError:
        return ""
