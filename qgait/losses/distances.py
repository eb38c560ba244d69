"""Euclidean distances part by part, with a gradient that takes little time and memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """``x`` as float32, or as float64 where it is float64: half precision is too coarse for a loss."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def part_distances(embeddings: Tensor, others: Tensor | None = None) -> Tensor:
    """Distances of all pairs: [n, P, C] -> [P, n, n], or to ``others`` [m, P, C] -> [P, n, m]; float32 or float64.

    Where a distance is 0, so is its gradient; a sample's distance to itself is exactly 0. What all embeddings share is
    taken off first, because it costs digits. Memory grows as P n^2 and P n C, not as P n^2 C. The gradient has none.
    """
    x = widened(embeddings).transpose(0, 1)
    mean = x.detach().mean(1, keepdim=True)
    with torch.autocast(embeddings.device.type, enabled=False):
        return _Distances.apply(x - mean, None if others is None else widened(others).transpose(0, 1) - mean)


class _Distances(torch.autograd.Function):
    """[P, n, C] and [P, m, C], or None for the first again -> [P, n, m].

    Autograd of the same formula keeps five matrices [P, n, n] and multiplies twice as much.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor | None) -> Tensor:
        ctx.within = b is None
        b = a if b is None else b
        distances = torch.matmul(a, b.transpose(1, 2)).mul_(-2)
        distances += a.square().sum(-1)[:, :, None]
        distances += b.square().sum(-1)[:, None, :]
        distances.relu_().sqrt_()
        if ctx.within:
            distances.diagonal(dim1=1, dim2=2).zero_()
        ctx.save_for_backward(a, b, distances)
        return distances

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        a, b, distances = ctx.saved_tensors
        share = (gradient / distances).masked_fill_(distances == 0, 0)
        with torch.autocast(gradient.device.type, enabled=False):
            if ctx.within:
                share = share + share.transpose(1, 2)
                return a * share.sum(-1, keepdim=True) - share @ a, None
            back = share.transpose(1, 2)
            return a * share.sum(-1, keepdim=True) - share @ b, b * back.sum(-1, keepdim=True) - back @ a
