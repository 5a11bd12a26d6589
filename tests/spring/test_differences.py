"""The sandbox responds as Spring Security OAuth does, except where its README says otherwise."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase

import differ
import pytest
import servers

README = servers.ROOT / "sandbox" / "README.md"
LIFETIME = 3

# The set-up: what it is, the options of both servers, and the version.
SETUPS = {
    "database": (["--store=jdbc", "--form=true"], [], "2.4"),
    "memory": (["--form=true"], [], "2.4"),
    "2.3 database": (["--store=jdbc", "--form=true"], [], "2.3"),
    "2.5 database": (["--store=jdbc", "--form=true"], ["--flavour", "2.5"], "2.5"),
    "boot database": (["--store=jdbc", "--form=true", "--entry=boot"], ["--flavour", "boot"], "2.4"),
    "basic-only database": (["--store=jdbc"], ["--flavour", "basic-only"], "2.4"),
    "rotating database": (["--store=jdbc", "--form=true", "--rotate=true"], ["--rotate-refresh-tokens"], "2.4"),
}

Start = Callable[..., AbstractContextManager[servers.Server]]


def wanted() -> list[tuple[str, str]]:
    """The cases that may differ, and where, from the table of the README."""
    text = README.read_text(encoding="utf-8").split("### Wanted differences")[1]
    return re.findall(r"^\| `(.+?)` \| (.+?) \|", text, re.M)


@functools.cache
def differing(name: str, lifetime: float | None = None) -> set[str]:
    of_spring, of_sandbox, version = SETUPS[name]
    if lifetime:
        of_spring = [*of_spring, f"--lifetime={lifetime}"]
        of_sandbox = [*of_sandbox, "--access-token-lifetime", str(lifetime)]
    with servers.spring(name, *of_spring, version=version) as spring, servers.sandbox(name, *of_sandbox) as sandbox:
        found = differ.differences(spring.url, sandbox.url, lifetime)
    allowed = [pattern for pattern, where in wanted() if where == "all" or where in name.split()]
    unexplained = {case: lines for case, lines in found.items() if not any(fnmatchcase(case, p) for p in allowed)}
    shown = "\n".join("\n".join([case, *lines]) for case, lines in unexplained.items())
    assert not unexplained, f"{len(unexplained)} differences from Spring are unexplained:\n{shown}"
    return set(found)


@pytest.mark.parametrize("name", SETUPS)
def test_every_difference_is_wanted(name: str) -> None:
    differing(name)


@pytest.mark.parametrize("name", ["database", "memory", "2.5 database"])
def test_every_difference_of_expired_tokens_is_wanted(name: str) -> None:
    differing(name, LIFETIME)


def test_every_wanted_difference_is_there() -> None:
    found = set().union(*(differing(name) for name in ("database", "memory", "2.3 database")))
    found |= differing("database", LIFETIME)
    stale = [pattern for pattern, _ in wanted() if not any(fnmatchcase(case, pattern) for case in found)]
    assert not stale, "the README lists differences that are gone"


def test_there_are_at_least_400_requests() -> None:
    sent = sum("send" in step for case in differ.CASES for step in case["steps"])
    assert sent >= 400
    names = [case["case"] for case in differ.CASES]
    assert len(set(names)) == len(names)
