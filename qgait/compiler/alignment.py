"""Where tensors, constants and scratch memory may start."""

from __future__ import annotations

ALIGNMENT = 64  # bytes; a cache line, and more than any vector load asks for


def aligned(size: int) -> int:
    """``size`` rounded up to ``ALIGNMENT``."""
    return -(-size // ALIGNMENT) * ALIGNMENT
