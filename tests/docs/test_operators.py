"""The table of operators in docs/integers.md is what their docstrings say today."""

from __future__ import annotations

import runpy
from pathlib import Path

from qgait.export.operators import OPERATORS

ROOT = Path(__file__).parents[2]


def test_the_table_is_what_the_classes_say() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "describe_operators.py"))
    page = (ROOT / "docs" / "integers.md").read_text(encoding="utf-8")
    assert tool["described"](page) == page, "run: python tools/describe_operators.py"
    table = page.split(tool["FIRST"])[1].split(tool["LAST"])[0]
    assert [f"`{kind.__name__}`" for kind in OPERATORS] == [
        line.split(" | ")[0][2:] for line in table.split("\n")[3:-1]
    ]
    assert all(len(kind.__doc__ or "") > 40 for kind in OPERATORS)
