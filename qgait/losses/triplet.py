"""Batch-all triplet loss over parts, as OpenGait computes it (Hermans et al. 2017; Chao et al., AAAI 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

MARGIN = 0.2
EPSILON = 1e-9


def part_distances(embeddings: torch.Tensor) -> torch.Tensor:
    """Euclidean distances of all pairs, part by part: [n, P, C] -> float32 [P, n, n]."""
    x = embeddings.float().transpose(0, 1)
    squares = x.square().sum(-1)
    return (squares[:, :, None] + squares[:, None, :] - 2 * x @ x.transpose(1, 2)).relu().sqrt()


def triplet_loss(
    embeddings: torch.Tensor, labels: torch.Tensor, margin: float = MARGIN
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, share of active triplets), of embeddings [n, P, C] and integer labels [n].

    Every anchor with every positive, itself included, and every negative: max(d_ap - d_an + margin, 0), averaged over
    the terms that are not zero (the active ones), then over the parts. Always float32. With fewer than two labels
    there is no triplet and the loss is 0. Because only active terms count, the share falls long before the loss does.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        distances = part_distances(embeddings)
        same = labels[:, None] == labels[None, :]
        anchor, positive, negative = torch.nonzero(same[:, :, None] & ~same[:, None, :], as_tuple=True)
        terms = F.relu(distances[:, anchor, positive] - distances[:, anchor, negative] + margin)
        active = (terms > 0).sum(dim=1)
        share = active.float().mean() / max(terms.shape[1], 1)
        return (terms.sum(dim=1) / (active + EPSILON)).mean(), share
