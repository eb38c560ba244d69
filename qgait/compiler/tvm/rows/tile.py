"""The inner part of a convolution: a few pixels times a few channels of sums that stay in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, store, widen, wrapping_add

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr


@dataclass(frozen=True)
class Tile:
    """``pixels`` x ``channels`` sums in vectors of ``lanes``; ``step`` numbers of a pixel are read at once."""

    pixels: int
    channels: int
    step: int
    lanes: int


def fewest_tiles(count: int, most: int) -> int:
    """The pixels of a tile, up to ``most``, that cover ``count`` with the least work."""
    return min(range(1, min(most, count) + 1), key=lambda pixels: -(-count // pixels) * (pixels + 1))


def multiply_lanes(tile: Tile, acc: Buffer, numbers: list[PrimExpr], weights: list[tuple[Buffer, Index]]) -> None:
    """``acc[pixel, channel] += numbers[pixel][k] * weights[k][channel]`` for every lane k of the int16 numbers."""
    for k, (buffer, start) in enumerate(weights):
        for v in range(0, tile.channels, tile.lanes):
            factor = T.bind(widen(load(buffer, start + v, tile.lanes), "int16", tile.lanes))
            for p, number in enumerate(numbers):
                at = p * tile.channels + v
                # a shuffle and no splat, which TVM would widen before it is spread, out of LLVM's sight
                other = tirx.Shuffle([number] * -(-tile.lanes // tile.step), [k] * tile.lanes)
                product = widen(factor, "int32", tile.lanes) * widen(other, "int32", tile.lanes)
                store(acc, at, wrapping_add(load(acc, at, tile.lanes), product, tile.lanes), tile.lanes)


def pack_channels(values: NDArray[np.int8], channels: int) -> NDArray[np.int8]:
    """[O, ...] -> [O / channels, ..., channels], zeros where there is no such output."""
    blocks = -(-len(values) // channels)
    padded = np.zeros((blocks * channels, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return np.moveaxis(padded.reshape(blocks, channels, *values.shape[1:]), 1, -1)
