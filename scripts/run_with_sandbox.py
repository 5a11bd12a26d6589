#!/usr/bin/env python3
"""Runs a test program of bindings/c/tests/c against the sandbox.

    scripts/run_with_sandbox.py BUILD_FOLDER PROGRAM [ARGUMENT...]

The program gets CMAUTH_BASE_URL, CMAUTH_CA_FILE, CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET. For each login it prints
"open URL"; this script logs a user in there and gives the program the URL of the redirect. The exit code is that of the
program.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "bindings/python/python/cmauth"))
from _sandbox_process import CLIENT_ID, CLIENT_SECRET, SandboxProcess, without_proxy


def main() -> int:
    with SandboxProcess(Path(sys.argv[1], "debug", "cmauth-sandbox")) as sandbox:
        environment = {
            **os.environ,
            "CMAUTH_BASE_URL": sandbox.url,
            "CMAUTH_CA_FILE": sandbox.ca_file,
            "CMAUTH_CLIENT_ID": CLIENT_ID,
            "CMAUTH_CLIENT_SECRET": CLIENT_SECRET,
        }
        with subprocess.Popen(
            sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as program:
            assert program.stdin
            assert program.stdout
            for line in program.stdout:
                if line.startswith("open "):
                    redirected = sandbox.visit(line.split()[1])
                    if redirected.startswith("http://127.0.0.1:"):  # The program itself listens there.
                        without_proxy.open(redirected, timeout=30).close()
                    else:
                        program.stdin.write(redirected + "\n")
                        program.stdin.flush()
                else:
                    print(line, end="")
    return program.returncode


if __name__ == "__main__":
    sys.exit(main())
