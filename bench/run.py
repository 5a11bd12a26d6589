#!/usr/bin/env python3
"""libcmauth beside what a user would pick instead: make bench.

Every peer does the same refreshes at one nginx, over TLS 1.3, in turn, round after round; what counts is the ratio to
the best peer within a round, its median over the rounds and its spread. Nothing here is a test: machines differ and are
noisy. Prints a table, and writes results.json and plots into the folder that is its argument.

    bench/run.py BUILD_FOLDER OUT [--quick] [ROUNDS]
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
QUICK = "--quick" in sys.argv
ARGUMENTS = [argument for argument in sys.argv[1:] if argument != "--quick"]
BUILD, OUT = Path(ARGUMENTS[0]).resolve(), Path(ARGUMENTS[1]).resolve()
ROUNDS = int(ARGUMENTS[2]) if len(ARGUMENTS) > 2 else (2 if QUICK else 9)
SCALE = 10 if QUICK else 1
PYTHON = str(BUILD / "bench-venv" / "bin" / "python")
BIN = OUT / "bin"

BODY = (
    '{"access_token":"7c9e6679-7425-40de-944b-e07fc1f90ae7:10003","token_type":"bearer",'
    '"refresh_token":"0f8fad5b-d9cb-469f-a165-70867728950e:10003","expires_in":43199,"scope":"write"}'
)

NGINX = """
worker_processes 1;
daemon off;
error_log %(folder)s/error.log warn;
pid %(folder)s/pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
  ssl_certificate %(folder)s/server.pem; ssl_certificate_key %(folder)s/server.key;
  ssl_protocols TLSv1.3;
  keepalive_requests 100000000; keepalive_timeout 600s;
  %(servers)s
}
"""
SERVER = """
  server {
    listen 127.0.0.1:%(port)d ssl; %(settings)s
    location = /oauth/token {
      default_type "application/json;charset=UTF-8"; add_header Cache-Control no-store; add_header Pragma no-cache;
      return 200 '%(body)s';
    }
  }
"""
# A kept connection; a new one for each call, with a session ticket and without.
SERVERS = {
    "warm": "",
    "cold": "keepalive_timeout 0; ssl_session_tickets off; ssl_session_cache off;",
    "resumed": "keepalive_timeout 0; ssl_session_tickets on;",
}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


# Which cores programs are started on; nginx is moved by `placed`.
CORES = os.sched_getaffinity(0)
client_cores = CORES


def run(*command: object, **options: Any) -> str:
    words = ["taskset", "--cpu-list", ",".join(map(str, sorted(client_cores))), *(str(word) for word in command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Server:
    folder: Path
    ports: dict[str, int]
    nginx: int = 0

    def url(self, kind: str) -> str:
        return f"https://localhost:{self.ports[kind]}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """An nginx with a certificate of a private authority."""
    folder = OUT / "nginx"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    new_key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    run("openssl", *new_key, "-subj", "/CN=bench CA", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    run(
        *["openssl", *new_key, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        *["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"],
        *["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"],
        *["-keyout", folder / "server.key", "-out", folder / "server.pem"],
    )
    found = Server(folder, {kind: free_port() for kind in SERVERS})
    servers = "".join(
        SERVER % {"port": found.ports[kind], "settings": settings, "body": BODY} for kind, settings in SERVERS.items()
    )
    (folder / "nginx.conf").write_text(NGINX % {"folder": folder, "servers": servers}, encoding="utf-8")
    nginx = subprocess.Popen(["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        deadline = time.monotonic() + 20
        while not all(reachable(port) for port in found.ports.values()):
            assert nginx.poll() is None
            assert time.monotonic() < deadline
        found.nginx = nginx.pid
        yield found
    finally:
        nginx.terminate()
        nginx.wait()


@contextlib.contextmanager
def placed(at: Server, where: str) -> Iterator[None]:
    """Where the peers and nginx run. Left to the system they wander, and a call costs two or three times as much when
    each must wake the other's sleeping core. "apart", each on a core of its own, has that in every call, as with a
    server that is far away; on "one core" what is measured is what the programs do themselves."""
    global client_cores
    first, *others = sorted(CORES)
    wanted = {
        "free": (CORES, CORES),
        "apart": ({first}, set(others) or {first}),
        "one core": ({first}, {first}),
    }
    client_cores, server_cores = wanted[where]
    pids = run("pgrep", "--parent", at.nginx).split()
    for pid in [at.nginx, *map(int, pids)]:
        os.sched_setaffinity(pid, server_cores)
    yield
    client_cores = CORES


def reachable(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def far_away(port: int, one_way: float) -> Iterator[int]:
    """A port that leads to another one, each byte `one_way` seconds later: a long line."""
    listener = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, target: socket.socket, ready: float) -> None:
        # The handshake of TCP is done by this machine at once; its round trip is added to the first bytes.
        queue: list[tuple[float, bytes]] = []
        changed = threading.Condition()

        def deliver() -> None:
            while True:
                with changed:
                    changed.wait_for(lambda: bool(queue))
                    at, piece = queue.pop(0)
                time.sleep(max(0.0, at - time.monotonic()))
                with contextlib.suppress(OSError):
                    if not piece:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(piece)

        threading.Thread(target=deliver, daemon=True).start()
        while True:
            try:
                piece = source.recv(65536)
            except OSError:
                piece = b""
            with changed:
                queue.append((max(time.monotonic(), ready) + one_way, piece))
                changed.notify()
            if not piece:
                return

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted = time.monotonic() + 2 * one_way
            threading.Thread(target=carry, args=(near, far, accepted), daemon=True).start()
            threading.Thread(target=carry, args=(far, near, 0.0), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def build() -> None:
    BIN.mkdir(parents=True, exist_ok=True)
    strict = ["-O2", "-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-pthread", "-I", ROOT / "include"]
    ours = ["-L", BUILD / "release", "-lcmauth", f"-Wl,-rpath,{BUILD / 'release'}"]
    run("cc", *strict, ROOT / "bench/c/cmauth.c", "-o", BIN / "cmauth", *ours)
    run("cc", *strict, ROOT / "bench/c/session.c", "-o", BIN / "session", *ours)
    run("cc", *strict, ROOT / "bench/c/curl.c", "-o", BIN / "curl", "-lcurl", "-lcjson")
    run("cc", *strict, ROOT / "bench/c/dlopen.c", "-o", BIN / "dlopen", "-ldl")
    shutil.copy(BUILD / "release" / "examples" / "baseline", BIN / "baseline")


Peer = Callable[[Server, str, int, int], dict[str, float]]


def program(name: str) -> Peer:
    def measure(at: Server, kind: str, calls: int, threads: int) -> dict[str, float]:
        if name == "baseline":
            place = f"localhost:{at.ports[kind]}"
            line = run(BIN / "baseline", place, at.ca_file, calls)
        else:
            line = run(BIN / name, at.url(kind), at.ca_file, calls, threads)
        result: dict[str, float] = json.loads(line)
        return result

    return measure


def python(name: str) -> Peer:
    def measure(at: Server, kind: str, calls: int, threads: int) -> dict[str, float]:
        command = [PYTHON, ROOT / "bench/python/peer.py", name, at.url(kind), at.ca_file, calls, threads]
        result: dict[str, float] = json.loads(run(*command))
        return result

    return measure


C_PEERS = {"libcmauth": program("cmauth"), "libcurl + cJSON": program("curl"), "bare TLS stream": program("baseline")}
PYTHON_NAMES = ["requests-oauthlib", "Authlib on requests", "Authlib on httpx", "httpx by hand"]
PYTHON_PEERS = {"cmauth": python("cmauth"), **{name: python(name) for name in PYTHON_NAMES}}


@dataclass
class Ratio:
    """libcmauth's figure by the best peer's of the same round: median, least, most."""

    what: str
    goal: str
    values: list[float]
    ours: float
    theirs: float
    unit: str
    peer: str

    def line(self) -> str:
        middle, least, most = statistics.median(self.values), min(self.values), max(self.values)
        return (
            f"| {self.what} | {self.goal} | **{middle:.2f}** | {least:.2f} to {most:.2f} "
            f"| {self.ours:.4g} {self.unit} | {self.theirs:.4g} {self.unit} ({self.peer}) |"
        )


def figure(result: dict[str, float], kind: str) -> float:
    if kind == "cpu":
        return result["cpu"] / result["calls"] * 1e6
    if kind == "latency":
        return result["latency"] * 1e6
    return result["calls"] / result["wall"]


UNITS = {"cpu": "µs", "latency": "µs", "rate": "/s"}


def compare(
    title: str,
    at: Server,
    kind: str,
    peers: dict[str, Peer],
    calls: dict[str, int],
    threads: int,
    where: str,
    wanted: dict[str, str],
    rounds: int,
) -> list[Ratio]:
    """Runs the peers in turn, and gives the ratios of the first to the best of the others."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    with placed(at, where):
        for turn in range(rounds):
            # In another order each time, so that nobody always comes after the same one.
            names = list(peers)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                amount = max(threads, calls.get(name, calls["*"]) // SCALE)
                results[name].append(peers[name](at, kind, amount, threads))
    ours, *others = peers
    ratios = []
    for what, goal in wanted.items():
        better = max if what == "rate" else min
        medians = {name: statistics.median(figure(r, what) for r in results[name]) for name in peers}
        best = better(others, key=lambda name: medians[name])
        values = [figure(a, what) / figure(b, what) for a, b in zip(results[ours], results[best], strict=True)]
        ratios.append(
            Ratio(
                f"{title}, {where}: {what}" if where != "free" else f"{title}: {what}",
                goal,
                values,
                medians[ours],
                medians[best],
                UNITS[what],
                best,
            )
        )
        print(ratios[-1].line(), flush=True)
    return ratios


def instructions(*command: object, few: int, many: int) -> float:
    """Instructions of one call, counted by callgrind: what `many` calls need more than `few`."""

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


def one(what: str, goal: str, value: str) -> str:
    line = f"| {what} | {goal} | {value} |"
    print(line, flush=True)
    return line


def size_of_package(*names: str) -> int:
    """Bytes that pip installs for packages and what they need."""
    program = (
        "import importlib.metadata as m, re, sys\n"
        "seen = set()\n"
        "def add(name):\n"
        "    name = re.sub(r'[-_.]+', '-', name).lower()\n"
        "    if name in seen: return 0\n"
        "    seen.add(name)\n"
        "    try: d = m.distribution(name)\n"
        "    except m.PackageNotFoundError: return 0\n"
        "    size = sum(f.locate().stat().st_size for f in d.files or () "
        "if f.locate().exists() and '__pycache__' not in str(f))\n"
        "    for need in d.requires or ():\n"
        "        if 'extra ==' not in need: size += add(re.match(r'[A-Za-z0-9._-]+', need)[0])\n"
        "    return size\n"
        "print(sum(add(n) for n in sys.argv[1:]))\n"
    )
    return int(run(PYTHON, "-c", program, *names))


def import_ms(statement: str) -> float:
    """What an import adds to a new interpreter, in ms: the median of several."""

    def once(code: str) -> float:
        begun = time.perf_counter()
        run(PYTHON, "-c", code)
        return time.perf_counter() - begun

    return statistics.median(once(statement) - once("pass") for _ in range(4 if QUICK else 15)) * 1e3


def singles(at: Server) -> list[str]:
    library = (BUILD / "release" / "libcmauth.so").resolve()
    lines = []
    few, many = 20, 220
    counted = {
        name: instructions(BIN / name, at.url("warm"), at.ca_file, "CALLS", 1, few=few, many=many)
        for name in ("cmauth", "curl")
    }
    baseline = instructions(BIN / "baseline", f"localhost:{at.ports['warm']}", at.ca_file, "CALLS", few=few, many=many)
    value = f"**{counted['cmauth'] / counted['curl']:.2f}** ({counted['cmauth']:,.0f} by {counted['curl']:,.0f})"
    lines.append(one("C, warm: instructions, by libcurl's", "≤ 0.45", value))
    lines.append(one("C, warm: instructions, by the baseline's", "", f"{counted['cmauth'] / baseline:.2f} ({baseline:,.0f})"))

    fast = {n: json.loads(run(BIN / "session", "fast", 2_000_000 // SCALE // n, n)) for n in (1, 8)}
    lines.append(one("session fast path, 1 thread", "≤ 100 ns", f"{fast[1]['ns']:.0f} ns"))
    value = f"{fast[8]['cpu_ns']:.0f} ns CPU by {fast[1]['cpu_ns']:.0f}"
    lines.append(one("session fast path, 8 threads", "no more CPU a call", value))
    path = instructions(BIN / "session", "fast", "CALLS", 1, few=1000, many=101_000)
    lines.append(one("session fast path: instructions", "", f"{path:.0f}"))
    each = json.loads(run(BIN / "session", "many", 10_000 // SCALE))["bytes_each"]
    lines.append(one(f"memory of each of {10_000 // SCALE:,} sessions", "", f"{each:,.0f} bytes"))

    lines.append(one("libcmauth.so, stripped", "≤ 2.2 MB", f"{library.stat().st_size:,} bytes"))
    symbols = run("nm", "-D", "--defined-only", library).count("\n")
    lines.append(one("exported symbols", "", f"{symbols}"))
    opened = statistics.median(float(run(BIN / "dlopen", library)) for _ in range(15)) * 1e3
    lines.append(one("dlopen", "< 1 ms", f"{opened:.2f} ms"))
    starts = [json.loads(run(BIN / "cmauth", at.url("warm"), at.ca_file, 1, 1)) for _ in range(9)]
    value = f"{statistics.median(s['open'] for s in starts) * 1e3:.2f} ms"
    lines.append(one("a client, with a CA file", "", value))
    os_trust = statistics.median(first_client_ms() for _ in range(9))
    lines.append(one("a client, with the system's trust", "< 10 ms", f"{os_trust:.2f} ms"))
    memory = statistics.median(s["private_kb"] for s in starts)
    curl = statistics.median(
        json.loads(run(BIN / "curl", at.url("warm"), at.ca_file, 1, 1))["private_kb"] for _ in range(5)
    )
    value = f"{memory / 1024:.2f} MB (libcurl: {curl / 1024:.2f} MB)"
    lines.append(one("private memory of a process after its first call", "≤ 4 MB", value))

    for kind, goal in (("warm", 1), ("cold", 3)):
        with far_away(at.ports[kind], 0.05) as port:
            result = json.loads(run(BIN / "cmauth", f"https://localhost:{port}", at.ca_file, 6, 1))
        trips = result["latency"] / 0.1
        lines.append(one(f"round trips of a {kind} call, at 50 ms each way", f"{goal}", f"{trips:.2f}"))

    ours, peers = import_ms("import cmauth"), {}
    for name, statement in {
        "requests-oauthlib": "import requests_oauthlib",
        "Authlib on requests": "import authlib.integrations.requests_client",
        "Authlib on httpx": "import authlib.integrations.httpx_client",
        "httpx": "import httpx",
    }.items():
        peers[name] = import_ms(statement)
    value = f"{ours:.0f} ms; " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in peers.items())
    lines.append(one("import cmauth, and theirs", "", value))
    sizes = {"cmauth": size_of_package("cmauth"), "requests-oauthlib": size_of_package("requests-oauthlib")}
    sizes["Authlib and httpx"] = size_of_package("authlib", "httpx")
    value = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items())
    lines.append(one("pip install, with all it needs", "", value))
    return lines


def first_client_ms() -> float:
    """The first client of a process with the system's trust; nobody is called."""
    program = (
        "import ctypes, sys, time\n"
        "lib = ctypes.CDLL(sys.argv[1])\n"
        "lib.cm_config_new.restype = ctypes.c_void_p\n"
        "config = ctypes.c_void_p(lib.cm_config_new(b'id', b'secret'))\n"
        "client, error = ctypes.c_void_p(), ctypes.c_void_p()\n"
        "begun = time.perf_counter()\n"
        "status = lib.cm_client_new(config, ctypes.byref(client), ctypes.byref(error))\n"
        "took = time.perf_counter() - begun\n"
        "assert status == 0\n"
        "print(took * 1e3)\n"
    )
    return float(run(PYTHON, "-c", program, (BUILD / "release" / "libcmauth.so").resolve()))


def growth(at: Server) -> list[str]:
    """Whether a call costs the same after many, and memory stays."""
    lines = []
    short, long = 2_000 // SCALE, 100_000 // SCALE
    with placed(at, "one core"):
        few = figure(json.loads(run(BIN / "cmauth", at.url("warm"), at.ca_file, short, 1)), "cpu")
        many = figure(json.loads(run(BIN / "cmauth", at.url("warm"), at.ca_file, long, 1)), "cpu")
    lines.append(one(f"CPU of a call, of {long:,} by of {short:,}", "flat", f"{many / few:.2f}"))
    calls = 1_000_000 // SCALE
    result = json.loads(run(BIN / "cmauth", at.url("warm"), at.ca_file, calls, 2))
    # The peers' own list of times is most of it.
    own = result["private_kb_end"] - calls * 4 / 1024
    value = f"{result['private_kb'] / 1024:.2f} MB after 1, {own / 1024:.2f} MB after {calls:,}"
    lines.append(one("private memory", "flat", value))
    return lines


def plot(title: str, ratios: list[Ratio], file: Path) -> None:
    """Each ratio as a bar from its least to its most, with its median; 1 is the best peer."""
    rows, width, left, scale = len(ratios), 760, 330, 280
    text = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {rows * 30 + 70}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{width}" height="{rows * 30 + 70}" fill="#fff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="bold">{title}</text>',
    ]
    top = 1.6
    for mark in (0, 0.5, 1.0, 1.5):
        x = left + mark / top * scale
        text.append(f'<line x1="{x}" x2="{x}" y1="40" y2="{rows * 30 + 46}" stroke="#ccd" stroke-dasharray="2 3"/>')
        text.append(f'<text x="{x}" y="{rows * 30 + 62}" text-anchor="middle" fill="#556">{mark:g} x</text>')
    for i, ratio in enumerate(ratios):
        y = 60 + i * 30
        middle = statistics.median(ratio.values)
        bar = min(middle, top) / top * scale
        least, most = (min(v, top) / top * scale for v in (min(ratio.values), max(ratio.values)))
        text.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{ratio.what}</text>')
        text.append(f'<rect x="{left}" y="{y - 9}" width="{bar}" height="18" fill="#0b5cad"/>')
        text.append(
            f'<line x1="{left + least}" x2="{left + most}" y1="{y}" y2="{y}" stroke="#e08a00" stroke-width="3"/>'
        )
        text.append(f'<text x="{left + max(bar, most) + 8}" y="{y + 4}">{middle:.2f}</text>')
    file.write_text("\n".join([*text, "</svg>"]) + "\n", encoding="utf-8")


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    build()
    both = {"libcmauth": C_PEERS["libcmauth"], "libcurl + cJSON": C_PEERS["libcurl + cJSON"]}
    baseline = {"libcmauth": C_PEERS["libcmauth"], "bare TLS stream": C_PEERS["bare TLS stream"]}
    with server() as at:
        print("| what | goal | median | spread | libcmauth | best peer |\n|---|---|---|---|---|---|", flush=True)
        both_goals = {"cpu": "≤ 0.65", "latency": "≤ 0.80"}
        cold = {"cpu": "≤ 0.35", "latency": "≤ 0.55"}
        threads = {"rate": "≥ 1.4", "cpu": "≤ 0.60"}
        in_c = [
            *compare("C, warm", at, "warm", both, {"*": 8000}, 1, "apart", both_goals, ROUNDS),
            *compare("C, warm", at, "warm", both, {"*": 8000}, 1, "one core", both_goals, ROUNDS),
            *compare("C, warm, 8 threads", at, "warm", both, {"*": 16000}, 8, "free", threads, ROUNDS),
            *compare(
                "C, warm, 64 threads", at, "warm", both, {"*": 16000}, 64, "free", dict.fromkeys(threads, ""), ROUNDS
            ),
            *compare("C, cold", at, "cold", both, {"*": 800}, 1, "apart", cold, ROUNDS),
            *compare("C, cold", at, "cold", both, {"*": 800}, 1, "one core", cold, ROUNDS),
            *compare("C, cold, resumed", at, "resumed", both, {"*": 800}, 1, "apart", dict.fromkeys(cold, ""), ROUNDS),
            *compare(
                "by the baseline, warm",
                at,
                "warm",
                baseline,
                {"*": 8000},
                1,
                "apart",
                {"cpu": "≤ 1.3", "latency": ""},
                ROUNDS,
            ),
            *compare("by the baseline, warm", at, "warm", baseline, {"*": 8000}, 1, "one core", {"cpu": "≤ 1.3"}, ROUNDS),
        ]
        calls = {"*": 800, "cmauth": 8000}
        rounds = max(2, ROUNDS // 2)
        one_thread, eight = {"cpu": "≤ 0.08", "latency": ""}, {"rate": "≥ 30", "cpu": ""}
        in_python = [
            *compare("Python, warm", at, "warm", PYTHON_PEERS, calls, 1, "apart", one_thread, rounds),
            *compare("Python, warm", at, "warm", PYTHON_PEERS, calls, 1, "one core", one_thread, rounds),
            *compare("Python, warm, 8 threads", at, "warm", PYTHON_PEERS, calls, 8, "free", eight, rounds),
        ]
        print("\n| what | goal | measured |\n|---|---|---|", flush=True)
        lines = singles(at) + growth(at)
    plot("libcmauth by the best peer: C (less is better, but for rates)", in_c, OUT / "c.svg")
    plot("cmauth by the best Python peer", [r for r in in_python if "rate" not in r.what], OUT / "python.svg")
    results = {"ratios": [vars(ratio) for ratio in in_c + in_python], "singles": lines}
    (OUT / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nbench: {OUT}/results.json, c.svg, python.svg")


main()
