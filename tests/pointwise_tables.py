"""The tables of example graphs: what a code of a tensor becomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import Tensor

CODES = np.arange(-128, 128)


def leaky_codes(source: Tensor, zero_point: int, lo: int, hi: int) -> NDArray[np.int8]:
    """LeakyReLU, and a scale of 10/9."""
    real = CODES - source.zero_point
    codes = np.floor(np.where(real >= 0, real, 0.01 * real) * 0.9 + 0.5) + zero_point
    return np.clip(codes, lo, hi).astype(np.int8)


def rescaled_codes(source: Tensor, like: Tensor) -> NDArray[np.int8]:
    """The same numbers on the grid of ``like``."""
    real = (CODES - source.zero_point) * float(source.scale) / float(like.scale)
    return np.clip(np.floor(real + 0.5) + like.zero_point, like.lo, like.hi).astype(np.int8)


def sigmoid_codes(source: Tensor, softness: float) -> NDArray[np.int8]:
    """256 times the sigmoid, minus 128; ``softness`` codes are the sigmoid's unit, a negative number turns it round."""
    real = (CODES - source.zero_point) / softness
    return (np.clip(np.floor(256 / (1 + np.exp(-real)) + 0.5), 0, 255) - 128).astype(np.int8)


def power_tables(
    source: Tensor, rows: Sequence[int], exponents: Sequence[float] | NDArray[np.float64], steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Powers [R, 256] and thresholds [R, steps] of generalized means that saturate at 0.8 of the largest code."""
    largest = source.hi - source.zero_point
    levels = np.clip(CODES - source.zero_point, 0, largest)
    halves = (np.arange(steps) + 0.5) / steps * largest * 0.8
    powers, thresholds = [], []
    for height, exponent in zip(rows, exponents, strict=True):
        count = height * source.shape[1]
        unit = (2**53 - 1) // count / largest**exponent
        powers.append(np.floor(unit * levels**exponent))
        thresholds.append(np.ceil(count * unit * halves**exponent))
    return np.array(powers).astype(np.int64), np.array(thresholds).astype(np.int64)
