#!/usr/bin/env python3
"""Runs a test program of bindings/c/tests/c against the stand-in server, whose user logs in where the program asks for it.

    scripts/run_with_sandbox.py BUILD_FOLDER PROGRAM [ARGUMENT...]

The program gets CMAUTH_BASE_URL, CMAUTH_CA_FILE, CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET, prints "open URL", and
reads the URL that the browser came back to. Ends with the program's code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path


def main() -> int:
    sandbox = str(Path(sys.argv[1], "debug", "cmauth-sandbox"))
    with tempfile.TemporaryDirectory() as folder:
        ca_file = str(Path(folder, "ca.pem"))
        options = ["--tls", "--ca-out", ca_file, "--port", "0", "--until-eof"]
        with subprocess.Popen([sandbox, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin
            assert server.stdout
            environment = {
                **os.environ,
                "CMAUTH_BASE_URL": server.stdout.readline().split()[-1],
                "CMAUTH_CA_FILE": ca_file,
                "CMAUTH_CLIENT_ID": "cameramanager.test",
                "CMAUTH_CLIENT_SECRET": "qwertyuiopasdfghjklzxcvbnm12345",
            }
            with subprocess.Popen(
                sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            ) as program:
                assert program.stdin
                assert program.stdout
                for line in program.stdout:
                    if line.startswith("open "):
                        user = [sandbox, "user", "--ca-file", ca_file, line.split()[1]]
                        login = subprocess.run(user, stdout=subprocess.PIPE, text=True, check=True)
                        redirected = login.stdout.strip()
                        if redirected.startswith("http://127.0.0.1:"):  # The program listens there itself.
                            urllib.request.urlopen(redirected, timeout=30).close()
                        else:
                            program.stdin.write(redirected + "\n")
                            program.stdin.flush()
                    else:
                        print(line, end="")
            server.stdin.close()
    return program.returncode


if __name__ == "__main__":
    sys.exit(main())
