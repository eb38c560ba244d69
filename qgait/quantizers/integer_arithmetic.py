"""How layers compute with integers: a sum of products, one rounding, a clip, a table.

An *integer* is ``code - zero_point`` of its grid. ``LearnedNumbers`` has the numbers; this is what is done with them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.errors import QgaitError
from qgait.models.layers import GEM_FLOOR, Layer, activate
from qgait.quantizers import traversal
from qgait.quantizers.learned_numbers import LearnedNumbers
from qgait.quantizers.requantization import Requantization, Rounding, requantize, requantize_sum
from qgait.quantizers.rounding import round_clip
from qgait.quantizers.step_owners import has_table
from qgait.quantizers.surrogates import StraightThrough


class IntegerArithmetic:
    """Layers on integers. ``observe`` sees the integers before every table, under the name ``<layer>.pre``.

    Values of frames come with clips and frames on one axis, to ``observe`` too.

    ``dtype`` is that of integers and convolutions. Float64 is exact. Float32 is exact up to accumulators of 2**24.
    Bfloat16 holds every integer, but a convolution then rounds its accumulators to 8 bits, so that some integers differ
    from the integers': for training alone. All else is computed in float32 then.
    """

    def __init__(self, network: LearnedNumbers, dtype: torch.dtype, observe: object = None) -> None:
        if dtype not in (torch.float64, torch.float32, torch.bfloat16):
            raise QgaitError(
                f"Accumulators are too large for {str(dtype).removeprefix('torch.')}.",
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
        weight, stride = self.net.weight_integers(layer).to(self.dtype), layer.stride
        top, left, bottom, right = layer.padding
        if layer.weight.shape[2:] == (1, 1) and not any(layer.padding):
            x, stride = x[..., :: stride[0], :: stride[1]], (1, 1)
        if (top, left) != (bottom, right):
            x, top, left = traversal.pad(layer, x), 0, 0
        x = x.contiguous(memory_format=torch.channels_last)
        acc = F.conv2d(x, weight, stride=stride, padding=(top, left), groups=traversal.groups(layer, x))
        return self.requantize(layer, acc, self.net.bias_integers(layer))

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        step_a, step_b, step = (column(self.net.step(name)) for name in (*layer.inputs, layer.name))
        rows = _Rows(a)
        how = self.how(layer.name, None)
        integers = requantize_sum(
            rows.of(a),
            rows.of(b),
            rows.vector(step_a / step, how.compute),
            rows.vector(step_b / step, how.compute),
            rows.vector(self.unit(layer.name), how.compute),
            self.net.add_factors(layer),
            self.net.multiplier(layer).detach().to(how.compute),
            how,
        )
        return rows.back(integers)

    def multiply(self, layer: Layer, a: Tensor, gate: Tensor) -> Tensor:
        return self.requantize(layer, a.to(self.wide) * gate.to(self.wide), None)

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        strips = traversal.strips(layer, x.to(self.wide))
        sums = [total if layer.pool == "mean" else total + size * top for size, total, top in strips]
        return self.requantize(layer, torch.cat(sums, 1), None)

    def window_pool(self, layer: Layer, total: Tensor, top: Tensor) -> Tensor:
        return self.requantize(layer, total.to(self.wide) + layer.size * top.to(self.wide), None)

    def gem_pool(self, layer: Layer, x: Tensor) -> Tensor:
        """Sums of powers and thresholds, as in the integer graph; the gradient is that of the float generalized mean.

        It is computed in float64, where powers do not vanish. The exponents are not trained.
        """
        powers, thresholds = (torch.from_numpy(table).to(x.device) for table in self.net.power_tables(layer))
        first = self.net.grid(layer.inputs[0]).zero_point + 128
        grid = self.net.grid(layer.name)
        codes = (x.detach() + first).long().split(layer.rows, 2)
        integers = []
        for region, table, limits in zip(codes, powers, thresholds, strict=True):
            total = table[region].sum((2, 3))
            integers.append(torch.searchsorted(limits, total, right=True) + grid.min_integer)
        exact = torch.stack(integers, 1).to(self.dtype)
        if not torch.is_grad_enabled():
            return exact
        real = (x.double() * self.net.step(layer.inputs[0])).clamp_min(GEM_FLOOR).split(layer.rows, 2)
        means = [region.pow(p).mean((2, 3)).pow(1 / p) for region, p in zip(real, layer.powers, strict=True)]
        return self.instead_of(exact, torch.stack(means, 1) / column(self.net.step(layer.name)), layer.name)

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        weight = self.net.weight_integers(layer).to(self.wide)
        acc = torch.einsum("npi,pio->npo", x.to(self.wide), weight)
        return self.requantize(layer, acc, self.net.bias_integers(layer))

    def requantize(self, layer: Layer, acc: Tensor, bias: Tensor | None) -> Tensor:
        """Integers of an accumulator [n, C, H, W] or [n, P, C] without its bias [C] or [P, C]; activation included."""
        before = f"{layer.name}.pre" if has_table(layer) else None
        if before is not None and (callable(self.observe) or layer.activation != "leaky_relu"):
            integers = self._round(layer, acc, bias, before, None)
            if callable(self.observe):
                self.observe(before, integers)
            return self.table(layer, integers)
        return self._round(layer, acc, bias, layer.name, before)

    def table(self, layer: Layer, before: Tensor) -> Tensor:
        """The integers behind a table from those before it."""
        first = self.net.grids[f"{layer.name}.pre"].zero_point + 128
        exact = self.net.table_integers(layer).to(before.device)[(before.detach() + first).long()].to(self.dtype)
        if not torch.is_grad_enabled():
            return exact
        inner, outer = self.net.table_scales(layer)
        return self.instead_of(exact, activate(before.to(self.wide) * inner, layer.activation) * outer, layer.name)

    def instead_of(self, exact: Tensor, u: Tensor, tensor: str) -> Tensor:
        """``exact``, with the gradient of the integers that ``u`` is rounded to."""
        rounding = self.rounding(tensor)
        integers = round_clip(u, rounding.low, rounding.high, rounding.surrogate)
        if rounding.surrogate.clip_only:
            integers = integers + rounding.error(u.detach()) * (self.unit(tensor) - 1)
        return exact + (integers - integers.detach()).to(exact.dtype)

    def _round(self, layer: Layer, acc: Tensor, bias: Tensor | None, result: str, before_table: str | None) -> Tensor:
        rows, how = _Rows(acc), self.how(result, before_table)
        exact = torch.float32 if acc.dtype == torch.bfloat16 else acc.dtype
        multiplier = self.net.multiplier(layer)
        if layer.kind != "conv" and multiplier.ndim == 1:
            multiplier = column(multiplier)
        ratio = None if before_table is None else self.net.table_scales(layer)[0]
        integers = requantize(
            rows.of(acc),
            None if bias is None else rows.vector(bias, exact),
            rows.vector(multiplier, how.compute),
            None if ratio is None else rows.vector(ratio, how.compute),
            rows.vector(self.unit(result), how.compute),
            how,
        )
        return rows.back(integers)

    def how(self, result: str, before_table: str | None) -> Requantization:
        """The roundings; in float64, where multiplying is exact, unless a gradient is wanted and speed counts."""
        compute = self.wide if torch.is_grad_enabled() else torch.float64
        before = None if before_table is None else self.rounding(before_table)
        return Requantization(self.rounding(result), before, compute, self.dtype)

    def rounding(self, tensor: str) -> Rounding:
        """The value before a table is no activation that a network is meant to have: always straight through."""
        grid = self.net.grids[tensor]
        surrogate = StraightThrough() if tensor.endswith(".pre") else self.net.surrogates.activations
        return Rounding(grid.min_integer, grid.max_integer, surrogate)

    def unit(self, tensor: str) -> Tensor:
        """One, with the gradient of the step's logarithm."""
        step = column(self.net.step(tensor))
        return step / step.detach()


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


def column(step: Tensor) -> Tensor:
    """What differs by part as [P, 1], for values [n, P, C]; a scalar as it is."""
    return step.unsqueeze(-1) if step.ndim else step
