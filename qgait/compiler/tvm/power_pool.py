"""Generalized means: powers from a table, summed in int64, and the root by counting the thresholds below the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, function, load, local, store
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.export.operators import PowerPool

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

INT64_MAX = 2**63 - 1


def power_pool_kernel(group: Group, op: PowerPool, graph: Graph) -> Kernel:
    """[H, W, C] -> [R, C], one region after the other, all its channels pixel by pixel into sums in scratch."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    _, width, channels = source.shape
    thresholds = _padded(op.thresholds)
    with function(group) as f:
        data = f.input(source)
        powers, steps = f.constant(op.powers, "int64"), f.constant(thresholds, "int64")
        (sums,) = f.scratch((channels, "int64"))
        out = f.output(result)
        found = local(1, "int32")
        first = 0
        for region, rows in enumerate(op.rows):
            with T.serial(0, channels) as c:
                store(sums, c, tirx.const(0, "int64"), 1)
            with T.serial(0, rows * width) as pixel, T.serial(0, channels) as c:
                code = T.cast(load(data, (first * width + pixel) * channels + c, 1), "int32")
                power = load(powers, region * 256 + 128 + code, 1)
                store(sums, c, load(sums, c, 1) + power, 1)
            with T.serial(0, channels) as c:
                _count(steps, region * thresholds.shape[1], thresholds.shape[1], load(sums, c, 1), found)
                below = tirx.min(load(found, 0, 1), result.hi - result.lo)
                store(out, region * channels + c, T.cast(below + result.lo, "int8"), 1)
            first += rows
    return f.kernel()


def _padded(thresholds: NDArray[np.int64]) -> NDArray[np.int64]:
    """2**k - 1 thresholds a region; what is added is not below any sum but the largest int64, which is counted down."""
    regions, count = thresholds.shape
    size = 2 ** int(count).bit_length() - 1
    padding = np.full((regions, size - count), INT64_MAX, np.int64)
    return np.concatenate([thresholds, padding], axis=1)


def _count(steps: Buffer, start: Index, size: int, acc: PrimExpr, found: Buffer) -> None:
    """How many of ``size`` ascending thresholds are not above ``acc``, by halving and without a branch."""
    store(found, 0, tirx.const(0, "int32"), 1)
    half = (size + 1) // 2
    while half:
        at = load(found, 0, 1)
        above = load(steps, start + at + (half - 1), 1) > acc
        store(found, 0, at + tirx.Select(above, tirx.const(0, "int32"), tirx.const(half, "int32")), 1)
        half //= 2
