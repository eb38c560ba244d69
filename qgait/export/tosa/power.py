"""The generalized mean in TOSA: powers by GATHER, their sum, and the thresholds that the sum reaches.

The profile has no int64. Powers, sums and thresholds are three digits of 18 bits each, the lowest first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.operators import PowerPool, Tensor
from qgait.export.tosa.builder import UNCHANGED, TosaBuilder

BITS, DIGITS = 18, 3
MOST_PIXELS = 2 ** (31 - BITS) - 1  # of a region: the sum of a digit, and what is carried to it, fit into an int32


def power_pool(b: TosaBuilder, op: PowerPool, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """[n, H, W, C] -> [n, R, C]; QgaitError where a region has more than ``MOST_PIXELS`` pixels."""
    (x,) = inputs
    n, height, width, channels = b.shape(x)
    if max(op.rows) * width > MOST_PIXELS:
        problem = f"{op.name} sums {max(op.rows) * width} pixels; int32, all that TOSA has, holds {MOST_PIXELS}."
        raise QgaitError(problem, "use another runtime, or smaller regions.")
    regions = len(op.rows)
    # row h of the tables' region r: entry 256 * r + code + 128
    first = np.repeat(np.arange(regions, dtype=np.int32) * 256, op.rows).reshape(1, height, 1, 1)
    index = b.add("ADD", [b.widened(x, -128), b.constant(first)], b.shape(x), "int32")
    index = b.reshape(index, (1, n * height * width * channels))
    sums = [_sums(b, op, powers, index, b.shape(x)) for powers in _digits(op.powers)]
    reached = ""
    for place, thresholds in enumerate(_digits(op.thresholds)):
        digit = sums[place]
        if place < DIGITS - 1:
            digit, sums[place + 1] = _carried(b, digit, sums[place + 1])
        reached = _reached(b, b.reshape(digit, (n, regions, channels, 1)), thresholds, reached)
    count = b.reduce("REDUCE_SUM", b.add("CAST", [reached], b.shape(reached), "int32"), 3)
    from_lo = Tensor(result.name, result.shape, result.scale, result.lo)
    return b.requantized(b.reshape(count, (n, regions, channels)), UNCHANGED, from_lo)


def _digits(numbers: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    return [(numbers >> BITS * place & (1 << BITS) - 1).astype(np.int32) for place in range(DIGITS)]


def _sums(b: TosaBuilder, op: PowerPool, powers: NDArray[np.int32], index: str, shape: tuple[int, ...]) -> str:
    """One digit's sum over each region, [n, R, 1, C]."""
    gathered = b.add("GATHER", [b.constant(powers.reshape(1, -1, 1)), index], (1, b.shape(index)[1], 1), "int32")
    columns = b.reduce("REDUCE_SUM", b.reshape(gathered, shape), 2)
    starts = np.cumsum([0, *op.rows[:-1]])
    parts = [
        b.reduce("REDUCE_SUM", b.slice(columns, 1, int(start), rows), 1)
        for start, rows in zip(starts, op.rows, strict=True)
    ]
    return b.concat(parts, axis=1)


def _carried(b: TosaBuilder, digit: str, higher: str) -> tuple[str, str]:
    """A digit below 2**18, and the higher one with what was above."""
    shape = b.shape(digit)
    amount, mask = (b.constant(np.full((1,) * len(shape), number, np.int32)) for number in (BITS, (1 << BITS) - 1))
    carry = b.add("LOGICAL_RIGHT_SHIFT", [digit, amount], shape, "int32")
    return (
        b.add("BITWISE_AND", [digit, mask], shape, "int32"),
        b.add("ADD", [higher, carry], shape, "int32"),
    )


def _reached(b: TosaBuilder, digit: str, thresholds: NDArray[np.int32], lower: str) -> str:
    """Whether a sum reaches each threshold, by this digit and, where it is equal, by the ``lower`` ones."""
    regions, count = thresholds.shape
    shape = (*b.shape(digit)[:3], count)
    limits = b.constant(thresholds.reshape(1, regions, 1, count))
    if not lower:
        return b.add("GREATER_EQUAL", [digit, limits], shape, "bool")
    equal = b.add("EQUAL", [digit, limits], shape, "bool")
    decided = b.add("GREATER", [digit, limits], shape, "bool")
    return b.add("LOGICAL_OR", [decided, b.add("LOGICAL_AND", [equal, lower], shape, "bool")], shape, "bool")
