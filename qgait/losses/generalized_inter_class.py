"""Generalized Inter-class Loss (Yu et al., MM 2022, arXiv 2210.06779): two forms, and uniformity of the classes.

The formulas are those of the authors' released code. That its weighted triplet loss is the paper's L_m (weighted
margin) and its softmax loss the paper's L_s is our reading. The explicit uniformity term is ours: that code has none.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.losses.batch_all import batch_all_hinge, count_triples, triple_sums
from qgait.losses.distances import part_distances, widened
from qgait.losses.triplet import MARGIN

SOFTMAX_TEMPERATURE = 0.1
FLOOR = 0.01  # added to the dissimilarity before it becomes a weight
DOUBT = 0.5  # the robust filter's weight of a triple that its part gets wrong
SHARPNESS = 2.0  # of the uniformity's Gaussian (Wang and Isola, ICML 2020)


def weighted_margin_loss(embeddings: Tensor, labels: Tensor, margin: float = MARGIN) -> Tensor:
    """L_m: the batch-all triplet loss of weighted distances, of embeddings [n, P, C] and integer labels [n].

    With v_ij = 1 - (cos(e_i, e_j) + 1) / 2 + 0.01, a pair's Euclidean distance is multiplied by 1 + v_ij / max v, which
    has no gradient; the maximum is over all pairs and parts. Far positives are stretched and pulled harder, far
    negatives count less, and the margin in plain distances differs from triple to triple. Averages as ``triplet_loss``.
    """
    with torch.no_grad(), torch.autocast(embeddings.device.type, enabled=False):
        directions = F.normalize(widened(embeddings).transpose(0, 1), dim=-1)
        weights = (directions @ directions.transpose(1, 2)).add_(1).mul_(-0.5).add_(1 + FLOOR)
        weights.div_(weights.max()).add_(1)
    return batch_all_hinge(part_distances(embeddings) * weights, labels, margin)[0]


def pairwise_softmax_loss(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = SOFTMAX_TEMPERATURE,
    normalize: bool = False,
    filter_part: int | None = None,
) -> Tensor:
    """L_s: log(1 + exp((s_an - s_ap) / temperature)) averaged over all triples, then over the parts.

    Embeddings [n, P, C], integer labels [n]; s is the inner product of two embeddings as they are, as released, or with
    ``normalize`` their cosine. Anchors are their own positives too. The robust filter, switched on by ``filter_part``,
    halves in all parts the terms of triples with s_an > s_ap in that part; the mean is still over their number. 0 with
    fewer than two labels.
    """

    def softplus(differences: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = F.softplus(differences), differences.sigmoid()
        if filter_part is not None:
            trust = torch.where(differences[filter_part] > 0, DOUBT, 1.0)
            values, slopes = values.mul_(trust), slopes.mul_(trust)
        return values.sum((1, 2, 3)), slopes

    with torch.autocast(embeddings.device.type, enabled=False):
        x = widened(embeddings).transpose(0, 1)
        x = F.normalize(x, dim=-1) if normalize else x
        dissimilarity = (x / -temperature) @ x.transpose(1, 2)
    total, _ = triple_sums(dissimilarity, labels, softplus)
    return total.mean() / max(count_triples(labels), 1)


def uniformity_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Log of the mean of exp(-2 |c_y - c_z|^2) over pairs of different labels, averaged over the parts: our addition.

    Wang and Isola's uniformity on class centres c_y: the normalised mean of the normalised embeddings [n, P, C] of one
    label. Between -8 (two opposite centres) and 0 (all centres in one point); 0 with fewer than two labels.
    """
    classes = labels.unique()
    if len(classes) < 2:
        return widened(embeddings).sum() * 0
    with torch.autocast(embeddings.device.type, enabled=False):
        directions = F.normalize(widened(embeddings).transpose(0, 1), dim=-1)
        members = (classes[:, None] == labels).to(directions.dtype)
        centres = F.normalize(members @ directions, dim=-1)
        first, second = torch.triu_indices(len(classes), len(classes), 1, device=labels.device)
        squares = 2 - 2 * (centres @ centres.transpose(1, 2))[:, first, second]
        return torch.logsumexp(-SHARPNESS * squares, 1).mean() - math.log(len(first))
