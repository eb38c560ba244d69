"""Strip pooling in TOSA: a depthwise convolution over a whole strip, which Ethos-U requantizes in the same step.

A sum by REDUCE_SUM would need a RESCALE of its own, and what Vela 5.2 makes of a RESCALE that reads a slice or that is
concatenated forgets where the slice lies and where in the result it belongs.
"""

from __future__ import annotations

import numpy as np

from qgait.export.operators import Requant, StripPool, Tensor
from qgait.export.tosa.builder import INT32, TosaBuilder, of_one_multiplier
from qgait.export.tosa.flatbuffer import Attributes

LARGEST_WEIGHT = 127


def strip_pool(b: TosaBuilder, op: StripPool, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """[n, H, W, C] -> [n, P, C]."""
    (x,), (source,) = inputs, sources
    n, height, width, channels = b.shape(x)
    parts: list[str] = []
    for bins in op.bins:
        count = height // bins * width
        strips, weights = b.reshape(x, (n, bins, count, channels)), [1] * count
        if op.kind == "mean_max":
            copies = -(-count // LARGEST_WEIGHT)
            strips = b.concat([strips, *[b.reduce("REDUCE_MAX", strips, 2)] * copies], axis=2)
            weights += [count // copies + (i < count % copies) for i in range(copies)]
        first = sum(b.shape(part)[1] for part in parts)
        share = Requant(op.requant.multiplier[first : first + bins], op.requant.shift[first : first + bins])
        for start, stop, requant in of_one_multiplier(share):
            acc = _weighted_sums(b, b.slice(strips, 1, start, stop - start), weights, source.zero_point)
            parts.append(b.requantized(acc, requant, result))
    return b.reshape(b.concat(parts, axis=1), (n, sum(op.bins), channels))


def _weighted_sums(b: TosaBuilder, strips: str, weights: list[int], zero_point: int) -> str:
    """int32 [n, bins, 1, C]: ``sum(weight * (code - zero_point))`` along the strips [n, bins, count, C]."""
    n, bins, count, channels = b.shape(strips)
    weight = np.repeat(np.array(weights, np.int8)[:, np.newaxis], channels, axis=1).reshape(1, count, channels, 1)
    constants = [b.constant(weight), b.constant(np.zeros(channels, np.int32)), b.scalar(zero_point), b.scalar(0)]
    geometry: Attributes = {"Pad": [0, 0, 0, 0], "Stride": [1, 1], "Dilation": [1, 1]}
    geometry |= {"LocalBound": False, "AccType": INT32}
    return b.add("DEPTHWISE_CONV2D", [strips, *constants], (n, bins, 1, channels), "int32", geometry)
