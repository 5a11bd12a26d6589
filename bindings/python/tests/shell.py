"""The command `cmauth` for tests: as a script runs it, and as a person at a terminal does."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cmauth.testing import Sandbox
from typing_extensions import Self

COMMAND = str(Path(sysconfig.get_path("scripts"), "cmauth"))


@dataclass
class Shell:
    sandbox: Sandbox
    environment: dict[str, str]

    @property
    def folder(self) -> Path:
        return Path(self.environment["CMAUTH_STATE_DIR"])

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen([COMMAND, *arguments], env=self.environment, text=True, **{**pipes, **options})

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a script of the shell, which has the command as $CMAUTH."""
        environment = {**self.environment, "CMAUTH": COMMAND}
        command = ["bash", "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def at_terminal(self, *arguments: str) -> Terminal:
        return Terminal([COMMAND, *arguments], self.environment)

    def run(self, *arguments: str, exit_code: int = 0, stdin: str = "") -> tuple[str, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == exit_code, out + err
        assert "Traceback" not in err
        return out, err

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json")[0])

    def log_in(
        self, *arguments: str, user: str = "demo:demo", warning: tuple[str, ...] = (), exit_code: int = 0
    ) -> tuple[str, str]:
        """Logs in, with the test as the browser. `warning`: parts of a line before the URL."""
        with self.start("login", *arguments) as process:
            assert process.stderr
            if warning:
                line = process.stderr.readline()
                assert all(piece in line for piece in warning), line
            assert process.stderr.readline() == "Open this page and log in:\n"
            self.sandbox.come_back(process.stderr.readline().strip(), user=user)
            out, err = process.communicate(timeout=60)
        assert process.returncode == exit_code, out + err
        assert "Traceback" not in err
        return out, err


class Terminal:
    """A command at a terminal of its own. Its output has both streams."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        # Not on Windows.
        import pty

        self.output = ""
        self._code: int | None = None
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.execve(command[0], command, environment)

    def read_until(self, text: str) -> str:
        """The output up to `text`, from the last such call on."""
        deadline = time.monotonic() + 60
        while text not in self.output:
            assert self._read(deadline), f"the command ended with: {self.output}"
        before, _, self.output = self.output.partition(text)
        return before + text

    def type(self, line: str) -> None:
        os.write(self._terminal, f"{line}\n".encode())

    def end(self) -> int:
        """Waits for the end. Returns the exit code; `output` has the rest of the output."""
        deadline = time.monotonic() + 60
        while self._read(deadline):
            pass
        _, status = os.waitpid(self._process, 0)
        self._code = os.waitstatus_to_exitcode(status)
        assert "Traceback" not in self.output
        return self._code

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"no more output after: {self.output}"
        try:
            piece = os.read(self._terminal, 4096)
        except OSError:
            # Linux reports the end so.
            piece = b""
        self.output += piece.decode().replace("\r\n", "\n")
        return bool(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._code is None:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._terminal)
