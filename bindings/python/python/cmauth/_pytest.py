"""The pytest plugin of the package; pytest finds it by the package's entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cmauth.testing import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cmauth_sandbox(*options): options of the program cmauth-sandbox for this test")


@pytest.fixture
def cmauth_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox for one test: a `cmauth.testing.Sandbox`."""
    from cmauth.testing import Sandbox

    mark = request.node.get_closest_marker("cmauth_sandbox")
    with Sandbox(*(mark.args if mark else ())) as sandbox:
        yield sandbox
