"""Operators over neighbouring values in TOSA: a series has its values on the leading axis."""

from __future__ import annotations

from qgait.export.operators import FrameWindow, Tensor, WindowMax, WindowPool
from qgait.export.tosa.builder import TosaBuilder, of_one_multiplier

NOT_COUNTED = -128  # no code is smaller, so a missing value never is the maximum


def frame_window(b: TosaBuilder, op: FrameWindow, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """[n, ..., C] -> [m, ..., size * C]."""
    (x,), (source,) = inputs, sources
    return b.concat(_neighbours(b, op.window, x, source.zero_point), axis=len(source.shape))


def window_max(b: TosaBuilder, op: WindowMax, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """[n, ...] -> [m, ...]."""
    return _maximum(b, op.window, inputs[0])


def window_pool(b: TosaBuilder, op: WindowPool, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """[n, ...] -> [n, ...]."""
    (x,), (source,) = inputs, sources
    values = _neighbours(b, op.window, x, source.zero_point)
    total, *others = [b.widened(codes, source.zero_point) for codes in values]
    largest = b.widened(_maximum(b, op.window, x), source.zero_point, op.size)
    for term in (*others, largest):
        total = b.add("ADD", [total, term], b.shape(total), "int32")
    if len(source.shape) == 2:
        runs = of_one_multiplier(op.requant)
        parts = [b.requantized(b.slice(total, 1, start, stop - start), alike, result) for start, stop, alike in runs]
        return b.concat(parts, axis=1)
    return b.requantized(total, op.requant, result)


def _maximum(b: TosaBuilder, window: tuple[int, int, int], x: str) -> str:
    stacked = [_stackable(b, values) for values in _neighbours(b, window, x, NOT_COUNTED)]
    shape = b.shape(x)[1:]
    largest = b.reduce("REDUCE_MAX", b.concat(stacked, axis=1), 1)
    return b.reshape(largest, (b.shape(largest)[0], *shape))


def _stackable(b: TosaBuilder, x: str) -> str:
    """[n, ..., C] -> [n, 1, all others, C]."""
    n, *rest = b.shape(x)
    rows = rest[0] * rest[1] if len(rest) == 3 else rest[0]
    return b.reshape(x, (n, 1, rows, rest[-1]))


def _neighbours(b: TosaBuilder, window: tuple[int, int, int], x: str, missing: int) -> list[str]:
    """The ``size`` values behind each other that every window sees, oldest first: ``size`` series of one length."""
    size, stride, padding = window
    n = b.shape(x)[0]
    count = (n + 2 * padding - size) // stride + 1
    needed = size - 1 + count * stride  # a whole stride for every window, so that a reshape can skip values
    behind = max(needed - padding - n, 0)
    padded = b.pad_values(x, padding, behind, missing)
    return [_every(b, b.slice(padded, 0, i, count * stride), stride) for i in range(size)]


def _every(b: TosaBuilder, x: str, stride: int) -> str:
    """Value 0, ``stride``, 2 * ``stride``, ... of a series: the others become rows behind them, which are cut off."""
    if stride == 1:
        return x
    n, rows, *rest = b.shape(x)
    return b.slice(b.reshape(x, (n // stride, stride * rows, *rest)), 1, 0, rows)
