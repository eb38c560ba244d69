"""Amounts of memory: how people give them, and how tables show them. k is always 1024 bytes and M 1024 k."""

from __future__ import annotations

import re

from qgait.errors import QgaitError

KIB, MIB = 1 << 10, 1 << 20


def amount(text: str) -> int:
    """Bytes of "4M" (4 MiB), "512k" (512 KiB) or "65536"; QgaitError when it is none of these."""
    match = re.fullmatch(r"(\d+)([km]?)", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise QgaitError(f"{text} is no amount of memory.", "give bytes, or 512k, or 4M.")
    return int(match[1]) * {"": 1, "k": KIB, "m": MIB}[match[2]]


def kib(size: float) -> str:
    """``size`` bytes for a table: "1,234 KiB"."""
    return f"{size / KIB:,.0f} KiB"


def share(needed: int, there: int | None) -> str:
    """For a table, both in bytes: "1,234 KiB of 5,632 KiB", or the first alone."""
    return kib(needed) if there is None else f"{kib(needed)} of {kib(there)}"
