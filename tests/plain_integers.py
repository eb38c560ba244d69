"""Layers on integers as separate operations with their own gradients: slow, and what the fused ones must equal."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.models.layers import Layer, activate
from qgait.quantizers import traversal
from qgait.quantizers.rounding import round_clip
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.step_owners import has_table
from qgait.quantizers.surrogates import StraightThrough


def forget_inside(integers: Tensor, u: Tensor, low: int, high: int, step: Tensor) -> Tensor:
    """``integers`` unchanged, such that ``step`` learns nothing from the values that are not clipped.

    ``u`` is a real value over ``step``. Through ``u`` the step's gradient is ``-u / step``, through the integers' later
    use ``integers``; inside the grid they differ by the rounding error, and adding that error back cancels them.
    """
    inside = (u >= low) & (u <= high)
    error = torch.where(inside, u - integers, 0).detach()
    return integers + error * (step / step.detach() - 1).to(integers.dtype)


def column(step: Tensor) -> Tensor:
    """A step of each part, [P], as [P, 1]; a single one as it is."""
    return step.unsqueeze(-1) if step.ndim else step


def scaled(acc: Tensor, multiplier: Tensor) -> Tensor:
    """In float64, where it is exact, unless a gradient is wanted."""
    return acc * multiplier.to(acc.dtype) if torch.is_grad_enabled() else acc.double() * multiplier


class PlainArithmetic:
    """An ``Arithmetic`` for ``qgait.quantizers.traversal``, of networks without generalized means."""

    def __init__(self, network: SimulatedNetwork, dtype: torch.dtype) -> None:
        self.net, self.dtype = network, dtype

    def input(self, frames: Tensor) -> Tensor:
        return frames.to(self.dtype).unsqueeze(2)

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = (t.to(self.dtype) for t in (self.net.weight_integers(layer), self.net.bias_integers(layer)))
        acc = F.conv2d(traversal.pad(layer, x), weight, stride=layer.stride) + bias.view(1, -1, 1, 1)
        return self._requantize(layer, acc, self.net.multiplier(layer).view(1, -1, 1, 1))

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        ka, kb = self.net.add_factors(layer)
        exact = scaled(ka * a + kb * b, self.net.multiplier(layer))
        if torch.is_grad_enabled():  # the factors are integers: the gradient takes the real ratio of the steps
            step_a, step_b, step = (column(self.net.step(name)) for name in (*layer.inputs, layer.name))
            real = a * (step_a / step).to(self.dtype) + b * (step_b / step).to(self.dtype)
            exact = exact.detach() + (real - real.detach())
        return self._round(exact, layer.name).to(self.dtype)

    def multiply(self, layer: Layer, a: Tensor, gate: Tensor) -> Tensor:
        return self._requantize(layer, a * gate, column(self.net.multiplier(layer)))

    def window_pool(self, layer: Layer, total: Tensor, top: Tensor) -> Tensor:
        return self._requantize(layer, total + layer.size * top, column(self.net.multiplier(layer)))

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        acc = torch.cat([total + size * top for size, total, top in traversal.strips(layer, x)], 1)
        return self._requantize(layer, acc, self.net.multiplier(layer).unsqueeze(-1))

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = (t.to(self.dtype) for t in (self.net.weight_integers(layer), self.net.bias_integers(layer)))
        acc = torch.einsum("npi,pio->npo", x, weight) + bias
        return self._requantize(layer, acc, self.net.multiplier(layer))

    def _requantize(self, layer: Layer, acc: Tensor, multiplier: Tensor) -> Tensor:
        if not has_table(layer):
            return self._round(scaled(acc, multiplier), layer.name).to(self.dtype)
        before = self._round(scaled(acc, multiplier), f"{layer.name}.pre").to(self.dtype)
        inner, outer = column(self.net.step(f"{layer.name}.pre")), 1 / column(self.net.step(layer.name))
        if layer.activation == "leaky_relu":  # a factor may go through it
            inner, outer = inner * outer, torch.ones(())
        return self._round(activate(scaled(before, inner), layer.activation) * outer, layer.name).to(self.dtype)

    def _round(self, u: Tensor, tensor: str) -> Tensor:
        low, high = self.net.grids[tensor].min_integer, self.net.grids[tensor].max_integer
        surrogate = StraightThrough() if tensor.endswith(".pre") else self.net.surrogates.activations
        integers = round_clip(u, low, high, surrogate)
        if surrogate.clip_only and torch.is_grad_enabled():
            step = self.net.step(tensor)
            integers = forget_inside(integers, u, low, high, column(step))
        return integers


def forward(network: SimulatedNetwork, frames: Tensor, dtype: torch.dtype) -> Tensor:
    """Embedding integers [n, P, C], as ``network(frames, dtype)``."""
    return traversal.run(network.layers, frames.to(dtype), PlainArithmetic(network, dtype))
