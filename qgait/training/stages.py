"""QGait's two stages: which surrogate, which learning rate and how sharp, at every iteration of quantized training.

Tian et al. (arXiv 2405.13859) train straight through until near an optimum and bring the soft quantizer in only then,
for fine-tuning. Lengths, rates and the sharpness are our choice: the paper's were not to be had.
"""

from __future__ import annotations

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
EWGS_DELTA = 0.1  # with 1 the steps drift: the scaling is no noise to them, it has one sign


def learns_clips(settings: QuantizedSettings) -> bool:
    """Whether activations' steps are PACT's: one rule for the whole run."""
    stages = settings.stages
    return "pact" in (stages.first.surrogate, stages.second.surrogate) and "activations" in settings.tensors


def stage_of(settings: QuantizedSettings, iteration: int) -> tuple[Stage, int]:
    """(the stage that an iteration is in, the number of the iteration there), both counted from 0."""
    first = settings.stages.first
    if iteration < first.iterations:
        return first, iteration
    return settings.stages.second, iteration - first.iterations


def learning_rate(settings: QuantizedSettings, iteration: int) -> float:
    """The rate of one iteration."""
    stage, done = stage_of(settings, iteration)
    return optimization.learning_rate(stage.optimizer, stage.schedule, done, stage.iterations)


def sharpness(settings: QuantizedSettings, iteration: int) -> float:
    """The sharpness k of one iteration of a soft stage."""
    stage, done = stage_of(settings, iteration)
    first, last = stage.sharpness
    return last if stage.iterations == 1 else first + (last - first) * done / (stage.iterations - 1)


def surrogates(settings: QuantizedSettings, iteration: int) -> Surrogates:
    """The surrogates of one iteration."""
    chosen: Surrogate = StraightThrough()
    match stage_of(settings, iteration)[0].surrogate:
        case "soft":
            chosen = Soft(sharpness(settings, iteration))
        case "sine":
            chosen = Sine(SINE_AMPLITUDE)
        case "dsq":
            chosen = dsq(DSQ_ALPHA)
        case "ewgs":
            chosen = ElementWiseScaling(EWGS_DELTA)
        case "pact":  # it is about activations; weights stay straight through, as in LSQ
            return Surrogates(activations=ClipLearning())
    return Surrogates(*(chosen if tensor in settings.tensors else StraightThrough() for tensor in TENSORS))
