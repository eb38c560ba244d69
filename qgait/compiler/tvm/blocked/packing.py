"""Weights, biases and multipliers of a convolution in the order in which its kernel reads them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.tvm.blocked.plan import BLOCK, ConvPlan
from qgait.export.operators import Conv2d

Number = TypeVar("Number", np.int8, np.int32)


def packed_weights(conv: Conv2d, plan: ConvPlan) -> NDArray[np.int8]:
    """Int8 [tiles, blocks * taps * 4 groups * tile * 4]; channels and depths that do not exist are zero."""
    if plan.by_rows:
        outputs, kh, kw, depth = conv.weight.shape
        blocks = conv.weight.reshape(outputs, kh, kw, depth // BLOCK, BLOCK)[:, :, list(plan.tap_order)]
        flat = blocks.transpose(0, 1, 3, 2, 4).reshape(outputs, -1)
    else:
        flat = conv.weight.reshape(len(conv.weight), -1)
        flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % BLOCK)))
    groups = flat.shape[1] // 4
    tiles = _in_tiles(flat, plan).reshape(-1, plan.tile, groups, 4)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(len(tiles), -1)


def packed_bias(conv: Conv2d, plan: ConvPlan, code_offset: int, copies: int) -> NDArray[np.int32]:
    """Int32 [tiles][copies][tile]: what an accumulator starts from when gathered codes are ``code + code_offset``."""
    sums = conv.weight.sum(axis=(1, 2, 3), dtype=np.int64)
    tiles = _in_tiles((conv.bias - code_offset * sums).astype(np.int32), plan).reshape(-1, 1, plan.tile)
    return np.tile(tiles, (1, copies, 1)).reshape(-1)


def packed_rescaling(rows: NDArray[np.int32], plan: ConvPlan) -> NDArray[np.int32]:
    """Int32 [tiles][rows][tile] of the rows of a rescaling."""
    filled = _in_tiles(np.ascontiguousarray(rows.T), plan).reshape(-1, plan.tile, len(rows))
    return np.ascontiguousarray(filled.transpose(0, 2, 1)).reshape(-1)


def _in_tiles(array: NDArray[Number], plan: ConvPlan) -> NDArray[Number]:
    """Output channels padded with zeros to whole tiles."""
    missing = -plan.channels % plan.tile
    return np.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)))
