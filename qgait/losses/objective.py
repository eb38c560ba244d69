"""What a training run minimises: a weighted sum of terms, each with its own settings."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from qgait.losses.cross_entropy import SCALE, SMOOTHING, cross_entropy_loss
from qgait.losses.triplet import MARGIN, triplet_loss


@dataclass(frozen=True)
class Triplet:
    """Batch-all triplet loss of the embeddings; see ``qgait.losses.triplet``."""

    weight: float = 1.0
    margin: float = MARGIN


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of the logits, where the model has a classifier; see ``qgait.losses.cross_entropy``."""

    weight: float = 1.0
    scale: float = SCALE
    smoothing: float = SMOOTHING


@dataclass(frozen=True)
class Losses:
    """The terms of the loss; a weight of 0 switches a term off."""

    triplet: Triplet = field(default_factory=Triplet)
    cross_entropy: CrossEntropy = field(default_factory=CrossEntropy)

    def terms(
        self,
        embeddings: torch.Tensor,
        logits: torch.Tensor | None,
        labels: torch.Tensor,
        iteration: int,
        generator: torch.Generator,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """({term: its value times its weight}, share of active triplets), all float32 scalars.

        Embeddings [n, P, C], logits [n, classes, P] or None without a classifier, integer labels [n]. The total loss
        is the sum of the values. ``iteration`` counts from 0; ``generator`` (CPU) is drawn from by terms with chance in
        them, so a run that restores its state goes on exactly. The share is that of the plain triplets at ``triplet``'s
        margin, whether or not they are part of the loss.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.triplet.weight > 0):
            loss, share = triplet_loss(embeddings, labels, self.triplet.margin)
        values = {"triplet": loss * self.triplet.weight} if self.triplet.weight else {}
        if self.cross_entropy.weight and logits is not None:
            loss = cross_entropy_loss(logits, labels, self.cross_entropy.scale, self.cross_entropy.smoothing)
            values["cross_entropy"] = loss * self.cross_entropy.weight
        return values, share
