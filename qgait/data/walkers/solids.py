"""The two shapes that bodies, coats and bags are made of, in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Limbs:
    """Tapered capsules: the hull of a ball at each end."""

    start: np.ndarray  # [n, c, 3]
    end: np.ndarray  # [n, c, 3]
    start_radius: np.ndarray  # [c]
    end_radius: np.ndarray  # [c]


@dataclass
class Column:
    """A stack of horizontal cross-sections, evenly spaced in height, bottom first."""

    centre: np.ndarray  # [n, k, 3]
    side: np.ndarray  # [k] or [n, k] half width
    depth: np.ndarray  # [k] or [n, k] half depth
    yaw: np.ndarray  # [n, k] direction in which ``depth`` is measured, radians from x towards y
    boxy: bool = False  # rectangles rather than ellipses
    # half the vector between the two middles of a section that wraps two legs, x and y
    gap: np.ndarray | None = None  # [n, k, 2]


def limbs(parts: list[tuple[np.ndarray, np.ndarray, float, float]]) -> Limbs:
    """From (start [n, 3], end [n, 3], start radius, end radius) of each."""
    start, end, r0, r1 = zip(*parts, strict=True)
    return Limbs(np.stack(start, axis=1), np.stack(end, axis=1), np.array(r0), np.array(r1))
