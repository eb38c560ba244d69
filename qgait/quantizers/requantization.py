"""From accumulators to the integers of a grid, and the gradient of that, in few passes over memory.

One step of a layer is ``clip(round((acc + bias) * multiplier))``, and where a table follows
``clip(round(activate(integers * ratio)))``. Written as separate operations it is a dozen passes over memory forward and
two dozen backward. Here it is one autograd function that keeps the accumulator alone, computes the rest anew in the
backward, and on a processor works on pieces that stay in its cache.

Values are [R, L]: rows of one length, so that what differs by channel or part is one vector [L].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.models.layers import LEAKY_SLOPE
from qgait.quantizers.rounding import unclipped
from qgait.quantizers.surrogates import Surrogate

PIECE = 2**16  # elements a thread: a few float32 arrays of it fit in a second-level cache


@dataclass(frozen=True)
class Rounding:
    """The integers that a value is rounded to, and whose gradient stands in for that of rounding."""

    low: int
    high: int
    surrogate: Surrogate

    def round_(self, u: Tensor) -> Tensor:
        """``u`` rounded half up and clipped, in place."""
        return u.add_(0.5).floor_().clamp_(self.low, self.high)

    def inside(self, grad: Tensor, u: Tensor) -> Tensor:
        """``grad`` where ``u`` is not clipped, zero elsewhere."""
        tiny = torch.finfo(u.dtype).tiny  # the library's bounds are exclusive
        ends = unclipped(self.low, self.high, self.surrogate)
        bounds = np.array(ends, torch.empty(0, dtype=u.dtype).numpy().dtype)
        low, high = np.nextafter(bounds, bounds.dtype.type([-np.inf, np.inf]))
        result: Tensor = torch.ops.aten.hardtanh_backward(grad, u, min(float(low), -tiny), max(float(high), tiny))
        return result

    def backward(self, grad: Tensor, u: Tensor) -> Tensor:
        """The gradient of ``u`` from that of its integer."""
        return self.inside(self.surrogate.backward(grad, u, self.high - self.low), u)

    def error(self, u: Tensor) -> Tensor:
        """``u`` minus its integer inside the grid, zero outside."""
        return self.inside(u - self.round_(u.clone()), u)


@dataclass(frozen=True)
class Requantization:
    """The rule by which an accumulator becomes integers of a grid.

    ``last`` is the rounding that gives them, ``before_table`` that before a leaky ReLU's table, if one follows;
    ``compute`` is the dtype of the arithmetic, ``result`` that of the integers.
    """

    last: Rounding
    before_table: Rounding | None
    compute: torch.dtype
    result: torch.dtype


def pieces(x: Tensor) -> Iterator[slice]:
    """Slices of the rows of [R, L]: small ones where there is a cache to stay in, one where there is a GPU to fill."""
    rows, length = x.shape
    count = rows if x.is_cuda else max(1, PIECE * torch.get_num_threads() // length)
    for start in range(0, rows, count):
        yield slice(start, start + count)


class _Requantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        acc: Tensor,
        bias: Tensor | None,
        multiplier: Tensor,
        ratio: Tensor | None,
        unit: Tensor,
        how: Requantization,
    ) -> Tensor:
        ctx.save_for_backward(acc, bias, multiplier, ratio)
        ctx.how = how
        result = torch.empty(acc.shape, dtype=how.result, device=acc.device)
        for piece in pieces(acc):
            t = _total(acc[piece], bias, how.compute) * multiplier
            if how.before_table is not None:
                t = F.leaky_relu_(how.before_table.round_(t).mul_(ratio), LEAKY_SLOPE)
            result[piece] = how.last.round_(t)
        return result

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
        acc, bias, multiplier, ratio = ctx.saved_tensors
        how: Requantization = ctx.how
        by_acc = torch.empty_like(acc)
        by_bias, by_multiplier, by_ratio, by_unit = torch.zeros(4, acc.shape[1], dtype=torch.float64, device=acc.device)
        for piece in pieces(acc):
            total = _total(acc[piece], bias, how.compute)
            u = total * multiplier
            g = grads[piece].to(how.compute)
            if how.before_table is not None:
                before = how.before_table.round_(u.clone())
                v = F.leaky_relu_(before * ratio, LEAKY_SLOPE)
            else:
                v = u
            if how.last.surrogate.clip_only:
                by_unit += (how.last.error(v) * g).sum(0)
            g = how.last.backward(g, v)
            if how.before_table is not None:
                g = torch.ops.aten.leaky_relu_backward(g, before, LEAKY_SLOPE, False)
                by_ratio += before.mul_(g).sum(0)
                g = how.before_table.backward(g.mul_(ratio), u)
            by_bias += g.sum(0)
            by_multiplier += total.mul_(g).sum(0)
            by_acc[piece] = g * multiplier
        return (
            by_acc,
            None if bias is None else (by_bias * multiplier).to(bias.dtype),
            by_multiplier.to(multiplier.dtype),
            None if ratio is None else by_ratio.to(ratio.dtype),
            by_unit.to(multiplier.dtype),
            None,
        )


def requantize(
    acc: Tensor, bias: Tensor | None, multiplier: Tensor, ratio: Tensor | None, unit: Tensor, how: Requantization
) -> Tensor:
    """Integers [R, L] of accumulators [R, L], with ``bias``, ``multiplier`` and, before a table, ``ratio`` [L].

    ``unit`` [L] is ones; with a surrogate that learns clips it carries the gradient that cancels what the step would
    learn from values inside the grid. ``bias`` has the accumulator's dtype, or float32 where that is bfloat16.
    """
    result: Tensor = _Requantize.apply(acc, bias, multiplier, ratio, unit, how)
    return result


def _total(acc: Tensor, bias: Tensor | None, compute: torch.dtype) -> Tensor:
    """Always a new tensor."""
    return (acc + bias).to(compute) if bias is not None else acc.to(compute, copy=True)


class _RequantizeSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        real_a: Tensor,
        real_b: Tensor,
        unit: Tensor,
        factors: tuple[int, int],
        multiplier: Tensor,
        how: Requantization,
    ) -> Tensor:
        ctx.save_for_backward(a, b, real_a, real_b, multiplier)
        ctx.factors, ctx.how = factors, how
        result = torch.empty(a.shape, dtype=how.result, device=a.device)
        for piece in pieces(a):
            result[piece] = how.last.round_(_sum(a[piece], b[piece], factors, multiplier, how))
        return result

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b, real_a, real_b, multiplier = ctx.saved_tensors
        how: Requantization = ctx.how
        by_a, by_b = torch.empty_like(a), torch.empty_like(b)
        by_real_a, by_real_b, by_unit = torch.zeros(3, a.shape[1], dtype=torch.float64, device=a.device)
        for piece in pieces(a):
            u = _sum(a[piece], b[piece], ctx.factors, multiplier, how)
            g = grads[piece].to(how.compute)
            if how.last.surrogate.clip_only:
                by_unit += (how.last.error(u) * g).sum(0)
            g = how.last.backward(g, u)
            by_real_a += (a[piece] * g).sum(0)
            by_real_b += (b[piece] * g).sum(0)
            by_a[piece] = g * real_a
            by_b[piece] = g * real_b
        steps = (by_real_a.to(real_a.dtype), by_real_b.to(real_b.dtype), by_unit.to(multiplier.dtype))
        return by_a, by_b, *steps, None, None, None


def requantize_sum(
    a: Tensor,
    b: Tensor,
    real_a: Tensor,
    real_b: Tensor,
    unit: Tensor,
    factors: tuple[int, int],
    multiplier: Tensor,
    how: Requantization,
) -> Tensor:
    """Integers [R, L] of a residual addition ``(ka a + kb b) * multiplier``.

    The factors are integers near the ratio of the steps: gradients take the real ratios ``real_a``, ``real_b`` [L].
    """
    result: Tensor = _RequantizeSum.apply(a, b, real_a, real_b, unit, factors, multiplier, how)
    return result


def _sum(a: Tensor, b: Tensor, factors: tuple[int, int], multiplier: Tensor, how: Requantization) -> Tensor:
    wide = torch.float32 if a.dtype == torch.bfloat16 else a.dtype
    ka, kb = factors
    return (a.to(wide) * ka).add_(b, alpha=kb).to(how.compute).mul_(multiplier)
