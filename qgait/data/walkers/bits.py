"""Masks with one bit a pixel: a picture row of 128 pixels is two 64-bit words, the leftmost pixel the lowest bit.

Painting, union and morphology of whole sequences then cost a few word operations a row.
"""

from __future__ import annotations

import numpy as np

from qgait.data.walkers.render import COLUMNS

WORD = 64
# _BEFORE[x]: the bits of all pixels to the left of x
_BEFORE = np.array(
    [[min((1 << x) - 1, 2**64 - 1), ((1 << x) - 1) >> WORD] for x in range(COLUMNS + 1)], dtype=np.uint64
)
ONE, TOP = np.uint64(1), np.uint64(WORD - 1)


def paint(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Union of intervals [n, parts, rows] in pixels as words [n, rows, 2]; a pixel is covered if its centre is."""
    start = np.ceil(np.clip(low, 0, COLUMNS) - np.float32(0.5)).astype(np.int32)
    stop = np.maximum(np.ceil(np.clip(high, 0, COLUMNS) - np.float32(0.5)).astype(np.int32), start)
    words = [np.bitwise_or.reduce(_BEFORE[:, w][stop] ^ _BEFORE[:, w][start], axis=1) for w in range(2)]
    return np.stack(words, axis=-1)


def unpack(words: np.ndarray) -> np.ndarray:
    """Words [n, rows, 2] to bool [n, rows, COLUMNS]."""
    as_bytes = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little").view(bool)


def close(words: np.ndarray, reach: int) -> np.ndarray:
    """Morphological closing with a square of 2 * ``reach`` + 1 pixels: narrow gaps fill up, outer edges stay."""
    for _ in range(reach):
        words = _spread_down(_spread_across(words))
    words = ~words
    for _ in range(reach):
        words = _spread_down(_spread_across(words))
    return ~words


def _spread_across(words: np.ndarray) -> np.ndarray:
    left, right = words[..., 0], words[..., 1]
    wide = words | (words << ONE) | (words >> ONE)
    wide[..., 1] |= left >> TOP
    wide[..., 0] |= right << TOP
    return wide


def _spread_down(words: np.ndarray) -> np.ndarray:
    tall = words.copy()
    tall[:, 1:] |= words[:, :-1]
    tall[:, :-1] |= words[:, 1:]
    return tall
