"""The figure of ``gradient_diagnostics.py`` as SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, TOP = 230, 180, 52, 26  # of one panel, and the room for its axis and title
LEGEND = 100  # the room beside a panel
COLOURS = ("#444444", "#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d", "#1f78b4", "#b15928")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """Points joined by a line, dashed where it is an expectation or the start."""

    label: str
    points: Points
    colour: str
    dashed: bool = False


def draw(result: dict[str, Any]) -> str:
    """The SVG for what ``gradient_diagnostics.py`` writes as JSON."""
    runs = result["runs"]
    by_k = {run["k"]: COLOURS[i % len(COLOURS)] for i, run in enumerate(runs)}
    rows = [_progress(runs, by_k), _norms(runs), _histograms(result, by_k), _depth(result["level_gradients"], by_k)]
    across = max(len(row) for row in rows)
    parts = []
    for y, row in enumerate(rows):
        for x, panel in enumerate(row):
            parts.append(
                f'<g transform="translate({x * (LEFT + WIDTH + LEGEND)},{40 + y * (HEIGHT + 70)})">{panel}</g>'
            )
    people, clips, frames = result["batch"]
    title = (
        f"{result['model']} at {result['bits']} from {result['start']} on {result['data']}: "
        f"{people} x {clips} clips of {frames} frames, SGD {result['learning_rate']}, seed {result['seed']}"
    )
    width, height = across * (LEFT + WIDTH + LEGEND) + 20, 40 + len(rows) * (HEIGHT + 70)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="12" y="22" font-size="14">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )


def _progress(runs: list[dict[str, Any]], by_k: dict[float, str]) -> list[str]:
    def lines(key: str, smooth: int) -> list[Line]:
        return [Line(f"k = {r['k']:g}", _smooth(r[key], smooth), by_k[r["k"]]) for r in runs]

    span = max(len(runs[0]["loss"]) // 20, 1)
    losses = [y for line in lines("loss", span) for _, y in line.points]
    return [
        _panel("triplet loss", "iteration", lines("loss", span), False, (min(losses), max(losses))),
        _panel("share of triplets that are active", "iteration", lines("active", span), False),
        _panel("share of weights whose integer changed", "iteration", lines("moved", 1), False),
    ]


def _norms(runs: list[dict[str, Any]]) -> list[str]:
    panels = []
    values = [v for run in runs for norms in run["norms"].values() for v in norms if v > 0]
    ends = (min(values), max(values))
    for run in runs:
        span = max(len(run["loss"]) // 20, 1)
        lines = [
            Line(name, [(x, y) for x, y in _smooth(norms, span) if y > 0], COLOURS[i % len(COLOURS)])
            for i, (name, norms) in enumerate(run["norms"].items())
        ]
        panels.append(_panel(f"gradient norm by layer, k = {run['k']:g}", "iteration", lines, True, ends))
    return panels


def _histograms(result: dict[str, Any], by_k: dict[float, str]) -> list[str]:
    panels = []
    for kind in ("weights", "activations"):
        lines = [Line("all at the start", _steps(result["before"][kind]), "#999999", True)]
        lines += [Line(f"k = {r['k']:g} at the end", _steps(r["end"][kind]), by_k[r["k"]]) for r in result["runs"]]
        panels.append(_panel(f"density of {kind} by distance to the grid", "|u - round(u)|", lines, False))
    return panels


def _depth(rows: list[dict[str, Any]], by_k: dict[float, str]) -> list[str]:
    trunk = [r for r in rows if not r["layer"].startswith("gl_")]  # a second branch would give two values for one depth

    def lines(key: str, dashed: bool = False) -> list[Line]:
        return [
            Line(
                "" if dashed else f"k = {k:g}", [(r["roundings"], r[key]) for r in trunk if r["k"] == k], colour, dashed
            )
            for k, colour in by_k.items()
        ]

    below = "roundings passed (dashed: one way alone)"
    return [
        _panel(f"{title} over k = 0", below, lines(key) + lines(f"expected_{key}", True), True)
        for key, title in (("geometric_mean", "geometric mean gradient"), ("root_mean_square", "root mean square"))
    ] + [_panel("cosine with the gradient of k = 0", "roundings passed", lines("cosine"), False)]


def _smooth(values: Sequence[float], span: int) -> list[tuple[float, float]]:
    return [(i + span / 2, sum(values[i : i + span]) / span) for i in range(0, len(values) - span + 1, span)]


def _steps(density: Sequence[float]) -> list[tuple[float, float]]:
    width = 0.5 / len(density)
    return [(x, d) for i, d in enumerate(density) for x in (i * width, (i + 1) * width)]


def _panel(
    title: str, below: str, lines: list[Line], logarithmic: bool, ends: tuple[float, float] | None = None
) -> str:
    xs = [x for line in lines for x, _ in line.points] or [0.0]
    ys = [y for line in lines for _, y in line.points] or [1.0]
    low, high = ends or (min(ys), max(ys))
    if ends is None and not logarithmic:
        low = min(low, 0.0)
    scale = math.log10 if logarithmic else float
    bottom, top = scale(low), scale(high)
    top += 1e-9 + 0.04 * (top - bottom)

    def place(x: float, y: float) -> str:
        across = (x - min(xs)) / ((max(xs) - min(xs)) or 1)
        return f"{LEFT + across * WIDTH:.1f},{TOP + (1 - (scale(y) - bottom) / (top - bottom)) * HEIGHT:.1f}"

    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>',
        f'<text x="{LEFT}" y="{TOP - 8}" font-size="12">{escape(title)}</text>',
        f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 28}" text-anchor="middle">{escape(below)}</text>',
    ]
    for value in (min(xs), max(xs)):
        x = place(value, low).split(",")[0]
        parts.append(f'<text x="{x}" y="{TOP + HEIGHT + 14}" text-anchor="middle">{value:g}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        value = bottom + share * (top - bottom)
        y = TOP + (1 - share) * HEIGHT
        label = f"{10**value:.1e}" if logarithmic else f"{value:.3g}"
        parts.append(f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end" font-size="9">{label}</text>')
        parts.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="#eee"/>')
    for i, line in enumerate(lines):
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        points = " ".join(place(x, y) for x, y in line.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="1.5"{dash}/>')
        y = TOP + 12 + 11 * i
        parts.append(
            f'<text x="{LEFT + WIDTH + 5}" y="{y}" font-size="9" fill="{line.colour}">{escape(line.label)}</text>'
        )
    return "".join(parts)
