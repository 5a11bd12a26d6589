"""The output of the command `cmauth`: text for people, or JSON for scripts."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from typing import NoReturn


def fail(options: argparse.Namespace, code: int, message: str, status: str, advice: str) -> NoReturn:
    """Prints an error, and ends the program with `code`."""
    if options.json:
        error = {"message": message, "status": status, "advice": advice, "exit_code": code}
        print(json.dumps({"error": error}), file=sys.stderr)
    else:
        print(f"cmauth: {message}", file=sys.stderr)
    sys.exit(code)


def say(options: argparse.Namespace, text: str, **facts: object) -> None:
    """Prints `text`, or with --json the `facts`."""
    print(json.dumps(facts) if options.json else text)


def tell(text: str, *, end: str = "\n") -> None:
    """Prints text for the person at the terminal, which is not the output of the command."""
    print(text, end=end, file=sys.stderr, flush=True)


def local_time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def expiry(seconds: int | None) -> str:
    return "never expires" if seconds is None else f"expires at {local_time(seconds)}"
