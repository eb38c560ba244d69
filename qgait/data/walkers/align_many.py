"""The alignment of qgait.data.align for a stack of masks at once, with the same bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from qgait.data.align import EMPTY_SUM, SIZE, _taps

SHIFT = 22  # two passes of weights in 1/2048


def align_many(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bool masks [n, h, w] -> aligned frames uint8 [n, 64, 64], and which of them, bool [n], had anybody in them."""
    n, height, width = masks.shape
    filled = masks.any(axis=2)
    top = filled.argmax(axis=1)
    tall = height - filled[:, ::-1].argmax(axis=1) - top
    good = masks.sum(axis=(1, 2)) * 255 > EMPTY_SUM
    out = np.zeros((n, SIZE, SIZE), np.uint8)
    for h in np.unique(tall[good]):
        frames = np.flatnonzero(good & (tall == h))
        down, across = _weights(int(h), SIZE), _weights(width, max(1, int(SIZE * (width / h))))
        person = masks[frames[:, None], top[frames][:, None] + np.arange(h)].astype(np.float32)
        # Weights are integers and sums stay below 2^24, so float32 products are exact in any order.
        sums = (down @ person @ across.T).astype(np.int32)
        scaled = ((sums * 255 + (1 << (SHIFT - 1))) >> SHIFT).clip(0, 255).astype(np.uint8)
        mass = scaled.sum(axis=1, dtype=np.int64).cumsum(axis=1)
        centre = np.argmax(2 * mass > mass[:, -1:], axis=1)
        wide = np.pad(scaled, ((0, 0), (0, 0), (SIZE // 2, SIZE // 2)))
        window = centre[:, None] + np.arange(SIZE)
        out[frames] = np.take_along_axis(wide, window[:, None, :], axis=2)
    return out, good


@lru_cache(maxsize=512)
def _weights(old: int, new: int) -> np.ndarray:
    """The resampling of one axis as a matrix [new, old] of integers in float32; repeated border pixels add up."""
    indices, weights = _taps(old, new)
    matrix = np.zeros((new, old), np.float32)
    np.add.at(matrix, (np.arange(new)[:, None], indices), weights.astype(np.float32))
    return matrix
