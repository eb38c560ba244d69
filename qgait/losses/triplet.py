"""Batch-all triplet loss over parts, as OpenGait computes it (Hermans et al. 2017; Chao et al., AAAI 2019)."""

from __future__ import annotations

from torch import Tensor

from qgait.losses.batch_all import batch_all_hinge
from qgait.losses.distances import part_distances

MARGIN = 0.2


def triplet_loss(embeddings: Tensor, labels: Tensor, margin: float = MARGIN) -> tuple[Tensor, Tensor]:
    """(loss, share of active triplets), of embeddings [n, P, C] and integer labels [n].

    Every anchor with every positive, itself included, and every negative: max(d_ap - d_an + margin, 0), averaged over
    the terms that are not zero (the active ones), then over the parts. Always float32 (float64 of float64). With fewer
    than two labels there is no triplet and the loss is 0. Because only active terms count, the share falls long before
    the loss does.
    """
    return batch_all_hinge(part_distances(embeddings), labels, margin)
