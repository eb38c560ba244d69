"""The page: one HTML file that needs nothing else, neither network nor scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qgait.files import replace_file
from qgait.report import edges

FOLDER = Path(__file__).parent
ROWS = (("wide", 58, 12), ("narrow", 92, 12))  # class, height of a box's row and of the gap in it, in pixels
NOTHING = "–"
KNOWN = {"nm": "normal walking", "bg": "with a bag", "cl": "in a coat"}


def render(facts: Mapping[str, Any], path: Path) -> None:
    """Writes the report of ``facts`` (see ``qgait.report.report``) to ``path`` in one move."""
    replace_file(path, html(facts).encode(errors="backslashreplace"))  # names of files may not be UTF-8


def html(facts: Mapping[str, Any]) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cost": cost,
        "count": count,
        "size": size,
        "real": real,
        "speed": speed,
        "signed": signed,
        "plain": plain,
        "percent": percent,
        "sentence_list": sentence_list,
    }
    conditions: dict[str, list[Any]] = {}
    for strip in facts["silhouettes"]:
        conditions.setdefault(strip["condition"], []).append(strip)
    levels: dict[str, list[Any]] = {}
    for row in facts["table"]:
        levels.setdefault(row["level"], []).append(row)
    known = [(name, KNOWN[name]) for name in conditions if name in KNOWN]
    best = max((row["sqnr_db"] or 0 for row in facts["errors"]), default=0)
    return environment.get_template("template.html").render(
        **facts,
        **_drawing(facts["network"]),
        heading=heading(facts["verdict"]),
        conditions=conditions,
        legend=sentence_list([f"{what} ({name})" for name, what in known]) if known else "",
        levels=levels,
        decibels=max(10 * math.ceil(best / 10), 10),
    )


def _drawing(network: Mapping[str, Any]) -> dict[str, Any]:
    """Where the boxes stand: the silhouette in row 0, then the layers of a frame, the cut, the layers of a clip."""
    boxes = network["boxes"]
    frame = sum(1 for box in boxes if box["per_frame"])
    cut = frame + 1
    rows = [i + 1 if i < frame else i + 2 for i in range(len(boxes))]
    routed = edges.route([box["inputs"] for box in boxes], rows, cut)
    gutters = [
        [(name, edges.svg(routed, row, height, gap)) for name, height, gap in ROWS] for row in range(len(boxes) + 2)
    ]
    return {
        "frame_boxes": boxes[:frame],
        "clip_boxes": boxes[frame:],
        "gutters": gutters,
        "gutter_width": edges.width(routed),
        "row_heights": ROWS,
    }


def heading(verdict: Mapping[str, Any]) -> str:
    """The result in one line: it claims no place that took no part."""
    return f"max |int difference| = {verdict['max_difference']}, from PyTorch to {verdict['places'][-1]}."


def cost(value: float | None, unit: str | None) -> str:
    """Milliseconds or executed instructions of a kernel."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if unit == "instructions" else f"{1000 * value:,.2f} µs"


def count(value: int | None) -> str:
    """1234567 as 1,234,567, with thin spaces that do not break."""
    return NOTHING if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """Bytes as KiB or MiB."""
    if value is None:
        return NOTHING
    return f"{value / 1024:.0f} KiB" if value < 1 << 20 else f"{value / (1 << 20):.2f} MiB"


def real(value: float | None, digits: int = 4) -> str:
    """A real number with so many significant digits."""
    if value is None:
        return NOTHING
    return f"{value:.{digits}g}" if 1e-4 <= abs(value) < 1e5 or not value else f"{value:.{digits - 1}e}"


def speed(row: Mapping[str, Any]) -> str:
    """Milliseconds or executed instructions of one frame, whichever was measured."""
    if row["frame_ms"] is not None:
        return f"{real(row['frame_ms'], 3)} ms"
    instructions = row["instructions_per_frame"]
    return NOTHING if instructions is None else f"{instructions / 1e6:.2f} M instr."


def signed(value: int) -> str:
    """An integer with a true minus sign."""
    return str(value).replace("-", "−")


def percent(value: float | None) -> str:
    """Per cent with one decimal."""
    return NOTHING if value is None else f"{value:.1f}"


def plain(value: object) -> str:
    """Nested facts as one line of text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    return real(value, 4) if isinstance(value, float) else str(value)


def sentence_list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
