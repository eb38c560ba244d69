"""Rounding with a gradient: half up, as the integer rule rounds, with a surrogate's gradient behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qgait.quantizers.surrogates import Surrogate


class _HalfUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def half_up(x: Tensor) -> Tensor:
    """``floor(x + 0.5)``; the gradient is that of the identity (straight-through, as in LSQ)."""
    return _HalfUp.apply(x)


class _RoundClip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, low: int, high: int, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.low, ctx.high, ctx.surrogate = low, high, surrogate
        return torch.clamp(torch.floor(u + 0.5), low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors
        inside = (u >= ctx.low) & (u <= ctx.high)
        return torch.where(inside, ctx.surrogate.backward(grad, u, ctx.high - ctx.low), 0), None, None, None


def round_clip(u: Tensor, low: int, high: int, surrogate: Surrogate) -> Tensor:
    """``u`` on the integers low .. high: always ``clamp(floor(u + 0.5), low, high)``.

    The gradient is the surrogate's for low <= u <= high and zero outside.
    """
    return _RoundClip.apply(u, low, high, surrogate)
