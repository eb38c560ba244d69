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
from qgait.quantizers.requantization import Levels, Rounding, add_levels, requantize
from qgait.quantizers.surrogates import StraightThrough

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


class LevelArithmetic:
    """Layers on levels. ``observe`` sees the levels before every table, under the name ``<layer>.pre``.

    ``dtype`` is that of levels and convolutions. Float64 is exact. Float32 is exact up to accumulators of 2**24.
    Bfloat16 holds every level, but a convolution then rounds its accumulators to 8 bits, so that some levels differ
    from the integers': for training alone. All else is computed in float32 then.
    """

    def __init__(self, network: SimulatedNetwork, dtype: torch.dtype, observe: object = None) -> None:
        if dtype not in (torch.float64, torch.float32, torch.bfloat16):
            raise QgaitError(
                f"Levels cannot be computed in {str(dtype).removeprefix('torch.')}: accumulators are too large for it.",
                "use bfloat16, float32 or float64.",
            )
        self.net, self.dtype, self.observe = network, dtype, observe
        self.wide = torch.float32 if dtype == torch.bfloat16 else dtype

    def input(self, frames: Tensor) -> Tensor:
        return frames.to(self.dtype).unsqueeze(-1).movedim(-1, 2)  # one channel, last in memory

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        """Channels are last in memory, which is a third faster.

        A strided 1 x 1 convolution is a dense one on fewer pixels. (In torch 2.13 its gradient, with channels last, can
        write outside its memory.)
        """
        assert layer.weight is not None
        weight, stride = self.net.weight_levels(layer).to(self.dtype), layer.stride
        top, left, bottom, right = layer.padding
        if layer.weight.shape[2:] == (1, 1) and not any(layer.padding):
            x, stride = x[..., :: stride[0], :: stride[1]], (1, 1)
        if (top, left) != (bottom, right):
            x, top, left = traversal.pad(layer, x), 0, 0
        x = x.contiguous(memory_format=torch.channels_last)
        acc = F.conv2d(x, weight, stride=stride, padding=(top, left))
        return self.requantize(layer, acc, self.net.bias_levels(layer))

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        step_a, step_b, step = (self.net.step(name) for name in (*layer.inputs, layer.name))
        rows = _Rows(a)
        how = self.how(layer.name, None)
        levels = add_levels(
            rows.of(a),
            rows.of(b),
            rows.vector(step_a / step, how.compute),
            rows.vector(step_b / step, how.compute),
            rows.vector(self.unit(layer.name), how.compute),
            self.net.add_factors(layer),
            self.net.multiplier(layer).detach().to(how.compute),
            how,
        )
        return rows.back(levels)

    def multiply(self, layer: Layer, a: Tensor, gate: Tensor) -> Tensor:
        raise _not_quantized(layer)

    def gem_pool(self, layer: Layer, x: Tensor) -> Tensor:
        raise _not_quantized(layer)

    def window_pool(self, layer: Layer, total: Tensor, top: Tensor) -> Tensor:
        raise _not_quantized(layer)

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        strips = traversal.strips(layer, x.to(self.wide))
        return self.requantize(layer, torch.cat([total + size * top for size, total, top in strips], 1), None)

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        weight = self.net.weight_levels(layer).to(self.wide)
        acc = torch.einsum("npi,pio->npo", x.to(self.wide), weight)
        return self.requantize(layer, acc, self.net.bias_levels(layer))

    def requantize(self, layer: Layer, acc: Tensor, bias: Tensor | None) -> Tensor:
        """Levels of an accumulator [n, C, H, W] or [n, P, C] without its bias [C] or [P, C]; activation included."""
        if has_table(layer) and callable(self.observe):
            before = self._levels(layer, acc, bias, f"{layer.name}.pre", None)
            self.observe(f"{layer.name}.pre", before if before.ndim != 4 else before.unsqueeze(0))
            return self.net.table_levels(layer, before)
        return self._levels(layer, acc, bias, layer.name, f"{layer.name}.pre" if has_table(layer) else None)

    def _levels(self, layer: Layer, acc: Tensor, bias: Tensor | None, result: str, before_table: str | None) -> Tensor:
        rows, how = _Rows(acc), self.how(result, before_table)
        exact = torch.float32 if acc.dtype == torch.bfloat16 else acc.dtype
        multiplier = self.net.multiplier(layer)
        if layer.kind == "strip_pool":
            multiplier = multiplier.unsqueeze(-1)
        ratio = None if before_table is None else self.net.step(before_table) / self.net.step(result)
        levels = requantize(
            rows.of(acc),
            None if bias is None else rows.vector(bias, exact),
            rows.vector(multiplier, how.compute),
            None if ratio is None else rows.vector(ratio, how.compute),
            rows.vector(self.unit(result), how.compute),
            how,
        )
        return rows.back(levels)

    def how(self, result: str, before_table: str | None) -> Levels:
        """The roundings; in float64, where multiplying is exact, unless a gradient is wanted and speed counts."""
        compute = self.wide if torch.is_grad_enabled() else torch.float64
        before = None if before_table is None else self.rounding(before_table)
        return Levels(self.rounding(result), before, compute, self.dtype)

    def rounding(self, tensor: str) -> Rounding:
        """The value before a table is no activation that a network is meant to have: always straight through."""
        grid = self.net.grids[tensor]
        surrogate = StraightThrough() if tensor.endswith(".pre") else self.net.surrogates.activations
        return Rounding(grid.min_level, grid.max_level, surrogate)

    def unit(self, tensor: str) -> Tensor:
        """One, with the gradient of the step's logarithm."""
        step = self.net.step(tensor)
        return (step / step.detach()).unsqueeze(-1) if step.ndim else step / step.detach()


class _Rows:
    """A map [n, C, H, W] or parts [n, P, C] as rows [R, L] in the order of memory, and back."""

    def __init__(self, value: Tensor) -> None:
        self.is_map = value.ndim == 4
        self.shape = value.permute(0, 2, 3, 1).shape if self.is_map else value.shape
        self.length = self.shape[-2:].numel()

    def of(self, value: Tensor) -> Tensor:
        return (value.permute(0, 2, 3, 1) if self.is_map else value).reshape(-1, self.length)

    def vector(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """What differs by channel, part or not at all, for one row [L]."""
        return value.to(dtype).expand(self.shape[-2:]).reshape(-1)

    def back(self, rows: Tensor) -> Tensor:
        value = rows.view(self.shape)
        return value.permute(0, 3, 1, 2) if self.is_map else value


def _not_quantized(layer: Layer) -> QgaitError:
    return QgaitError(
        f"Layers of the kind {layer.kind} ({layer.name}) cannot be quantized yet.", "use the float level."
    )
