"""A graph written by hand, whose roundings are known: multipliers are powers of two, so that ties are everywhere."""

from __future__ import annotations

import numpy as np

from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, FrameMax, PartLinear, Requant, StripPool, Tensor


def power_of_two(shape: tuple[int, ...], exponent: int) -> Requant:
    """The multiplier 2**-exponent."""
    return Requant(np.full(shape, 2**30, np.int32), np.full(shape, 30 + exponent, np.int8))


def tie_graph(zero_point: int = 0) -> Graph:
    """1 x 1 convolution by +-1 and +-5, halved; 4 strips; one linear layer, quartered. On 8 x 6 silhouettes."""
    tensors = [
        Tensor("silhouette", (8, 6, 1), np.float32(1 / 255), -128),
        Tensor("conv", (8, 6, 4), np.float32(1 / 128), zero_point),
        Tensor("top", (8, 6, 4), np.float32(1 / 128), zero_point, per_frame=False),
        Tensor("strips", (4, 4), np.ones(4, np.float32), 0, -100, 90, per_frame=False),
        Tensor("parts", (4, 6), np.ones(4, np.float32), 0, per_frame=False),
    ]
    weight = np.array([1, -1, 5, -5], np.int8).reshape(4, 1, 1, 1)
    # the real bias centres the pixels, so that accumulators have both signs
    centre = np.array([-127, 128, -635, 640])
    bias = (128 * weight.astype(np.int64).ravel() + centre).astype(np.int32)
    matrix = ((np.arange(4 * 4 * 6).reshape(4, 4, 6) * 7) % 5 - 2).astype(np.int8)
    ops = (
        Conv2d("conv", ("silhouette",), "conv", weight, bias, (1, 1), (0, 0, 0, 0), power_of_two((4,), 1)),
        FrameMax("top", ("conv",), "top"),
        StripPool("strips", ("top",), "strips", (4,), power_of_two((4, 1), 4)),
        PartLinear("parts", ("strips",), "parts", matrix, np.zeros((4, 6), np.int32), power_of_two((4, 6), 2)),
    )
    return Graph("ties", "w8a8", "silhouette", "parts", {tensor.name: tensor for tensor in tensors}, ops)


def tie_clip(frames: int = 3, seed: int = 0) -> np.ndarray:
    """Noise of all 256 levels with both extremes, uint8 [frames, 8, 6]."""
    clip = np.random.default_rng(seed).integers(0, 256, (frames, 8, 6)).astype(np.uint8)
    clip[:, 0, :3], clip[:, 0, 3:] = 0, 255
    return clip
