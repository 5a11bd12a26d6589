#!/usr/bin/env python3
"""Measures the memory and the time of the sessions of many users: bench/many_users.py [USERS]

A backend has one `cmauth.Sessions`. Each user logs in and asks for tokens. The sessions are in files, and only 1,000 of
them are open. Without that limit, the memory would grow with each user.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import cmauth

STEP = 1000


def private_kb() -> int:
    """The private memory of this process."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def tokens_of(user: int) -> cmauth.Tokens:
    record = {
        "access_token": f"00000000-0000-0000-0000-{user:012}:10003",
        "token_type": "bearer",
        "refresh_token": f"11111111-0000-0000-0000-{user:012}:10003",
        "expires_at": int(time.time()) + 43200,
        "scope": "write",
    }
    return cmauth.Tokens.from_json(json.dumps(record))


def main() -> None:
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    client = cmauth.Client("cameramanager.test", "secret")
    with tempfile.TemporaryDirectory() as folder:
        sessions = cmauth.Sessions.in_folder(client, folder)
        opened = used = 0.0
        full = 0
        for user in range(users):
            begun = time.perf_counter()
            session = sessions.get(str(user))
            opened += time.perf_counter() - begun
            session.start(tokens_of(user))
            begun = time.perf_counter()
            sessions.get(str(user)).tokens()
            used += time.perf_counter() - begun
            del session
            if user + 1 == 2 * STEP:
                gc.collect()
                full = private_kb()
        gc.collect()
        last = private_kb()
        files = len(os.listdir(folder))  # noqa: PTH208
    print(f"users: {users:,}, files: {files:,}, {sessions!r}")
    print(f"private memory: {full / 1024:.1f} MB after {2 * STEP:,} users, {last / 1024:.1f} MB after all")
    print(
        f"a session: opened in {opened / users * 1e6:.0f} us, found open with its tokens in {used / users * 1e6:.1f} us"
    )


if __name__ == "__main__":
    main()
