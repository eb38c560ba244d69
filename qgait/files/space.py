"""Free space, asked for before the work that would fill it."""

from __future__ import annotations

import os
from pathlib import Path

from qgait.errors import QgaitError

MIB = 1 << 20
NEARLY_FULL = 32 * MIB  # when a program that writes fails with less free, the disk is why


def free_space(folder: Path) -> int | None:
    """Bytes that can still be written in ``folder``; None where the file system does not tell."""
    try:
        facts = os.statvfs(folder)
    except OSError:
        return None
    return facts.f_bavail * facts.f_frsize if facts.f_blocks else None


def require_space(folder: Path, needed: int, what: str) -> None:
    """QgaitError unless ``needed`` bytes are free for ``what`` in ``folder``, or in the next one above it."""
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    free = free_space(at)
    if free is not None and free < needed:
        raise QgaitError(
            f"{what} needs about {mib(needed)} MiB, and {at} has {free // MIB} MiB free.",
            "free some space or write somewhere else.",
        )


def mib(count: int) -> int:
    """Bytes in MiB, rounded up."""
    return -(-count // MIB)
