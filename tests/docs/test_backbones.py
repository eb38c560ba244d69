"""docs/backbones.md is what its script writes today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qgait.models.registry import BACKBONES

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_backbones_say() -> None:
    script = [sys.executable, str(ROOT / "tools" / "describe_backbones.py")]
    made = subprocess.run(script, check=True, capture_output=True, text=True, timeout=120).stdout
    page = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert made == page, "run: python tools/describe_backbones.py > docs/backbones.md"
    assert all(f"\n`{name}`: " in page for name in BACKBONES)
