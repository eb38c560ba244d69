"""QGait's inter-class distance guidance: the quantized network keeps the float network's distances between people.

Tian et al., "QGait: Toward Accurate Quantization for Gait Recognition" (arXiv 2405.13859), call it inter-class
distance-guided distillation (IDD, version 1) and calibration (IDC, version 2): the relative distances between
embeddings of different labels shall stay as they are in the full-precision network. The formula itself was not to
be had; this one is our reading, and what could be read otherwise is a switch.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.losses.distances import part_distances

Pairs = Literal["different", "all", "same"]
Penalty = Literal["huber", "square"]

EPSILON = 1e-6  # the smallest distance, so that a mean to divide by is never 0


def inter_class_distance_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    relative: bool = True,
    pairs: Pairs = "different",
    per_part: bool = True,
    penalty: Penalty = "huber",
) -> Tensor:
    """How far the student's distances are from the teacher's: real embeddings [n, P, C] of both, labels [n].

    Euclidean distances of all pairs with ``different`` labels (or of ``all``, or of the ``same`` label), part by part
    or of all parts at once; ``relative`` divides each network's distances by their own mean over these pairs. The
    penalty of a difference is Huber's with delta 1 or its square; the loss is the mean over pairs and parts, always
    float32, and 0 when there is no such pair. The teacher gets no gradient. Memory grows as P n^2, without the C
    channels: 256 clips of 64 parts take 16 MB a matrix.
    """
    first, second = _pairs(labels, pairs)
    if len(first) == 0:
        return student.sum() * 0
    with torch.autocast(student.device.type, enabled=False):
        ours = _distances(student, per_part)[:, first, second]
        theirs = _distances(teacher.detach(), per_part)[:, first, second]
        if relative:
            ours = ours / ours.mean(1, keepdim=True)
            theirs = theirs / theirs.mean(1, keepdim=True)
        if penalty == "square":
            return (ours - theirs).square().mean()
        return F.huber_loss(ours, theirs)


def distance_correlation(student: Tensor, teacher: Tensor, labels: Tensor) -> tuple[float, float]:
    """(Pearson, Spearman) correlation of both networks' distances between people, averaged over the parts.

    Embeddings [n, P, C] of both, labels [n]; pairs of different labels only. Parts in which one network's distances are
    all the same have no correlation and do not count; NaN if there is no other part.
    """
    first, second = _pairs(labels, "different")
    with torch.no_grad():
        ours = _distances(student, True)[:, first, second].double()
        theirs = _distances(teacher, True)[:, first, second].double()
        ranks = [torch.stack([_ranks(row) for row in rows]) for rows in (ours, theirs)]
        return float(_pearson(ours, theirs).nanmean()), float(_pearson(*ranks).nanmean())


def _pairs(labels: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Each unordered pair once, never a sample with itself."""
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    if pairs == "all":
        return first, second
    same = labels[first] == labels[second]
    wanted = same if pairs == "same" else ~same
    return first[wanted], second[wanted]


def _distances(embeddings: Tensor, per_part: bool) -> Tensor:
    """Float32 [P, n, n], or [1, n, n] over all parts."""
    x = embeddings if per_part else embeddings.flatten(1)[:, None]
    return part_distances(x).clamp(min=EPSILON)


def _ranks(values: Tensor) -> Tensor:
    """Places in ascending order from 0; equal values share the mean of theirs."""
    _, index, counts = torch.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts + 1) / 2)[index]


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """Of each row."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
