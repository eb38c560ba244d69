"""The distance of two walks from their embeddings, real or in codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qgait.errors import QgaitError
from qgait.evaluation.distances import part_distances


def distance(a: ArrayLike, b: ArrayLike, scale: ArrayLike | None = None) -> float | NDArray[np.float32]:
    """See `qgait.distance`."""
    first, second = _real(np.asarray(a), scale), _real(np.asarray(b), scale)
    if first.ndim == 2 and second.ndim == 2:
        return float(part_distances(first[None], second[None])[0, 0])
    return part_distances(_several(first), _several(second))


def _several(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    return embeddings[None] if embeddings.ndim == 2 else embeddings


def _real(embeddings: NDArray[np.generic], scale: ArrayLike | None) -> NDArray[np.float32]:
    """Embeddings [..., P, C] in float32. The codes' zero point is left in: it cancels in every difference."""
    codes = embeddings.dtype.kind in "iu"
    if codes == (scale is None):
        raise QgaitError(
            "Codes are compared with the scale of their parts." if codes else "Real embeddings have no scale.",
            "give `scale=bundle.scale`, or real embeddings." if codes else "leave `scale` out.",
        )
    if embeddings.ndim not in (2, 3):
        raise QgaitError(
            f"An embedding is [parts, channels], not {list(embeddings.shape)}.", "give one, or several [n, P, C]."
        )
    real = embeddings.astype(np.float32)
    if scale is None:
        return real
    scales = np.asarray(scale, np.float32)
    if scales.shape != embeddings.shape[-2:-1]:
        raise QgaitError(
            f"{embeddings.shape[-2]} parts cannot have scales of the shape {list(scales.shape)}.",
            "give one scale a part, as bundle.scale has them.",
        )
    return real * scales[:, None]
