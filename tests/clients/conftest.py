"""A sandbox for each client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cmauth.testing import Sandbox

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()


@pytest.fixture(scope="session")
def program() -> str:
    if "CMAUTH_SANDBOX" not in os.environ:
        subprocess.run(["cargo", "build", "-q", "-p", "cmauth-sandbox"], cwd=ROOT, check=True)
        os.environ["CMAUTH_SANDBOX"] = str(TARGET / "debug/cmauth-sandbox")
    return os.environ["CMAUTH_SANDBOX"]


@pytest.fixture
def sandbox(program: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(program=program) as sandbox:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", sandbox.ca_file)
        monkeypatch.setenv("NO_PROXY", "localhost")
        yield sandbox
