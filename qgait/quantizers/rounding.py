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


def unclipped(low: int, high: int, surrogate: Surrogate) -> tuple[float, float]:
    """The first and the last ``u`` that rounding to the integers low .. high does not clip: half a step beyond them.

    A step is often the largest weight over the last integer, which float32 then puts at 127.00001: were it called
    clipped, that weight could not move and its step would grow for nothing. Below a grid that begins at 0 a ReLU cuts,
    and PACT's clip is the last integer itself.
    """
    if surrogate.clip_only:
        return low, high
    return (low - 0.5 if low else 0), high + 0.5


class _RoundClip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, low: int, high: int, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.low, ctx.high, ctx.surrogate = low, high, surrogate
        return torch.clamp(torch.floor(u + 0.5), low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (u,) = ctx.saved_tensors
        first, last = unclipped(ctx.low, ctx.high, ctx.surrogate)
        inside = (u >= first) & (u <= last)
        return torch.where(inside, ctx.surrogate.backward(grad, u, ctx.high - ctx.low), 0), None, None, None


def round_clip(u: Tensor, low: int, high: int, surrogate: Surrogate) -> Tensor:
    """``u`` on the integers low .. high: always ``clamp(floor(u + 0.5), low, high)``.

    The gradient is the surrogate's where nothing is clipped (``unclipped``) and zero outside.
    """
    return _RoundClip.apply(u, low, high, surrogate)
