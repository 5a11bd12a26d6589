"""The type of the options of a client."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypedDict


class Options(TypedDict, total=False):
    """The options of `Client`, for code that passes them on: `**options: Unpack[Options]`."""

    base_url: str | None
    scope: str | None
    timeout: float | None
    connect_timeout: float | None
    ca_file: str | os.PathLike[str] | None
    add_ca_files: Iterable[str | os.PathLike[str]] | None
    proxy: str | None
    user_agent: str | None
    max_retries: int | None
    params_in_body: bool
    allow_origins: Iterable[str] | None
