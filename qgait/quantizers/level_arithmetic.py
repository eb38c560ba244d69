"""Levels and how layers compute with them: accumulators that are integers, one rounding, a clip, a table.

``SimulatedNetwork`` in ``qgait.quantizers.simulated`` has the numbers; this is what is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.errors import QgaitError
from qgait.models.layers import Layer
from qgait.quantizers import traversal

if TYPE_CHECKING:
    from qgait.quantizers.simulated import SimulatedNetwork


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor that is rounded: the layer that makes it, and whether the layer's activation is still to come."""

    layer: str
    before_activation: bool

    @property
    def name(self) -> str:
        """The layer's name, with ``.pre`` before the activation."""
        return f"{self.layer}.pre" if self.before_activation else self.layer


def has_table(layer: Layer) -> bool:
    """Whether the layer's activation is a table on 8-bit codes; a ReLU is the clip of the requantization."""
    return layer.activation == "leaky_relu"


def quantized_tensors(layers: list[Layer]) -> list[QuantizedTensor]:
    """Every tensor with a grid of its own, in order. Pooling and joining keep codes."""
    tensors = []
    for layer in layers:
        if layer.kind in ("conv", "add", "strip_pool", "part_linear"):
            if has_table(layer):
                tensors.append(QuantizedTensor(layer.name, True))
            tensors.append(QuantizedTensor(layer.name, False))
    return tensors


def scaled(acc: Tensor, multiplier: Tensor) -> Tensor:
    """``acc * multiplier``: in float64, where it is exact, unless a gradient is wanted and speed counts."""
    if torch.is_grad_enabled():
        return acc * multiplier.to(acc.dtype)
    return acc.double() * multiplier


class LevelArithmetic:
    """Layers on levels. ``observe`` sees the levels before every table, under the name ``<layer>.pre``."""

    def __init__(self, network: SimulatedNetwork, dtype: torch.dtype, observe: object = None) -> None:
        self.net, self.dtype, self.observe = network, dtype, observe

    def input(self, frames: Tensor) -> Tensor:
        return frames.to(self.dtype).unsqueeze(2)

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = (t.to(self.dtype) for t in (self.net.weight_levels(layer), self.net.bias_levels(layer)))
        acc = F.conv2d(traversal.pad(layer, x), weight, stride=layer.stride) + bias.view(1, -1, 1, 1)
        return self.requantize(layer, acc, self.net.multiplier(layer).view(1, -1, 1, 1))

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        ka, kb = self.net.add_factors(layer)
        exact = scaled(ka * a + kb * b, self.net.multiplier(layer))
        if torch.is_grad_enabled():  # the factors are integers: the gradient takes the real ratio of the steps
            step_a, step_b, step = (self.net.step(name) for name in (*layer.inputs, layer.name))
            real = a * (step_a / step).to(self.dtype) + b * (step_b / step).to(self.dtype)
            exact = exact.detach() + (real - real.detach())
        return self.net.round_levels(exact, layer.name).to(self.dtype)

    def multiply(self, layer: Layer, a: Tensor, gate: Tensor) -> Tensor:
        raise _not_quantized(layer)

    def gem_pool(self, layer: Layer, x: Tensor) -> Tensor:
        raise _not_quantized(layer)

    def window_pool(self, layer: Layer, total: Tensor, top: Tensor) -> Tensor:
        raise _not_quantized(layer)

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        acc = torch.cat([total + size * top for size, total, top in traversal.strips(layer, x)], 1)
        return self.requantize(layer, acc, self.net.multiplier(layer).unsqueeze(-1))

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = (t.to(self.dtype) for t in (self.net.weight_levels(layer), self.net.bias_levels(layer)))
        acc = torch.einsum("npi,pio->npo", x, weight) + bias
        return self.requantize(layer, acc, self.net.multiplier(layer))

    def requantize(self, layer: Layer, acc: Tensor, multiplier: Tensor) -> Tensor:
        """Levels of an accumulator, activation included."""
        name = f"{layer.name}.pre" if has_table(layer) else layer.name
        levels = self.net.round_levels(scaled(acc, multiplier), name).to(self.dtype)
        if not has_table(layer):
            return levels
        if callable(self.observe):
            self.observe(name, levels if levels.ndim != 4 else levels.unsqueeze(0))
        return self.net.table_levels(layer, levels)


def _not_quantized(layer: Layer) -> QgaitError:
    return QgaitError(
        f"Layers of the kind {layer.kind} ({layer.name}) cannot be quantized yet.", "use the float level."
    )
