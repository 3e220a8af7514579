"""Figures of benchmarks/train.py -> a Markdown table and a plot."""

from __future__ import annotations

import statistics
import textwrap
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS, THEIRS = "#0072B2", "#999999"  # of the Okabe-Ito palette, which the colour-blind can tell
NOT_MEASURED = "not measured yet"
HEADINGS = (
    "system",
    "examples/s, median (lowest to highest)",
    "tokens/s",
    "share of the matrix-multiply rate",
    "peak memory above the weights, MiB",
    "peak memory with the weights, MiB",
    "Theobot is faster by",
)
BEGIN, END = "<!-- benchmarks/train.py: begin -->", "<!-- benchmarks/train.py: end -->"


class Figures(NamedTuple):
    """What was measured of one system.

    Attributes:
        name: for the table.
        speeds: examples per second of each round; empty if it was not measured.
        tokens: tokens of an example, on average over its rows.
        work: useful floating-point operations of an example, on average over its rows.
        peak: bytes of tensors above those of the weights.
        weights: bytes of the weights, the adapter's included.
    """

    name: str
    speeds: list[float] = []  # noqa: RUF012 - never changed
    tokens: float = 0
    work: float = 0
    peak: int = 0
    weights: int = 0

    @property
    def speed(self) -> float:
        """Examples per second in the median round."""
        return statistics.median(self.speeds)


def table(figures: list[Figures], matmul_rate: float) -> str:
    """A Markdown table; the first system is Theobot.

    Args:
        figures: the systems in the order of their rows.
        matmul_rate: the machine's, in floating-point operations per second.
    """
    lines = [HEADINGS, ("---", *["--:"] * (len(HEADINGS) - 1))]
    lines += [_cells(one, figures[0], matmul_rate) for one in figures]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(one: Figures, ours: Figures, matmul_rate: float) -> tuple[str, ...]:
    if not one.speeds:
        return (one.name, *[NOT_MEASURED] * (len(HEADINGS) - 1))
    return (
        one.name,
        f"{one.speed:.3g} ({min(one.speeds):.3g} to {max(one.speeds):.3g})",
        f"{one.speed * one.tokens:,.0f}",
        f"{one.speed * one.work / matmul_rate:.1%}",
        f"{one.peak / 2**20:,.0f}",
        f"{(one.peak + one.weights) / 2**20:,.0f}",
        "" if one is ours else f"{ours.speed / one.speed:.2f} x",
    )


def draw(figures: list[Figures], title: str, target: Path) -> None:
    """Speed and memory of the measured systems side by side, as an SVG file."""
    measured = [one for one in figures if one.speeds][::-1]
    figure = Figure(figsize=(11, 1.5 + 0.5 * len(measured)), layout="constrained")
    figure.suptitle(textwrap.fill(title, 130), fontsize=9)
    left, right = figure.subplots(1, 2, sharey=True)
    colours = [OURS if one.name.startswith("Theobot") else THEIRS for one in measured]
    speeds = [one.speed for one in measured]
    spans = [
        [one.speed - min(one.speeds) for one in measured],
        [max(one.speeds) - one.speed for one in measured],
    ]
    names = [one.name for one in measured]
    left.barh(names, speeds, color=colours, xerr=spans, ecolor="black", capsize=3)
    _label(left, [max(one.speeds) for one in measured], [f"{speed:.3g}" for speed in speeds])
    left.set(xlabel="examples per second (line: lowest to highest round)")
    peaks = [one.peak / 2**20 for one in measured]
    right.barh(names, peaks, color=colours)
    _label(right, peaks, [f"{peak:,.0f}" for peak in peaks])
    right.set(xlabel="peak memory above the weights (MiB)")
    # svg.hashsalt and no date: the same figures make the same file.
    with mpl.rc_context({"svg.hashsalt": "theobot"}):
        figure.savefig(target, format="svg", metadata={"Date": None})


def _label(axes: Axes, ends: list[float], texts: list[str]) -> None:
    for place, (end, text) in enumerate(zip(ends, texts, strict=True)):
        axes.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center")
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def put_into_page(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    whole = page.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: the lines {BEGIN!r} and {END!r} were not found.")
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
