"""The alignment of qgait.data.align for a stack of masks at once, with the same bits."""

from __future__ import annotations

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
        rows, down = _taps(int(h), SIZE)
        columns, across = _taps(width, max(1, int(SIZE * (width / h))))
        person = masks[frames[:, None], top[frames][:, None] + np.arange(h)].view(np.uint8)
        # no matrix product: these are too small for the threads that a BLAS would start
        low = sum(person[:, rows[:, t]] * down[:, t, None].astype(np.int16) for t in range(4))
        sums = sum(low[..., columns[:, t]] * across[:, t] for t in range(4))
        scaled = ((sums * 255 + (1 << (SHIFT - 1))) >> SHIFT).clip(0, 255).astype(np.uint8)
        mass = scaled.sum(axis=1, dtype=np.int64).cumsum(axis=1)
        centre = np.argmax(2 * mass > mass[:, -1:], axis=1)
        wide = np.pad(scaled, ((0, 0), (0, 0), (SIZE // 2, SIZE // 2)))
        columns = centre[:, None] + np.arange(SIZE)
        out[frames] = np.take_along_axis(wide, columns[:, None, :], axis=2)
    return out, good
