"""Weights, biases and multipliers of a convolution in the order in which its kernel reads them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.tvm.blocked.plan import BLOCK, ConvPlan
from qgait.export.operators import Conv2d, Requant

Number = TypeVar("Number", np.int8, np.int32)
LARGEST_RISE = 16  # bits; a rescaling by more than 2**14 is left to the portable kernel


def packed_weights(conv: Conv2d, plan: ConvPlan) -> NDArray[np.int8]:
    """Int8 [tiles][blocks][taps][4 groups][tile][4]; channels and depths that do not exist are zero."""
    if plan.by_rows:
        outputs, kh, kw, depth = conv.weight.shape
        blocks = conv.weight.reshape(outputs, kh, kw, depth // BLOCK, BLOCK)[:, :, list(plan.tap_order)]
        flat = blocks.transpose(0, 1, 3, 2, 4).reshape(outputs, -1)
    else:
        flat = conv.weight.reshape(len(conv.weight), -1)
        flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % BLOCK)))
    groups = flat.shape[1] // 4
    tiles = _in_tiles(flat, plan).reshape(-1, plan.tile, groups, 4)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(-1)


def packed_bias(conv: Conv2d, plan: ConvPlan, code_offset: int, copies: int) -> NDArray[np.int32]:
    """Int32 [tiles][copies][tile]: what an accumulator starts from when gathered codes are ``code + code_offset``."""
    sums = conv.weight.sum(axis=(1, 2, 3), dtype=np.int64)
    tiles = _in_tiles((conv.bias - code_offset * sums).astype(np.int32), plan).reshape(-1, 1, plan.tile)
    return np.tile(tiles, (1, copies, 1)).reshape(-1)


def rescaling(requant: Requant, count: int, product_shift: int) -> NDArray[np.int32] | None:
    """The integer rule in 32 bits: int32 [3, count] of multiplier, right shift n >= 1, left shift k >= 0.

    With h = floor(((acc << k) * m) >> product_shift), where the processor keeps the high half of a product, the rule is
    ``(h + (1 << (n - 1))) >> n``: exact, because the half that is added is an integer at that scale and floors nest.
    The left shift makes n >= 1; it must saturate, which only happens where the result is clipped anyway.
    None if some k is larger than LARGEST_RISE.
    """
    m = np.broadcast_to(np.ravel(requant.multiplier), count)
    s = np.broadcast_to(np.ravel(requant.shift), count).astype(np.int32)
    k = np.maximum(product_shift + 1 - s, 0)
    if k.max() > LARGEST_RISE:
        return None
    return np.stack([m, s + k - product_shift, k]).astype(np.int32)


def packed_rescaling(rows: NDArray[np.int32], plan: ConvPlan) -> NDArray[np.int32]:
    """Int32 [tiles][rows][tile] of what ``rescaling`` returns."""
    filled = _in_tiles(np.ascontiguousarray(rows.T), plan).reshape(-1, plan.tile, len(rows))
    return np.ascontiguousarray(filled.transpose(0, 2, 1)).reshape(-1)


def _in_tiles(array: NDArray[Number], plan: ConvPlan) -> NDArray[Number]:
    """Output channels padded with zeros to whole tiles."""
    missing = -plan.channels % plan.tile
    return np.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)))
