"""What a training run minimises: a weighted sum of terms, each with its own settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from qgait.errors import QgaitError
from qgait.field_bounds import Above0, Bounded, Factor
from qgait.losses import center_ranked, generalized_inter_class
from qgait.losses.cross_entropy import SCALE, SMOOTHING, cross_entropy_loss
from qgait.losses.triplet import MARGIN, triplet_loss


@dataclass(frozen=True)
class Triplet(Bounded):
    """Batch-all triplet loss; see ``qgait.losses.triplet``."""

    weight: Factor = 1.0
    margin: Factor = MARGIN


@dataclass(frozen=True)
class CrossEntropy(Bounded):
    """Cross-entropy of the logits, where the model has a classifier; see ``qgait.losses.cross_entropy``."""

    weight: Factor = 1.0
    scale: Above0 = SCALE
    smoothing: Annotated[float, Meta(ge=0, lt=1)] = SMOOTHING


@dataclass(frozen=True)
class WeightedMargin(Bounded):
    """Generalized Inter-class Loss, weighted-margin form L_m; see ``qgait.losses.generalized_inter_class``."""

    weight: Factor = 0.0
    margin: Factor = MARGIN


@dataclass(frozen=True)
class Softmax(Bounded):
    """Generalized Inter-class Loss, softmax form L_s; see ``qgait.losses.generalized_inter_class``.

    ``filter_from``: the iteration from which the robust filter is on; the authors' code has 50000. None: never.
    """

    weight: Factor = 0.0
    temperature: Above0 = generalized_inter_class.SOFTMAX_TEMPERATURE
    normalize: bool = False
    filter_from: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


@dataclass(frozen=True)
class Uniformity(Bounded):
    """Uniformity of the class centres on the sphere; see ``qgait.losses.generalized_inter_class``."""

    weight: Factor = 0.0


@dataclass(frozen=True)
class CenterRanked(Bounded):
    """Center-Ranked loss, our reading of the abstract; see ``qgait.losses.center_ranked``."""

    weight: Factor = 0.0
    mode: center_ranked.Mode = "softrank"
    margin: Factor = center_ranked.MARGIN
    temperature: Above0 = center_ranked.TEMPERATURE
    alpha: Above0 = center_ranked.ALPHA
    normalize: bool = False
    detach_center: bool = False


@dataclass(frozen=True)
class Losses:
    """The terms of the loss; a weight of 0 switches a term off. Values that make no sense are refused: as NaN,
    or as a loss that cannot fall, they would show many iterations later.
    """

    triplet: Triplet = field(default_factory=Triplet)
    cross_entropy: CrossEntropy = field(default_factory=CrossEntropy)
    weighted_margin: WeightedMargin = field(default_factory=WeightedMargin)
    softmax: Softmax = field(default_factory=Softmax)
    uniformity: Uniformity = field(default_factory=Uniformity)
    center_ranked: CenterRanked = field(default_factory=CenterRanked)

    def terms(
        self,
        embeddings: Tensor,
        logits: Tensor | None,
        labels: Tensor,
        iteration: int,
        generator: torch.Generator,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """({term: its value times its weight}, share of active triplets), all float32 scalars.

        Embeddings [n, P, C], logits [n, classes, P] or None without a classifier, integer labels [n]. The total loss
        is the sum of the values; it is differentiable once. ``iteration`` counts from 0. ``generator`` (CPU) is drawn
        from by terms with chance in them, and only while they have, so a run that restores its state goes on exactly.
        The share is that of the plain triplets at ``triplet``'s margin, whether or not they are part of the loss.

        The dictionary is empty when all weights are 0. Cross-entropy as the only term needs logits: a QgaitError.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.triplet.weight > 0):
            triplet, share = triplet_loss(embeddings, labels, self.triplet.margin)
        values = {"triplet": triplet} if self.triplet.weight else {}
        if self.cross_entropy.weight and logits is not None:
            entropy = self.cross_entropy
            values["cross_entropy"] = cross_entropy_loss(logits, labels, entropy.scale, entropy.smoothing)
        if self.weighted_margin.weight:
            values["weighted_margin"] = generalized_inter_class.weighted_margin_loss(
                embeddings, labels, self.weighted_margin.margin
            )
        if self.softmax.weight:
            part = None
            if self.softmax.filter_from is not None and iteration >= self.softmax.filter_from:
                part = int(torch.randint(embeddings.shape[1], (), generator=generator))
            values["softmax"] = generalized_inter_class.pairwise_softmax_loss(
                embeddings, labels, self.softmax.temperature, self.softmax.normalize, part
            )
        if self.uniformity.weight:
            values["uniformity"] = generalized_inter_class.uniformity_loss(embeddings, labels)
        if self.center_ranked.weight:
            ranked = self.center_ranked
            values["center_ranked"] = center_ranked.center_ranked_loss(
                embeddings,
                labels,
                ranked.mode,
                ranked.margin,
                ranked.temperature,
                ranked.alpha,
                ranked.normalize,
                ranked.detach_center,
            )
        if not values and self.cross_entropy.weight:
            problem = "Cross-entropy is the only loss with a weight, and this network has no classifier."
            raise QgaitError(problem, "give another loss a weight: losses.triplet.weight=1.")
        return {name: value * getattr(self, name).weight for name, value in values.items()}, share
