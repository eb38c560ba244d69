"""The generalized mean in TOSA: powers by GATHER, their sum, and the thresholds that the sum reaches."""

from __future__ import annotations

import numpy as np

from qgait.export.graph import PowerPool, Tensor
from qgait.export.tosa_builder import UNCHANGED, TosaBuilder


def power_pool(b: TosaBuilder, op: PowerPool, x: str, result: Tensor) -> str:
    """[n, H, W, C] -> [n, R, C]."""
    n, height, width, channels = b.shape(x)
    regions = len(op.rows)
    # row h of the tables' region r: entry 256 * r + code + 128
    first = np.repeat(np.arange(regions, dtype=np.int32) * 256, op.rows).reshape(1, height, 1, 1)
    index = b.add("ADD", [b.widened(x, -128), b.constant(first)], b.shape(x), "int32")
    index = b.reshape(index, (1, n * height * width * channels))
    table = b.constant(op.powers.reshape(1, -1, 1))
    powers = b.add("GATHER", [table, index], (1, n * height * width * channels, 1), "int32")
    columns = b.reduce("REDUCE_SUM", b.reshape(powers, (n, height, width, channels)), 2)
    starts = np.cumsum([0, *op.rows[:-1]])
    sums = [
        b.reduce("REDUCE_SUM", b.slice(columns, 1, int(start), rows), 1)
        for start, rows in zip(starts, op.rows, strict=True)
    ]
    acc = b.reshape(b.concat(sums, axis=1), (n, regions, channels, 1))
    thresholds = b.constant(op.thresholds.reshape(1, regions, 1, -1))
    reached = b.add("GREATER_EQUAL", [acc, thresholds], (n, regions, channels, op.thresholds.shape[1]), "bool")
    count = b.reduce("REDUCE_SUM", b.add("CAST", [reached], b.shape(reached), "int32"), 3)
    from_lo = Tensor(result.name, result.shape, result.scale, result.lo)
    return b.requantized(b.reshape(count, (n, regions, channels)), UNCHANGED, from_lo)
