"""What the benchmark measures, with its goals."""

from __future__ import annotations

import statistics
from functools import partial

import servers
from measuring import Bench, Peer, Result, instructions, placed, run
from report import Ratio, print_row
from servers import Server

UNITS = {"cpu": "µs", "latency": "µs", "rate": "/s"}


def figure(result: Result, name: str) -> float:
    if name == "cpu":
        return result["cpu"] / result["calls"] * 1e6
    if name == "latency":
        return result["latency"] * 1e6
    return result["calls"] / result["wall"]


def compare(
    bench: Bench,
    server: Server,
    peers: dict[str, Peer],
    title: str,
    kind: str,
    calls: int | dict[str, int],
    threads: int,
    where: str,
    goals: dict[str, str],
    *,
    rounds: int | None = None,
) -> list[Ratio]:
    """Runs the peers in turn. Returns the ratio of the first peer to the best of the others, for each of `goals`.

    calls: how many calls each peer makes; "*" stands for the peers that are not named.
    """
    amounts = calls if isinstance(calls, dict) else {"*": calls}
    results: dict[str, list[Result]] = {name: [] for name in peers}
    with placed(server, where):
        for turn in range(rounds or bench.rounds):
            # The order changes in each round, so that no peer always runs after the same one.
            names = list(peers)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                amount = max(threads, bench.scaled(amounts.get(name, amounts["*"])))
                results[name].append(peers[name](server, kind, amount, threads))
    ours, *others = peers
    ratios = []
    for what, goal in goals.items():
        better = max if what == "rate" else min
        medians = {name: statistics.median(figure(result, what) for result in results[name]) for name in peers}
        best = better(others, key=medians.__getitem__)
        values = [figure(a, what) / figure(b, what) for a, b in zip(results[ours], results[best])]
        place = "" if where == "free" else f", {where}"
        label = f"{title}{place}: {what}"
        ratios.append(Ratio(label, goal, values, medians[ours], medians[best], UNITS[what], best))
        print(ratios[-1].row(), flush=True)
    return ratios


def compare_in_c(bench: Bench, server: Server) -> list[Ratio]:
    peers = bench.peers_in_c()
    libcurl = partial(compare, bench, server, {name: peers[name] for name in ("libcmauth", "libcurl + cJSON")})
    baseline = partial(compare, bench, server, {name: peers[name] for name in ("libcmauth", "bare TLS stream")})
    warm = {"cpu": "≤ 0.65", "latency": "≤ 0.80"}
    cold = {"cpu": "≤ 0.35", "latency": "≤ 0.55"}
    threads = {"rate": "≥ 1.4", "cpu": "≤ 0.60"}
    return [
        *libcurl("C, warm", "warm", 8000, 1, "apart", warm),
        *libcurl("C, warm", "warm", 8000, 1, "one core", warm),
        *libcurl("C, warm, 8 threads", "warm", 16000, 8, "free", threads),
        *libcurl("C, warm, 64 threads", "warm", 16000, 64, "free", dict.fromkeys(threads, "")),
        *libcurl("C, cold", "cold", 800, 1, "apart", cold),
        *libcurl("C, cold", "cold", 800, 1, "one core", cold),
        *libcurl("C, cold, resumed", "resumed", 800, 1, "apart", dict.fromkeys(cold, "")),
        *baseline("relative to the baseline, warm", "warm", 8000, 1, "apart", {"cpu": "≤ 1.3", "latency": ""}),
        *baseline("relative to the baseline, warm", "warm", 8000, 1, "one core", {"cpu": "≤ 1.3"}),
    ]


def compare_in_python(bench: Bench, server: Server) -> list[Ratio]:
    peers = partial(compare, bench, server, bench.peers_in_python(), rounds=max(2, bench.rounds // 2))
    calls = {"*": 800, "cmauth": 8000}
    one_thread, eight = {"cpu": "≤ 0.08", "latency": ""}, {"rate": "≥ 30", "cpu": ""}
    return [
        *peers("Python, warm", "warm", calls, 1, "apart", one_thread),
        *peers("Python, warm", "warm", calls, 1, "one core", one_thread),
        *peers("Python, warm, 8 threads", "warm", calls, 8, "free", eight),
    ]


def measure_library(bench: Bench, server: Server) -> list[str]:
    """Figures that need one run each. Returns the rows of the table."""
    return [
        *_instructions(bench, server),
        *_session(bench),
        *_loading(bench, server),
        *_round_trips(bench, server),
        *_packages(bench),
    ]


def _instructions(bench: Bench, server: Server) -> list[str]:
    count = partial(instructions, few=20, many=220)
    url, ca_file = server.url("warm"), server.ca_file
    cmauth, curl = (count(bench.program(name), url, ca_file, "CALLS", 1) for name in ("cmauth", "curl"))
    baseline = count(bench.program("baseline"), f"localhost:{server.ports['warm']}", ca_file, "CALLS")
    value = f"**{cmauth / curl:.2f}** ({cmauth:,.0f} to {curl:,.0f})"
    return [
        print_row("C, warm: instructions, relative to libcurl", "≤ 0.45", value),
        print_row(
            "C, warm: instructions, relative to the baseline", "", f"{cmauth / baseline:.2f} (to {baseline:,.0f})"
        ),
    ]


def _session(bench: Bench) -> list[str]:
    calls, sessions = bench.scaled(2_000_000), bench.scaled(10_000)
    alone, eight = (bench.run_program("session", "fast", calls // n, n) for n in (1, 8))
    path = instructions(bench.program("session"), "fast", "CALLS", 1, few=1000, many=101_000)
    each = bench.run_program("session", "many", sessions)["bytes_each"]
    return [
        print_row("session fast path, 1 thread", "≤ 100 ns", f"{alone['ns']:.0f} ns"),
        print_row(
            "session fast path, 8 threads",
            "no more CPU a call",
            f"{eight['cpu_ns']:.0f} ns CPU; 1 thread {alone['cpu_ns']:.0f} ns",
        ),
        print_row("session fast path: instructions", "", f"{path:.0f}"),
        print_row(f"memory of each of {sessions:,} sessions", "", f"{each:,.0f} bytes"),
    ]


def _loading(bench: Bench, server: Server) -> list[str]:
    url, ca_file = server.url("warm"), server.ca_file
    symbols = run("nm", "-D", "--defined-only", bench.library).count("\n")
    opened = statistics.median(float(run(bench.program("dlopen"), bench.library)) for _ in range(15)) * 1e3
    starts = [bench.run_program("cmauth", url, ca_file, 1, 1) for _ in range(9)]
    client = statistics.median(start["open"] for start in starts) * 1e3
    trusting_system = statistics.median(bench.first_client_ms() for _ in range(9))
    memory = statistics.median(start["private_kb"] for start in starts) / 1024
    curl = statistics.median(bench.run_program("curl", url, ca_file, 1, 1)["private_kb"] for _ in range(5)) / 1024
    return [
        print_row("libcmauth.so, stripped", "≤ 2.2 MB", f"{bench.library.stat().st_size:,} bytes"),
        print_row("exported symbols", "", f"{symbols}"),
        print_row("dlopen", "< 1 ms", f"{opened:.2f} ms"),
        print_row("a client, with a CA file", "", f"{client:.2f} ms"),
        print_row("a client, with the system's certificates", "< 10 ms", f"{trusting_system:.2f} ms"),
        print_row(
            "private memory of a process after its first call", "≤ 4 MB", f"{memory:.2f} MB (libcurl: {curl:.2f} MB)"
        ),
    ]


def _round_trips(bench: Bench, server: Server) -> list[str]:
    rows = []
    for kind, goal in (("warm", 1), ("cold", 3)):
        with servers.delayed(server.ports[kind], 0.05) as port:
            result = bench.run_program("cmauth", f"https://localhost:{port}", server.ca_file, 6, 1)
        trips = result["latency"] / 0.1
        rows.append(print_row(f"round trips of a {kind} call, at 50 ms each way", f"{goal}", f"{trips:.2f}"))
    return rows


def _packages(bench: Bench) -> list[str]:
    imports = {
        "cmauth": "import cmauth",
        "requests-oauthlib": "import requests_oauthlib",
        "Authlib on requests": "import authlib.integrations.requests_client",
        "Authlib on httpx": "import authlib.integrations.httpx_client",
        "httpx": "import httpx",
    }
    packages = {
        "cmauth": ["cmauth"],
        "requests-oauthlib": ["requests-oauthlib"],
        "Authlib and httpx": ["authlib", "httpx"],
    }
    times = ", ".join(f"{name} {bench.import_ms(statement):.0f} ms" for name, statement in imports.items())
    sizes = ", ".join(f"{name} {bench.size_of_packages(*names) / 1e6:.1f} MB" for name, names in packages.items())
    return [
        print_row("import", "", times),
        print_row("pip install, with dependencies", "", sizes),
    ]


def measure_growth(bench: Bench, server: Server) -> list[str]:
    """Whether the cost of a call and the memory stay the same after many calls. Returns the rows of the table."""
    url, ca_file = server.url("warm"), server.ca_file
    short, long, calls = bench.scaled(2_000), bench.scaled(100_000), bench.scaled(1_000_000)
    with placed(server, "one core"):
        few, many = (figure(bench.run_program("cmauth", url, ca_file, n, 1), "cpu") for n in (short, long))
    result = bench.run_program("cmauth", url, ca_file, calls, 2)
    # The program itself keeps the time of each call, 4 bytes, which is most of its memory.
    end = result["private_kb_end"] - calls * 4 / 1024
    value = f"{result['private_kb'] / 1024:.2f} MB after 1, {end / 1024:.2f} MB after {calls:,}"
    return [
        print_row(f"CPU of a call, {long:,} calls relative to {short:,}", "flat", f"{many / few:.2f}"),
        print_row("private memory", "flat", value),
    ]
