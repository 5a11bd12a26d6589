"""The report of the benchmark: rows of its tables, plots and results.json."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Ratio:
    """The figure of libcmauth divided by that of the best peer: one value for each round."""

    what: str
    goal: str
    values: list[float]
    ours: float
    theirs: float
    unit: str
    peer: str

    def row(self) -> str:
        middle, least, most = statistics.median(self.values), min(self.values), max(self.values)
        return (
            f"| {self.what} | {self.goal} | **{middle:.2f}** | {least:.2f} to {most:.2f} "
            f"| {self.ours:.4g} {self.unit} | {self.theirs:.4g} {self.unit} ({self.peer}) |"
        )


def print_header(*columns: str) -> None:
    print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)


def print_row(what: str, goal: str, value: str) -> str:
    row = f"| {what} | {goal} | {value} |"
    print(row, flush=True)
    return row


def plot(title: str, ratios: list[Ratio], file: Path) -> None:
    """Draws each ratio as a bar up to its median, with a line from its least to its most. 1 is the best peer."""
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


def write(ratios: list[Ratio], rows: list[str], file: Path) -> None:
    results = {"ratios": [vars(ratio) for ratio in ratios], "singles": rows}
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
