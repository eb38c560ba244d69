"""Distances between embeddings that consist of parts, one vector for each strip of the body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError

DISTANCES = ("euclidean", "cosine")
_CELLS_AT_ONCE = 1 << 24


def part_distances(a: NDArray[np.float32], b: NDArray[np.float32], distance: str = "euclidean") -> NDArray[np.float32]:
    """Distances float32 [N, M] between embeddings ``a`` [N, P, C] and ``b`` [M, P, C].

    ``euclidean`` is the mean over the parts p of ``|a_p - b_p|``; ``cosine`` is the mean of ``1 - cos(a_p, b_p)``; a
    vector of zeros has the cosine 0 with everything. Memory beyond the result is bounded.
    """
    if distance not in DISTANCES:
        raise QgaitError(f"There is no distance {distance!r}.", f"choose one of {', '.join(DISTANCES)}")
    if a.ndim != 3 or b.ndim != 3 or a.shape[1:] != b.shape[1:] or 0 in a.shape[1:]:
        raise QgaitError(
            f"Embeddings of the shapes {list(a.shape)} and {list(b.shape)} cannot be compared.",
            "both are [sequences, parts, channels] with the same parts and channels",
        )
    a, b = a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
    parts = a.shape[1]
    result = np.zeros((len(a), len(b)), np.float32)
    rows = max(1, _CELLS_AT_ONCE // max(1, len(b)))
    for p in range(parts):
        left, right = a[:, p], b[:, p]
        if distance == "cosine":
            left, right = _unit(left), _unit(right)
        elif len(b):
            # distances do not change with the origin, and squares of small numbers lose fewer digits
            origin = right.mean(axis=0)
            left, right = left - origin, right - origin
        squares = np.square(right).sum(axis=1)
        for start in range(0, len(a), rows):
            some = left[start : start + rows]
            product = some @ right.T
            if distance == "cosine":
                result[start : start + rows] += 1 - product
            else:
                square = np.square(some).sum(axis=1)[:, None] + squares - 2 * product
                result[start : start + rows] += np.sqrt(np.maximum(square, 0))
    return result / np.float32(parts)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1).astype(np.float32)
