"""Operators over neighbouring values of a series, in numpy: [n, ...] in, as many values out as the window makes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import FrameWindow, Tensor, WindowMax, WindowPool

Codes = NDArray[np.int8]
NOT_COUNTED = -128  # no code is smaller, so a missing value never is the maximum


def neighbours(x: Codes, size: int, stride: int, padding: int, missing: int) -> list[Codes]:
    """The ``size`` values behind each other that every window sees, oldest first: ``size`` series of one length."""
    border = ((padding, padding), *((0, 0) for _ in x.shape[1:]))
    padded: Codes = np.pad(x, border, constant_values=np.int8(missing))
    windows = max((len(padded) - size) // stride + 1, 0)
    return [padded[i::stride][:windows] for i in range(size)]


def frame_window(op: FrameWindow, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, ..., C] -> [m, ..., size * C]."""
    return np.concatenate(neighbours(inputs[0], *op.window, sources[0].zero_point), axis=-1)


def window_max(op: WindowMax, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, ...] -> [m, ...]."""
    return np.maximum.reduce(neighbours(inputs[0], *op.window, NOT_COUNTED))


def window_pool(op: WindowPool, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, ...] -> [n, ...]."""
    (x,), zero_point = inputs, sources[0].zero_point
    total = sum(codes.astype(np.int32) - zero_point for codes in neighbours(x, *op.window, zero_point))
    largest = np.maximum.reduce(neighbours(x, *op.window, NOT_COUNTED)).astype(np.int32)
    return op.requant.codes(total + op.size * (largest - zero_point), result)
