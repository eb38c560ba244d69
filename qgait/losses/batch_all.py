"""Sums over all triples of anchor, positive and negative, in blocks: the triples are never all in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCK = 2**21  # differences at once: 8 MB in float32
EPSILON = 1e-9

Term = Callable[[Tensor], tuple[Tensor, Tensor]]


def triple_sums(values: Tensor, labels: Tensor, term: Term, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Sum of f(values[p, a, i] - values[p, a, j]) over the triples of each part, and the same sum of f': both [P].

    Values [P, n, n] and integer labels [n]. Anchor a goes with every i of its label, itself included, and every j of
    another. ``term`` gets differences [P, anchors, i, j], which it may overwrite, and returns (sum of f over all but
    the parts [P], f' of each). The first result has a gradient; it is found along with the sums, so what is kept for it
    is one tensor of the size of ``values``. At most ``block`` differences, or those of one anchor, are in memory.
    """
    return _TripleSums.apply(values, labels, term, block)


def count_triples(labels: Tensor) -> int:
    """How many triples of anchor, positive (itself included) and negative one part has."""
    sizes = labels.unique(return_counts=True)[1]
    return int((sizes * sizes * (len(labels) - sizes)).sum())


def batch_all_hinge(values: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """(loss, share of active triples): max(values[a, i] - values[a, j] + margin, 0) over all triples.

    Averaged over the terms that are not zero (the active ones), then over the parts; 0 without such terms.
    """

    def hinge(differences: Tensor) -> tuple[Tensor, Tensor]:
        differences.add_(margin).relu_()
        return differences.sum((1, 2, 3)), differences.sign_()

    total, active = triple_sums(values, labels, hinge)
    return (total / (active + EPSILON)).mean(), active.mean() / max(count_triples(labels), 1)


class _TripleSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, labels: Tensor, term: Term, block: int) -> tuple[Tensor, Tensor]:
        slopes = torch.zeros_like(values)
        total, slope = values.new_zeros(2, len(values)).unbind()
        sizes = labels.unique(return_counts=True)[1].tolist()
        for members, others in _groups(labels.argsort(), sizes if len(sizes) > 1 else []):
            for anchors in members.split(max(1, block // (len(values) * len(members) * len(others)))):
                near, far = values[:, anchors[:, None], members], values[:, anchors[:, None], others]
                summed, each = term(near[:, :, :, None] - far[:, :, None, :])
                pulls = each.sum(3)
                total += summed
                slope += pulls.sum((1, 2))
                slopes[:, anchors[:, None], members] = pulls
                slopes[:, anchors[:, None], others] = -each.sum(2)
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(slope)
        return total, slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * gradient[:, None, None], None, None, None


def _groups(order: Tensor, sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    """(members, all others) of each label, from the samples in the order of their labels."""
    groups, start = [], 0
    for size in sizes:
        end = start + size
        groups.append((order[start:end], torch.cat((order[:start], order[end:]))))
        start = end
    return groups
