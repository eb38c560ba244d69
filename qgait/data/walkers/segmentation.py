"""What background subtraction does to a silhouette: ragged edges, holes, cut feet, shadows, speckle."""

from __future__ import annotations

import numpy as np

from qgait.data.walkers import knobs
from qgait.data.walkers.bits import close, paint
from qgait.data.walkers.render import COLUMNS, ROWS, capsule_rows

EDGE_PIXELS = 0.45  # standard deviation of an edge
CLOSING = 1  # pixels; background subtraction is followed by a closing, so gaps of 2 pixels fill up
HOLES, SPECKS = 5, 3
KNOT_ROWS = 5  # edge errors are smooth over about this many rows


def ragged(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> None:
    """Move the ends of the intervals [n, parts, ROWS] in place: noise smooth over a few rows, new in each frame."""
    n = low.shape[0]
    row = np.arange(ROWS) / KNOT_ROWS
    knot, share = row.astype(int), (row % 1).astype(np.float32)
    for ends in (low, high):
        noise = rng.standard_normal((n, int(row[-1]) + 2)).astype(np.float32)
        smooth = noise[:, knot] * (1 - share) + noise[:, knot + 1] * share
        ends += (EDGE_PIXELS * knobs.SEGMENTATION * smooth)[:, None, :]


def spoil(mask: np.ndarray, points: dict[str, np.ndarray], size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Masks (words of bits.py, [n, ROWS, 2]) with errors.

    ``points`` are picture places [n, 2] that errors hang on: hips, neck, top, left_foot, right_foot. ``size`` [n] is
    the walker's height in pixels. Some people's clothes look like the background: their holes stay for many frames.
    """
    n = len(mask)
    strength = knobs.SEGMENTATION
    body = points["neck"] - points["hips"]
    holes, patches = [], []
    prone = rng.random() < 0.2 * strength  # this sequence has lasting holes
    along, aside = rng.uniform(-0.8, 1.1), 0.08 * rng.standard_normal()
    for _ in range(HOLES):  # several overlapping ones make one of no simple shape
        on = _spells(n, rng, 0.15 if prone else 0.01, 6)
        along, aside = along + 0.1 * rng.standard_normal(), aside + 0.03 * rng.standard_normal()
        place = points["hips"] + along * body + np.stack([aside * size, 0 * size], axis=1)
        holes.append(_blob(place, 0.012 * np.exp(0.4 * rng.standard_normal()) * size * on * strength, 0.025, size, rng))
    for foot in ("left_foot", "right_foot"):
        on = _spells(n, rng, 0.03, 4)
        holes.append(_blob(points[foot], rng.uniform(0.02, 0.035) * size * on * strength, 0.02, size, rng))
        on = _spells(n, rng, 0.06, 5)
        place = points[foot] + np.stack([rng.uniform(-0.05, 0.05) * size, 0.0 * size], axis=1)
        patches.append(_blob(place, rng.uniform(0.008, 0.016) * size * on * strength, 0.03, size, rng))
    on = _spells(n, rng, 0.012, 5)  # the face or the hair is lost
    holes.append(_blob(points["top"], 0.035 * size * on * strength, 0.02, size, rng))
    for _ in range(SPECKS):
        on = rng.random(n) < 0.25
        spot = points["hips"] + rng.uniform(-0.9, 1.2, n)[:, None] * body
        spot[:, 0] += 0.07 * size * rng.standard_normal(n)
        (holes if rng.random() < 0.5 else patches).append(_blob(spot, 0.009 * size * on * strength, 0.012, size, rng))
    gone = paint(*_rows(holes, rng))
    extra = paint(*_rows(patches, rng))
    extra[~mask.any(axis=-1)] = 0  # nothing above the head or below the feet
    return close(mask | extra, CLOSING) & ~gone


def _spells(n: int, rng: np.random.Generator, share: float, length: int) -> np.ndarray:
    """Which frames an error is there: runs of about ``length`` frames that cover ``share`` of a sequence on average."""
    starts = rng.random(n + 3 * length) < share / length
    run = np.cumsum(np.concatenate([[0], starts]))
    lasting = int(rng.integers(1, 2 * length + 1))
    return (run[3 * length : 3 * length + n] - run[3 * length - lasting : 3 * length - lasting + n] > 0).astype(float)


def _blob(
    place: np.ndarray, radius: np.ndarray, reach: float, size: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A capsule [n, 6] (x0, y0, r0, x1, y1, r1) of changing shape around ``place`` [n, 2]."""
    n = len(size)
    ends = place[:, None] + reach * size[:, None, None] * rng.standard_normal((n, 2, 2)) * (radius > 0)[:, None, None]
    jitter = np.exp(0.35 * rng.standard_normal((n, 2)))
    return np.column_stack([ends[:, 0], radius * jitter[:, 0], ends[:, 1], radius * jitter[:, 1]])


def _rows(blobs: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    b = np.stack(blobs, axis=1)
    active = (b[..., 2] > 0)[..., None]
    low, high = capsule_rows(*(b[..., i] for i in range(6)))
    ragged(low, high, rng)
    return np.where(active, low, COLUMNS), np.where(active, high, 0)
