"""How far a quantized network is from the float network that it was made of, in the same numbers for every network.

A distance is relative to how much the float network's own values vary: 0 is the same network, 1 is one that says the
same of everybody. Unlike a loss of labels it has a target for each number of each clip, so a batch of a few clips has
little noise, and it falls to nothing as the networks meet.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 1e-12  # what does not vary at all is not divided by 0


def spread_of(embeddings: Tensor) -> Tensor:
    """How much each part of real embeddings [n, P, C] differs from clip to clip: squared distance to its mean, [P]."""
    values = embeddings.float()
    return (values - values.mean(0)).square().sum(2).mean(0).clamp_min(SMALLEST)


def embedding_error(student: Tensor, teacher: Tensor, spread: Tensor) -> Tensor:
    """Mean squared distance of real embeddings [n, P, C] over the ``spread`` [P] of the teacher's, mean of the parts.

    Float32 scalar; the teacher gets no gradient. The spread is that of many clips, not of these: a mean over a handful
    would be noise in the loss.
    """
    with torch.autocast(student.device.type, enabled=False):
        missed = (student.float() - teacher.detach().float()).square().sum(2).mean(0)
        return (missed / spread).mean()


def feature_error(student: Tensor, teacher: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean squared difference of real features of one shape over the teacher's mean square: float32 scalar.

    ``mean`` makes means of a process's clips those of all processes' clips.
    """
    with torch.autocast(student.device.type, enabled=False):
        ours, theirs = student.float(), teacher.detach().float()
        return mean((ours - theirs).square().mean()) / mean(theirs.square().mean()).clamp_min(SMALLEST)
