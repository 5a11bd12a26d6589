"""Builds and runs the programs of the benchmark, and reads what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import Server

ROOT = Path(__file__).resolve().parent.parent

# The cores that this process may use, and those on which `run` starts programs.
CORES = os.sched_getaffinity(0)
client_cores = CORES


def run(*command: object, **options: Any) -> str:
    """Runs a program on `client_cores`. Returns its output."""
    words = ["taskset", "--cpu-list", ",".join(map(str, sorted(client_cores))), *(str(word) for word in command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def placed(server: Server, where: str) -> Iterator[None]:
    """Chooses the cores of the peers and of nginx.

    free: the system decides. It moves processes, and a call costs two or three times as much when each process must
        wake the sleeping core of the other.
    apart: the peer and nginx have a core each. Every call wakes a sleeping core, as with a server that is far away.
    one core: both share a core. The figures then show the work of the programs alone.
    """
    global client_cores
    first, *others = sorted(CORES)
    wanted = {
        "free": (CORES, CORES),
        "apart": ({first}, set(others) or {first}),
        "one core": ({first}, {first}),
    }
    client_cores, server_cores = wanted[where]
    workers = run("pgrep", "--parent", server.pid).split()
    for pid in [server.pid, *map(int, workers)]:
        os.sched_setaffinity(pid, server_cores)
    yield
    client_cores = CORES


# The result of one run of a peer, as the peers print it.
Result = dict[str, float]
# Runs a peer: a server, one of its kinds, the number of calls and of threads.
Peer = Callable[[Server, str, int, int], Result]


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark.

    build: the build folder of cargo.
    out: the folder of the results.
    quick: a tenth of the calls.
    rounds: how often the peers take turns.
    """

    build: Path
    out: Path
    quick: bool
    rounds: int

    @property
    def library(self) -> Path:
        return (self.build / "release" / "libcmauth.so").resolve()

    @property
    def python(self) -> Path:
        return self.build / "bench-venv" / "bin" / "python"

    def program(self, name: str) -> Path:
        return self.out / "bin" / name

    def scaled(self, number: int) -> int:
        """A number of calls, fewer for a quick run."""
        return number // 10 if self.quick else number

    def build_programs(self) -> None:
        self.program("").mkdir(parents=True, exist_ok=True)
        strict = ["-O2", "-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-pthread", "-I", ROOT / "include"]
        cmauth = ["-L", self.build / "release", "-lcmauth", f"-Wl,-rpath,{self.build / 'release'}"]
        libraries = {"cmauth": cmauth, "session": cmauth, "curl": ["-lcurl", "-lcjson"], "dlopen": ["-ldl"]}
        for name, linked in libraries.items():
            run("cc", *strict, ROOT / f"bench/c/{name}.c", "-o", self.program(name), *linked)
        shutil.copy(self.build / "release" / "examples" / "baseline", self.program("baseline"))

    def run_program(self, name: str, *arguments: object) -> Result:
        """Runs a C program, or the baseline. Returns the JSON that it prints."""
        result: Result = json.loads(run(self.program(name), *arguments))
        return result

    def peers_in_c(self) -> dict[str, Peer]:
        def c(name: str) -> Peer:
            return lambda server, kind, calls, threads: self.run_program(
                name, server.url(kind), server.ca_file, calls, threads
            )

        def baseline(server: Server, kind: str, calls: int, _threads: int) -> Result:
            return self.run_program("baseline", f"localhost:{server.ports[kind]}", server.ca_file, calls)

        return {"libcmauth": c("cmauth"), "libcurl + cJSON": c("curl"), "bare TLS stream": baseline}

    def peers_in_python(self) -> dict[str, Peer]:
        def python(name: str) -> Peer:
            def measure(server: Server, kind: str, calls: int, threads: int) -> Result:
                peer = ROOT / "bench/python/peer.py"
                arguments = (name, server.url(kind), server.ca_file, calls, threads)
                result: Result = json.loads(run(self.python, peer, *arguments))
                return result

            return measure

        names = ["cmauth", "requests-oauthlib", "Authlib on requests", "Authlib on httpx", "httpx by hand"]
        return {name: python(name) for name in names}

    def import_ms(self, statement: str) -> float:
        """The time that an import adds to a new interpreter, in ms: the median of several."""

        def once(code: str) -> float:
            begun = time.perf_counter()
            run(self.python, "-c", code)
            return time.perf_counter() - begun

        return statistics.median(once(statement) - once("pass") for _ in range(4 if self.quick else 15)) * 1e3

    def size_of_packages(self, *names: str) -> int:
        """The bytes that pip installs for packages and their dependencies."""
        return int(run(self.python, "-c", SIZE_OF_PACKAGES, *names))

    def first_client_ms(self) -> float:
        """The time for the first client of a process that trusts the system's certificates, in ms."""
        return float(run(self.python, "-c", FIRST_CLIENT, self.library))


SIZE_OF_PACKAGES = """
import importlib.metadata as m, re, sys

seen = set()

def add(name):
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in seen:
        return 0
    seen.add(name)
    try:
        d = m.distribution(name)
    except m.PackageNotFoundError:
        return 0
    files = [f.locate() for f in d.files or () if "__pycache__" not in str(f)]
    size = sum(f.stat().st_size for f in files if f.exists())
    for need in d.requires or ():
        if "extra ==" not in need:
            size += add(re.match(r"[A-Za-z0-9._-]+", need)[0])
    return size

print(sum(add(name) for name in sys.argv[1:]))
"""

FIRST_CLIENT = """
import ctypes, sys, time

lib = ctypes.CDLL(sys.argv[1])
lib.cm_config_new.restype = ctypes.c_void_p
config = ctypes.c_void_p(lib.cm_config_new(b"id", b"secret"))
client, error = ctypes.c_void_p(), ctypes.c_void_p()
begun = time.perf_counter()
status = lib.cm_client_new(config, ctypes.byref(client), ctypes.byref(error))
took = time.perf_counter() - begun
assert status == 0
print(took * 1e3)
"""


def instructions(*command: object, few: int, many: int) -> float:
    """The instructions of one call, counted by callgrind: the difference between `many` calls and `few`.

    The word CALLS of the command stands for the number of calls.
    """

    def count(calls: int) -> int:
        words = [str(calls) if word == "CALLS" else str(word) for word in command]
        counted = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"Collected : (\d+)", counted.stderr)
        if counted.returncode != 0 or not found:
            raise SystemExit(f"bench: callgrind: {counted.stderr}")
        return int(found[1])

    return (count(many) - count(few)) / (many - few)
