"""Steps of the weights: per output channel, symmetric, least squared error."""

from __future__ import annotations

import torch
from torch import Tensor

from qgait.quantizers.grid import weight_limit

CANDIDATES = 80
SMALLEST = 0.3  # share of the step that clips nothing


def weight_steps(weight: Tensor, bits: int, method: str, channel_dims: tuple[int, ...]) -> Tensor:
    """Steps of the channels that ``channel_dims`` span: [O] for OIHW with (0,), [P, O] for PIO with (0, 2).

    ``minmax`` clips nothing; the other methods search for the least squared error of the rounded weights.
    """
    limit = weight_limit(bits)
    others = tuple(d for d in range(weight.ndim) if d not in channel_dims)
    widest = weight.abs().amax(others, keepdim=True).clamp_min(1e-12) / limit
    if method == "minmax":
        return widest.squeeze(others)
    best_error = torch.full_like(widest, torch.inf)
    best = widest.clone()
    for share in torch.linspace(1.0, SMALLEST, CANDIDATES, dtype=weight.dtype):
        step = widest * share
        rounded = torch.clamp(torch.floor(weight / step + 0.5), -limit, limit) * step
        error = (rounded - weight).square().sum(others, keepdim=True)
        better = error < best_error
        best = torch.where(better, step, best)
        best_error = torch.where(better, error, best_error)
    return best.squeeze(others)
