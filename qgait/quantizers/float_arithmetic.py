"""The ``float`` level of a list of layers: batch norm folded, nothing rounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qgait.models.layers import GEM_FLOOR, Layer, activate
from qgait.quantizers import traversal
from qgait.quantizers.simulated import FRAMES_AT_ONCE


class FloatArithmetic:
    """Real numbers in float32. ``observe(layer.pre, value)`` sees every value before its activation."""

    def __init__(self, observe: Callable[[str, Tensor], None] | None = None) -> None:
        self.observe = observe

    def input(self, frames: Tensor) -> Tensor:
        return frames.float().unsqueeze(2) / 255

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        assert layer.weight is not None
        bias = None if layer.bias is None else layer.bias.float()
        padded, groups = traversal.pad(layer, x), traversal.groups(layer, x)
        return self._finish(layer, F.conv2d(padded, layer.weight.float(), bias, layer.stride, groups=groups))

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        return self._finish(layer, a + b)

    def multiply(self, layer: Layer, a: Tensor, gate: Tensor) -> Tensor:
        return a * gate

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        means_only = layer.pool == "mean"
        strips = traversal.strips(layer, x)
        return torch.cat([total / size if means_only else total / size + top for size, total, top in strips], 1)

    def gem_pool(self, layer: Layer, x: Tensor) -> Tensor:
        regions = zip(x.clamp_min(GEM_FLOOR).split(layer.rows, 2), layer.powers, strict=True)
        return torch.stack([region.pow(p).mean((2, 3)).pow(1 / p) for region, p in regions], 1)

    def window_pool(self, layer: Layer, total: Tensor, top: Tensor) -> Tensor:
        return total / layer.size + top

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        assert layer.weight is not None
        y = torch.einsum("npi,pio->npo", x, layer.weight.float())
        return self._finish(layer, y if layer.bias is None else y + layer.bias.float())

    def _finish(self, layer: Layer, value: Tensor) -> Tensor:
        if self.observe is not None:
            self.observe(f"{layer.name}.pre", value)
        return activate(value, layer.activation)


def embed_frames(
    layers: list[Layer],
    frames: Tensor,
    chunk: int | None = None,
    observe: Callable[[str, Tensor], None] | None = None,
    lengths: Sequence[int] | None = None,
) -> Tensor:
    """Float embeddings [n, P, C] of silhouettes [n, s, H, W]; arguments are those of ``traversal.run``."""
    return traversal.run(layers, frames, FloatArithmetic(), chunk, observe, lengths)


def embed(layers: list[Layer], clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Float embedding [P, C] of one clip [s, H, W]."""
    with torch.inference_mode():
        return embed_frames(layers, torch.from_numpy(clip)[None], FRAMES_AT_ONCE)[0].numpy()
