"""The pages for those who change the code name files and rooms that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_is_there(page: str) -> None:
    named = re.findall(r"`((?:\w+/)+(?:[\w.-]+\.\w+)?)`", (ROOT / page).read_text())
    assert len(named) > 10
    folders = [ROOT, *(folder.parent for folder in (ROOT / "qgait").rglob("__init__.py")), ROOT / "qgait"]
    assert [name for name in named if not any((root / name).exists() for root in folders)] == []


def test_every_room_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`\w+/`.*?) \|", (ROOT / "docs" / "architecture.md").read_text(), re.M)
    told = {room for row in rows for room in re.findall(r"`(\w+)/`", row)}
    assert told == {folder.parent.name for folder in (ROOT / "qgait").glob("*/__init__.py")}
