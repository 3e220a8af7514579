"""The charts of a report as inline SVG: text in the drawing, shapes beside colours, no scripts.

Colours and fonts come from the page's style sheet by class, since the page's security policy
forbids style attributes. Every chart is 400 units wide, so that it can be read on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from theobot.bench.comparison import Comparison, Verdict
from theobot.bench.report.blocks import safe
from theobot.bench.report.words import (
    counts_words,
    group_name,
    interval_words,
    points,
    verdict_words,
)

WIDTH = 400
_LEFT, _RIGHT = 14, WIDTH - 14
_TOP = 34
_ROW = 60
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
_CHARACTER = 7.2
"""Rough width of a character of a label; long names are shortened by it."""


class Scale(NamedTuple):
    """A linear axis from `low` to `high`, drawn between the chart's edges."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Place of a value; what lies outside stays at the edge."""
        inside = min(max(value, self.low), self.high)
        return _LEFT + (inside - self.low) / (self.high - self.low) * (_RIGHT - _LEFT)


def difference_scale(comparisons: Sequence[Comparison]) -> Scale:
    """One axis for all these differences, with zero and the margins on it."""
    values = [0.0]
    for one in comparisons:
        values += [one.difference.low, one.difference.high, one.difference.mean, -one.margin]
    finite = [min(max(value, -1.0), 1.0) for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    pad = max(0.02, 0.08 * (high - low))
    return Scale(low - pad, high + pad)


def interval_chart(
    key: str,
    title: str,
    comparisons: Sequence[Comparison],
    *,
    scale: Scale | None = None,
    labels: bool = True,
) -> str:
    """Differences with their intervals, a line at zero and a dashed one at the agreed margin.

    The thin line is the 95 % interval, the thick part the 90 % one, which is held against the
    margin. Bounds that are not known run to the edges.

    Args:
        key: unique in the page.
        title: what is drawn.
        comparisons: one row each.
        scale: shared with other charts; by default what these need.
        labels: name and numbers above each row.
    """
    scale = scale or difference_scale(comparisons)
    row = _ROW if labels else 30
    bottom = _TOP + row * len(comparisons)
    parts = [_axis(scale, _TOP - 4, bottom, difference=True), *_captions(scale, comparisons)]
    for place, one in enumerate(comparisons):
        y = _TOP + row * (place + 1) - 13
        if labels:
            value = f"{points(one.difference.mean)} ({interval_words(one.difference)})"
            parts.append(_labels(y, one, value))
        parts.append(_interval(scale, one, y))
    description = " ".join(
        f"{group_name(one.name)}: {points(one.difference.mean)} points, "
        f"{interval_words(one.difference)}. {verdict_words(one)}."
        for one in comparisons
    )
    return _svg(key, title, description, bottom + 36, parts)


def dumbbell_chart(
    key: str, title: str, comparisons: Sequence[Comparison], arms: tuple[str, str]
) -> str:
    """Mean marks of both arms, joined by a line: a ring is the base, a diamond Theobot.

    Args:
        key: unique in the page.
        title: what is drawn.
        comparisons: one row each.
        arms: what the two are called.
    """
    bottom = _TOP + _ROW * len(comparisons)
    scale = Scale(-0.02, 1.02)
    parts = [_axis(scale, _TOP - 4, bottom, difference=False), _legend(arms)]
    for place, one in enumerate(comparisons):
        y = _TOP + _ROW * (place + 1) - 13
        first, second = points(one.base, signed=False), points(one.theobot, signed=False)
        parts.append(_labels(y, one, f"{first} → {second}"))
        if math.isfinite(one.base) and math.isfinite(one.theobot):
            kind = _kind(one.theobot - one.base)
            a, b = scale.x(one.base), scale.x(one.theobot)
            parts.append(f'<line class="join {kind}" x1="{a:.1f}" y1="{y}" x2="{b:.1f}" y2="{y}"/>')
            parts += [_ring(a, y), _diamond(b, y, kind)]
    description = " ".join(
        f"{group_name(one.name)}: {arms[0]} {points(one.base, signed=False)}, "
        f"{arms[1]} {points(one.theobot, signed=False)} of 100 marks."
        for one in comparisons
    )
    return _svg(key, title, description, bottom + 36, parts)


def counts_chart(key: str, title: str, comparisons: Sequence[Comparison]) -> str:
    """How many questions were better, equal and worse: a bar each, hatched where worse.

    Args:
        key: unique in the page.
        title: what is drawn.
        comparisons: one bar each.
    """
    hatch = f"{key}-hatch"
    parts = [
        f'<defs><pattern id="{hatch}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect class="worse" width="6" height="6"/>'
        '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
    ]
    for place, one in enumerate(comparisons):
        y = 18 + 56 * place
        numbers = f"▲ {one.better} · = {one.equal} · ▼ {one.worse}"
        parts.append(_text(_LEFT, y, group_name(one.name), "label", "start"))
        parts.append(_text(_RIGHT, y, numbers, "value", "end"))
        parts.append(_bar(one, y + 9, hatch))
    description = " ".join(f"{group_name(one.name)}. {counts_words(one)}" for one in comparisons)
    return _svg(key, title, description, 56 * len(comparisons) + 2, parts)


def quantile_strip(key: str, title: str, quantiles: Mapping[str, float]) -> str:
    """Quantiles of a divergence on a logarithmic axis; zero stands at the left edge.

    Args:
        key: unique in the page.
        title: what is drawn.
        quantiles: name and value, none below zero.
    """
    found = [(name, float(value)) for name, value in quantiles.items() if _drawable(value)]
    found.sort(key=lambda entry: entry[1])
    positive = [value for _, value in found if value > 0]
    low = math.floor(math.log10(min(positive, default=1e-3)))
    high = max(math.ceil(math.log10(max(positive, default=1.0))), low + 1)
    scale = Scale(float(low), float(high))
    rows, baseline = len(found), 24 + 20 * len(found)
    parts = [f'<line class="axis" x1="{_LEFT}" y1="{baseline}" x2="{_RIGHT}" y2="{baseline}"/>']
    for power in range(low, high + 1, max(1, (high - low + 4) // 5)):
        x = scale.x(power)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{baseline}"/>')
        parts.append(_text(x, baseline + 16, f"{10.0**power:g}", "tick", _anchor(x)))
    for place, (name, value) in enumerate(found):
        x = scale.x(math.log10(value) if value > 0 else low)
        y = 20 + 20 * (rows - 1 - place)
        side = -8 if x > WIDTH / 2 else 8
        parts.append(f'<line class="stem" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{baseline}"/>')
        parts.append(_ring(x, y))
        anchor = "end" if side < 0 else "start"
        parts.append(_text(x + side, y + 4, f"{name} {value:.2g}", "label", anchor))
    parts.append(_text(WIDTH / 2, baseline + 33, "nats per token, logarithmic", "tick", "middle"))
    description = ", ".join(f"{name}: {value:.3g}" for name, value in found) + " nats per token."
    return _svg(key, title, description, baseline + 42, parts)


def _svg(key: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{safe(title)}</title>'
        f'<desc id="{key}-desc">{safe(description)}</desc>{"".join(parts)}</svg>'
    )


def _axis(scale: Scale, top: float, bottom: float, *, difference: bool) -> str:
    """Ticks with numbers below, and what the numbers are."""
    span = scale.high - scale.low
    step = next((step for step in _STEPS if span / step <= 6), 0.5)
    parts = []
    for number in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1):
        value = number * step
        x = scale.x(value)
        words = f"{100 * value:+.0f}" if difference and number else f"{100 * value:.0f}"
        kind = "zero" if difference and not number else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 14, words.replace("-", "−"), "tick", _anchor(x)))
    unit = "difference in points of 100 marks" if difference else "marks earned of 100"
    parts.append(_text(WIDTH / 2, bottom + 30, unit, "tick", "middle"))
    return "".join(parts)


def _captions(scale: Scale, comparisons: Sequence[Comparison]) -> list[str]:
    """What the dashed and the full line mean, each on its own line so that they never collide."""
    zero = scale.x(0.0)
    side, anchor = (5, "start") if zero < WIDTH / 2 else (-5, "end")
    parts = [_text(zero + side, 25, "no change", "caption", anchor)]
    margins = {one.margin for one in comparisons if math.isfinite(one.margin)}
    if len(margins) == 1:
        margin = margins.pop()
        x = scale.x(-margin)
        side, anchor = (5, "start") if x < WIDTH / 2 else (-5, "end")
        words = f"agreed margin {points(-margin)}"
        parts.append(_text(x + side, 11, words, "caption", anchor))
    elif margins:
        parts.append(_text(WIDTH / 2, 11, "dashed: agreed margin", "caption", "middle"))
    return parts


def _interval(scale: Scale, one: Comparison, y: float) -> str:
    kind = _verdict_kind(one.verdict)
    a, b = scale.x(one.difference.low), scale.x(one.difference.high)
    parts = []
    if math.isfinite(one.margin):
        x = scale.x(-one.margin)
        parts.append(
            f'<line class="margin" x1="{x:.1f}" y1="{y - 14}" x2="{x:.1f}" y2="{y + 11}"/>'
        )
    parts.append(f'<line class="wide {kind}" x1="{a:.1f}" y1="{y}" x2="{b:.1f}" y2="{y}"/>')
    for x, bound in ((a, one.difference.low), (b, one.difference.high)):
        if math.isfinite(bound):
            parts.append(
                f'<line class="wide {kind}" x1="{x:.1f}" y1="{y - 5}" x2="{x:.1f}" y2="{y + 5}"/>'
            )
    if math.isfinite(one.low90) and math.isfinite(one.high90):
        c, d = scale.x(one.low90), scale.x(one.high90)
        parts.append(f'<line class="narrow {kind}" x1="{c:.1f}" y1="{y}" x2="{d:.1f}" y2="{y}"/>')
    if math.isfinite(one.difference.mean):
        parts.append(_diamond(scale.x(one.difference.mean), y, kind))
    return "".join(parts)


def _bar(one: Comparison, y: float, hatch: str) -> str:
    """A bar of three parts with the numbers in those that are wide enough."""
    parts, x = [], float(_LEFT)
    for number, kind, symbol in (
        (one.better, "better", "▲"),
        (one.equal, "equal", "="),
        (one.worse, "worse", "▼"),
    ):
        width = (_RIGHT - _LEFT) * number / max(one.n, 1)
        if not number:
            continue
        fill = f'fill="url(#{hatch})"' if kind == "worse" else f'class="{kind}"'
        parts.append(
            f'<rect {fill} x="{x:.1f}" y="{y}" width="{max(width - 2, 1):.1f}" height="22" rx="3"/>'
        )
        if width > 44 and kind != "worse":
            middle = x + width / 2
            parts.append(_text(middle, y + 15.5, f"{symbol} {number}", f"on-{kind}", "middle"))
        x += width
    return "".join(parts)


def _legend(arms: tuple[str, str]) -> str:
    first, second = _shortened(arms[0], 22), _shortened(arms[1], 22)
    place = _LEFT + 30 + len(first) * _CHARACTER
    return (
        _ring(_LEFT + 5, 13)
        + _text(_LEFT + 16, 17, first, "caption", "start")
        + _diamond(place, 13, "open")
        + _text(place + 11, 17, second, "caption", "start")
    )


def _labels(y: float, one: Comparison, value: str) -> str:
    """Two lines above a row: its name, then its number of questions and what was found."""
    name = _shortened(group_name(one.name), int((_RIGHT - _LEFT) / _CHARACTER))
    return (
        _text(_LEFT, y - 30, name, "label", "start")
        + _text(_LEFT, y - 14, f"n = {one.n}", "tick", "start")
        + _text(_RIGHT, y - 14, value, "value", "end")
    )


def _text(x: float, y: float, words: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{safe(words)}</text>'


def _ring(x: float, y: float) -> str:
    return f'<circle class="ring" cx="{x:.1f}" cy="{y}" r="5"/>'


def _diamond(x: float, y: float, kind: str) -> str:
    return f'<path class="mark {kind}" d="M{x:.1f} {y - 6.5}l6.5 6.5-6.5 6.5-6.5-6.5z"/>'


def _kind(change: float) -> str:
    return "better" if change > 0 else "worse" if change < 0 else "open"


def _verdict_kind(verdict: Verdict) -> str:
    if verdict is Verdict.BETTER:
        return "better"
    return "worse" if verdict in (Verdict.WORSE, Verdict.SLIGHTLY_WORSE) else "open"


def _anchor(x: float) -> str:
    if x < _LEFT + 12:
        return "start"
    return "end" if x > _RIGHT - 12 else "middle"


def _drawable(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else name[: max(most - 1, 1)].rstrip(" ,") + "…"
