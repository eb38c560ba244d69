"""Writes the table of operators in docs/integers.md, between its two markers, from the docstrings of their classes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from qgait.export.operators import OPERATORS, Op

PAGE = Path(__file__).parents[1] / "docs" / "integers.md"
FIRST = "<!-- operators: written by `python tools/describe_operators.py` -->"
LAST = "<!-- end of operators -->"


def table() -> str:
    """Markdown, a row for every operator of the closed set in its order."""
    lines = ["| operator | what it computes | its arrays and codes |", "|---|---|---|"]
    return "\n".join(lines + [row(kind) for kind in OPERATORS])


def row(kind: type[Op]) -> str:
    """The first paragraph of the docstring, then all others."""
    first, *others = (" ".join(text.split()) for text in (inspect.getdoc(kind) or "").split("\n\n"))
    cells = (f"`{kind.__name__}`", first, " ".join(others))
    return "| " + " | ".join(map(_markdown, cells)) + " |"


def _markdown(text: str) -> str:
    """Powers as the page writes them: two asterisks would be bold."""
    return re.sub(r" ?\*\* ?", "^", text.replace("``", "`")).replace("|", r"\|")


def described(page: str) -> str:
    """``page`` with today's table between the markers."""
    before, rest = page.split(FIRST)
    _, after = rest.split(LAST)
    return f"{before}{FIRST}\n{table()}\n{LAST}{after}"


if __name__ == "__main__":
    PAGE.write_text(described(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
