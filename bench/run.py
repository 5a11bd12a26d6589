#!/usr/bin/env python3
"""Compares libcmauth with the libraries that a user would choose instead: make bench.

    bench/run.py BUILD_FOLDER OUT [--quick] [ROUNDS]

Every peer refreshes tokens at the same nginx, over TLS 1.3. The peers take turns, round after round. The result is the
ratio to the best peer of the same round: its median over the rounds, and its spread. This is not a test, because
machines differ and are noisy.

It prints tables, and writes results.json and plots into the folder OUT.

- `servers`: nginx, and a line with a long delay.
- `measuring`: builds and runs the programs, and reads what they cost.
- `cases`: what is measured, with its goals.
- `report`: tables, plots and results.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cases
import report
import servers
from measuring import Bench


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--quick"]
    quick = "--quick" in sys.argv
    rounds = int(arguments[2]) if len(arguments) > 2 else (2 if quick else 9)
    bench = Bench(Path(arguments[0]).resolve(), Path(arguments[1]).resolve(), quick, rounds)
    bench.out.mkdir(parents=True, exist_ok=True)
    bench.build_programs()
    with servers.nginx(bench.out / "nginx") as server:
        report.print_header("what", "goal", "median", "spread", "libcmauth", "best peer")
        in_c = cases.compare_in_c(bench, server)
        in_python = cases.compare_in_python(bench, server)
        report.print_header("what", "goal", "measured")
        lines = [*cases.measure_library(bench, server), *cases.measure_growth(bench, server)]
    report.plot("libcmauth relative to the best peer: C (less is better, except for rates)", in_c, bench.out / "c.svg")
    costs = [ratio for ratio in in_python if "rate" not in ratio.what]
    report.plot("cmauth relative to the best Python peer", costs, bench.out / "python.svg")
    report.write(in_c + in_python, lines, bench.out / "results.json")
    print(f"\nbench: {bench.out}/results.json, c.svg, python.svg")


if __name__ == "__main__":
    main()
