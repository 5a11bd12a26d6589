"""The output of the command `cmauth`: text for people, or JSON for scripts."""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import sys
from typing import NoReturn


def fail(options: argparse.Namespace, code: int, message: str, status: str, advice: str) -> NoReturn:
    """Prints an error, and ends the program with `code`."""
    if options.json:
        error = {"message": message, "status": status, "advice": advice, "exit_code": code}
        tell(json.dumps({"error": error}))
    else:
        tell(f"cmauth: {message}")
    sys.exit(code)


def say(options: argparse.Namespace, text: str, **facts: object) -> None:
    """Prints `text`, or with --json the `facts`."""
    if sys.stdout is None:
        fail(options, 1, "standard output is closed", "INVALID_ARGUMENT", "FIX")
    # A failure is reported here, and not at the end of the program.
    print(json.dumps(facts) if options.json else text, flush=True)


def tell(text: str, *, end: str = "\n") -> None:
    """Prints text for the person at the terminal, which is not the output of the command."""
    # If standard error is closed, `print` would print to standard output.
    # If it cannot be written, the exit code still tells.
    if sys.stderr is not None:
        try:
            print(text, end=end, file=sys.stderr, flush=True)
        except OSError:
            drop_output()


def accept_any_text() -> None:
    """Text that an encoding does not have, such as the name of a user, is printed as escapes."""
    for stream, errors in (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def drop_output() -> None:
    """Drops what could not be printed. Otherwise the end of the program tries again, with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def local_time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def expiry(seconds: int | None) -> str:
    return "never expires" if seconds is None else f"expires at {local_time(seconds)}"
