#!/usr/bin/env python3
"""Simulates the refreshes of 100,000 sessions that logged in within one minute.

    scripts/simulate_refreshes.py [sessions] [picture.svg]

Each session refreshes at a random fraction of each lifetime, with the limits of src/session/policy.rs. For
comparison, the script also simulates sessions that all refresh at the same fraction. It prints the highest rates of
both, and draws them if a file name for the picture is given.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIFETIME = 43_199  # Seconds, as in the vendor's guide "OAuth login panel + refresh token".
LOGINS_WITHIN = 60
HOURS = 60
BUCKET = 60  # Refreshes are counted in intervals of this many seconds.


def constants() -> tuple[float, float]:
    """The fractions of a lifetime between which a session refreshes, from the source."""
    source = (ROOT / "src/session/policy.rs").read_text(encoding="utf-8")
    values = [re.search(rf"{name}: f64 = ([0-9.]+);", source) for name in ("REFRESH_FROM", "REFRESH_TO")]
    assert all(values), "REFRESH_FROM or REFRESH_TO is missing in src/session/policy.rs"
    first, last = (float(value[1]) for value in values if value)
    return first, last


def simulate(sessions: int, first: float, last: float) -> list[int]:
    """The number of refreshes in each minute."""
    draw = random.Random(1)
    minutes = [0] * (HOURS * 3600 // BUCKET)
    for _ in range(sessions):
        at = draw.uniform(0, LOGINS_WITHIN)
        while True:
            at += LIFETIME * draw.uniform(first, last)
            if at >= HOURS * 3600:
                break
            minutes[int(at) // BUCKET] += 1
    return minutes


def path(minutes: list[int], top: float, left: int, bottom: int, width: int, height: int) -> str:
    """The points of a line with the highest rate of every five minutes."""
    step = 5
    points = [max(minutes[i : i + step]) / BUCKET for i in range(0, len(minutes), step)]
    scaled = (
        (left + i * width / (len(points) - 1), bottom - min(rate, top) / top * height) for i, rate in enumerate(points)
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in scaled)


def picture(spread: list[int], fixed: list[int]) -> str:
    left, bottom, width, height = 70, 250, 680, 200
    parts = []
    for minutes, top, colour, y in ((fixed, 2000, "#c2410c", 0), (spread, 20, "#0f766e", 290)):
        line = path(minutes, top, left, bottom, width, height)
        what = "all at 0.85 of the lifetime" if minutes is fixed else "as libcmauth does: at random from 0.75 to 0.95"
        parts.append(f'<g transform="translate(0 {y})">')
        parts.append(
            f'<text x="{left}" y="30" class="title">{what}: at most {max(minutes) / BUCKET:.0f} a second</text>'
        )
        for i in range(5):
            at = bottom - i * height / 4
            parts.append(f'<line x1="{left}" y1="{at}" x2="{left + width}" y2="{at}" class="grid"/>')
            parts.append(f'<text x="{left - 8}" y="{at + 4}" text-anchor="end">{top * i // 4}</text>')
        for hour in range(0, HOURS + 1, 12):
            at = left + hour * width / HOURS
            parts.append(f'<text x="{at}" y="{bottom + 20}" text-anchor="middle">{hour} h</text>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/></g>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 570" role="img" '
        'aria-label="Refreshes a second at the server after 100,000 logins within one minute">\n'
        "<style>text{font:13px sans-serif;fill:#57606a}.title{font-weight:bold}.grid{stroke:#8c959f;"
        "stroke-opacity:.35}rect{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#c9d1d9}rect{fill:#0d1117}}"
        '</style>\n<rect width="780" height="570"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def main() -> None:
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    first, last = constants()
    spread, fixed = simulate(sessions, first, last), simulate(sessions, 0.85, 0.85)
    average = sessions / (LIFETIME * (first + last) / 2)
    print(f"{sessions} sessions that logged in within {LOGINS_WITHIN} s, refreshes a second at the server:")
    print(f"  evenly distributed:           {average:7.1f}")
    for name, minutes in (("all at 0.85 of the lifetime", fixed), (f"at random, {first} to {last}", spread)):
        days = [max(minutes[i : i + 720]) / BUCKET for i in range(0, len(minutes), 720)]
        shown = ", ".join(f"{rate:.1f}" for rate in days)
        print(f"  {name + ':':29} at most {shown} in each 12 h")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(picture(spread, fixed), encoding="utf-8")


if __name__ == "__main__":
    main()
