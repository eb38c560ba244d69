"""QGait's two stages: which surrogate, which learning rate and how sharp, at every iteration of quantized training.

Tian et al. (arXiv 2405.13859) train straight through until near an optimum and bring the soft quantizer in only then,
for fine-tuning. Lengths, rates and the sharpness are our choice: the paper's were not to be had.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qgait.quantizers.parameters import parameter
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import (
    ClipLearning,
    ElementWiseScaling,
    Sine,
    Soft,
    StraightThrough,
    Surrogate,
    Surrogates,
    dsq,
)
from qgait.training import optimization
from qgait.training.settings import QuantizedSettings, Stage

TENSORS = ("weights", "activations")
SINE_AMPLITUDE = 0.9
DSQ_ALPHA = 0.2
PACT_DECAY = 5e-4
EWGS_DELTA = 0.1  # with 1 the steps drift: the scaling is no noise to them, it has one sign


def learns_clips(settings: QuantizedSettings) -> bool:
    """Whether activations' steps are PACT's: one rule for the whole run."""
    stages = settings.stages
    return "pact" in (stages.first.surrogate, stages.second.surrogate) and "activations" in settings.tensors


def clip_decay(settings: QuantizedSettings, network: SimulatedNetwork) -> Tensor | None:
    """PACT's penalty on its clips ``alpha = step * largest integer``, without which they would only grow; else None."""
    if not learns_clips(settings):
        return None
    clips = [
        (parameter(network.steps, name) * max(network.grids[name].max_integer, 1)).square().sum()
        for name in set(network.owners.of.values())
        if not name.endswith(".pre")
    ]
    return PACT_DECAY / 2 * torch.stack(clips).sum()


def stage_of(settings: QuantizedSettings, position: float) -> tuple[Stage, float]:
    """(the stage that a position in the run is in, the position there); positions are iterations, counted from 0."""
    first = settings.stages.first
    if position < first.iterations:
        return first, position
    return settings.stages.second, position - first.iterations


def learning_rate(settings: QuantizedSettings, position: float) -> float:
    """The rate at a position in the run."""
    stage, done = stage_of(settings, position)
    return optimization.learning_rate(stage.learning_rate, stage.schedule, done, stage.iterations)


def sharpness(settings: QuantizedSettings, position: float) -> float:
    """The sharpness k at a position in a soft stage."""
    stage, done = stage_of(settings, position)
    first, last = stage.sharpness
    return last if stage.iterations == 1 else first + (last - first) * min(1, done / (stage.iterations - 1))


def surrogates(settings: QuantizedSettings, position: float) -> Surrogates:
    """The surrogates at a position in the run."""
    chosen: Surrogate = StraightThrough()
    match stage_of(settings, position)[0].surrogate:
        case "soft":
            chosen = Soft(sharpness(settings, position))
        case "sine":
            chosen = Sine(SINE_AMPLITUDE)
        case "dsq":
            chosen = dsq(DSQ_ALPHA)
        case "ewgs":
            chosen = ElementWiseScaling(EWGS_DELTA)
        case "pact":  # it is about activations; weights stay straight through, as in LSQ
            return Surrogates(activations=ClipLearning())
    return Surrogates(*(chosen if tensor in settings.tensors else StraightThrough() for tensor in TENSORS))
