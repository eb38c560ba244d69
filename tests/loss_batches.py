"""The losses of embeddings by name, batches for them, and a plain loop over samples, whose gradient is autograd's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from qgait.losses.center_ranked import MODES, center_ranked_loss
from qgait.losses.generalized_inter_class import pairwise_softmax_loss, uniformity_loss, weighted_margin_loss
from qgait.losses.triplet import triplet_loss

LABELS = [4, 0, 0, 4, 7, 4, 0]  # in no order; a label of one sample, and two of three

Loss = Callable[[Tensor, Tensor], Tensor]


def triplet(embeddings: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """The triplet loss without the share of active triplets."""
    return triplet_loss(embeddings, labels, margin)[0]


LOSSES: dict[str, Loss] = {
    "triplet": triplet,
    "weighted_margin": weighted_margin_loss,
    "softmax": pairwise_softmax_loss,
    "softmax of cosines": partial(pairwise_softmax_loss, normalize=True),
    "filtered softmax": partial(pairwise_softmax_loss, filter_part=1),
    "uniformity": uniformity_loss,
    **{f"center {mode}": partial(center_ranked_loss, mode=mode) for mode in MODES},
    "center of directions": partial(center_ranked_loss, normalize=True),
}


def batch(labels: list[int] = LABELS, parts: int = 3, channels: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Embeddings float64 [n, P, C] that want a gradient, and labels [n]."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(labels), parts, channels, generator=generator, dtype=torch.float64) * 0.4
    return embeddings.requires_grad_(), torch.tensor(labels)


def value_and_gradient(loss: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and its gradient of ``embeddings``."""
    (gradient,) = torch.autograd.grad(loss, embeddings)
    return loss.detach(), gradient


def triples(labels: Tensor) -> list[tuple[int, int, int]]:
    """All (anchor, positive, negative), the anchor itself being one of its positives."""
    n = range(len(labels))
    return [(a, i, j) for a in n for i in n for j in n if labels[a] == labels[i] and labels[a] != labels[j]]


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean; of equal vectors 0 without a gradient."""
    squares = ((a - b) ** 2).sum()
    return squares.sqrt() if squares > 0 else squares.detach()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Of two vectors that are not 0."""
    return (a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt()


def slow_triplet(
    embeddings: Tensor, labels: Tensor, margin: float, weights: dict[tuple[int, int, int], float] | None = None
) -> tuple[Tensor, float]:
    """(loss, share of active triplets); ``weights`` multiply the distance of (part, i, j)."""
    total, shares = torch.zeros((), dtype=torch.float64), []
    for p in range(embeddings.shape[1]):
        x, active = embeddings[:, p], []
        for a, i, j in triples(labels):
            near = distance(x[a], x[i]) * (weights[p, a, i] if weights else 1)
            far = distance(x[a], x[j]) * (weights[p, a, j] if weights else 1)
            if near - far + margin > 0:
                active.append(near - far + margin)
        if active:
            total = total + torch.stack(active).mean() / embeddings.shape[1]
        shares.append(len(active) / len(triples(labels)))
    return total, sum(shares) / len(shares)
