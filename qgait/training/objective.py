"""The loss of a batch that several processes share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from qgait.losses.cross_entropy import cross_entropy_loss
from qgait.losses.objective import Losses
from qgait.training import distributed


def shared_terms(
    losses: Losses,
    embeddings: Tensor,
    logits: Tensor | None,
    labels: Tensor,
    iteration: int,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], Tensor]:
    """``Losses.terms`` of the whole batch, given this process's samples.

    Terms that compare samples see the embeddings of all processes. Cross-entropy is a mean over samples: each process
    computes that of its own, and logits, which are large, stay where they are.
    """
    if distributed.world() == 1:
        return losses.terms(embeddings, logits, labels, iteration, generator)
    settings = losses.cross_entropy
    others = replace(losses, cross_entropy=replace(settings, weight=0.0))
    everyone = distributed.gathered(embeddings.float())
    terms, active = others.terms(everyone, None, distributed.gathered(labels), iteration, generator)
    if logits is not None and settings.weight:
        own = cross_entropy_loss(logits, labels, settings.scale, settings.smoothing)
        terms["cross_entropy"] = distributed.mean(settings.weight * own)
    return terms, active
