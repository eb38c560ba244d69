"""Painting solids as masks, row by row.

A capsule or a column covers one interval of every picture row. The intervals are computed in closed form for all
frames, parts and rows at once, and painted in bits.py.
"""

from __future__ import annotations

import numpy as np

ROWS, COLUMNS = 128, 128
F = np.float32
NOTHING = F(1e6)


def capsule_rows(
    x0: np.ndarray, y0: np.ndarray, r0: np.ndarray, x1: np.ndarray, y1: np.ndarray, r1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Left and right end [n, c, ROWS] of the hull of two discs, [n, c] each, in pixels; left > right where empty."""
    rows = np.arange(ROWS, dtype=F) + F(0.5)
    low, high = _disc(x0, y0, r0, rows)
    low1, high1 = _disc(x1, y1, r1, rows)
    np.minimum(low, low1, out=low)
    np.maximum(high, high1, out=high)
    dx, dy = x1 - x0, y1 - y0
    distance = np.maximum(np.hypot(dx, dy), 1e-3)
    ux, uy = dx / distance, dy / distance
    sine = np.clip((r0 - r1) / distance, -0.999, 0.999)
    cosine = np.sqrt(1 - sine * sine)
    for turn in (1, -1):  # the two outer tangents
        nx, ny = ux * sine - turn * uy * cosine, uy * sine + turn * ux * cosine
        ax, ay, bx, by = x0 + r0 * nx, y0 + r0 * ny, x1 + r1 * nx, y1 + r1 * ny
        drop = by - ay
        slope = (bx - ax) / np.where(np.abs(drop) < 1e-3, 1e-3, drop)
        ax, ay, slope, by = (v.astype(F)[..., None] for v in (ax, ay, slope, by))
        on = (rows >= np.minimum(ay, by)) & (rows <= np.maximum(ay, by))
        x = ax + (rows - ay) * slope
        np.minimum(low, x, out=low, where=on)
        np.maximum(high, x, out=high, where=on)
    return low, high


def _disc(x: np.ndarray, y: np.ndarray, r: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y, r = (v.astype(F)[..., None] for v in (x, y, r))
    inside = r * r - (rows - y) ** 2
    half = np.sqrt(np.maximum(inside, 0))
    half = np.where(inside > 0, half, -NOTHING)
    return x - half, x + half


def column_rows(x: np.ndarray, half: np.ndarray, bottom: np.ndarray, top: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right end [n, ROWS] of sections with centres ``x`` and ``half`` widths [n, k] from bottom to top [n]."""
    n, k = x.shape
    rows = np.arange(ROWS) + 0.5
    place = (rows - bottom[:, None]) / np.minimum(top - bottom, -1e-3)[:, None] * (k - 1)
    inside = (place >= 0) & (place <= k - 1)
    first = np.clip(place.astype(int), 0, k - 2)
    share = place - first
    left, right = x - half, x + half
    n_index = np.arange(n)[:, None]
    low = left[n_index, first] * (1 - share) + left[n_index, first + 1] * share
    high = right[n_index, first] * (1 - share) + right[n_index, first + 1] * share
    return np.where(inside, low, NOTHING).astype(F), np.where(inside, high, -NOTHING).astype(F)
