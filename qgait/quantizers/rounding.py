"""Rounding with a gradient: half up, as the integer rule rounds, with the straight-through estimator behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
