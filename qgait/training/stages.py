"""QGait's two stages: which surrogate, which learning rate and how sharp, at every iteration of quantized training.

Tian et al. (arXiv 2405.13859) train straight through until near an optimum and bring the soft quantizer in only then,
for fine-tuning. Lengths, rates and the sharpness are our choice: the paper's were not to be had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qgait.errors import QgaitError
from qgait.losses.inter_class_distance import Pairs, Penalty
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

Kind = Literal["straight", "soft", "sine", "dsq", "ewgs", "pact"]
KINDS = ("straight", "soft", "sine", "dsq", "ewgs", "pact")
TENSORS = ("weights", "activations")

SINE_AMPLITUDE = 0.9
DSQ_ALPHA = 0.2
EWGS_DELTA = 1.0


@dataclass(frozen=True)
class QuantizedSettings:
    """What decides a quantized run. The defaults are two stages with guidance.

    ``iterations`` and ``learning_rates`` are those of stage 1 and stage 2; the rate is divided by 10 at 1/2 and 3/4 of
    stage 1 and at 2/3 of stage 2. ``surrogates`` shape the gradient in each stage, for the ``tensors`` named: a soft
    stage 2 is annealed linearly from ``sharpness[0]`` to ``sharpness[1]``, a soft stage 1 (from the start, for
    comparison) has ``sharpness[1]`` throughout. ``guidance`` is the weight of the inter-class distance loss; the
    fields after it are its readings. The optimizer is SGD with momentum 0.9; steps have no weight decay.
    """

    iterations: tuple[int, int] = (26_000, 14_000)
    learning_rates: tuple[float, float] = (0.01, 0.001)
    surrogates: tuple[Kind, Kind] = ("straight", "soft")
    tensors: tuple[str, ...] = TENSORS
    sharpness: tuple[float, float] = (1.0, 4.0)
    guidance: float = 1.0
    guidance_relative: bool = True
    guidance_pairs: Pairs = "different"
    guidance_per_part: bool = True
    guidance_penalty: Penalty = "huber"
    people: int = 8
    clips: int = 16
    frames: int = 30
    weight_decay: float = 5e-4
    calibration_clips: int = 48
    seed: int = 0
    save_every: int = 1_000

    def __post_init__(self) -> None:
        for kind in self.surrogates:
            if kind not in KINDS:
                raise QgaitError(f"There is no surrogate called {kind!r}.", f"choose one of {', '.join(KINDS)}.")
        if not set(self.tensors) <= set(TENSORS):
            raise QgaitError(f"{self.tensors} are no kinds of tensors.", f"choose from {', '.join(TENSORS)}.")
        if min(self.iterations) < 0 or sum(self.iterations) < 1:
            raise QgaitError(f"{self.iterations} iterations are no training.", "ask for one or more.")

    @property
    def total(self) -> int:
        """Iterations of both stages."""
        return sum(self.iterations)

    @property
    def learns_clips(self) -> bool:
        """Whether activations' steps are PACT's: one rule for the whole run."""
        return "pact" in self.surrogates and "activations" in self.tensors


def stage_of(settings: QuantizedSettings, iteration: int) -> int:
    """0 or 1, for iterations counted from 0."""
    return int(iteration >= settings.iterations[0])


def learning_rate(settings: QuantizedSettings, iteration: int) -> float:
    """The rate of one iteration."""
    stage = stage_of(settings, iteration)
    done = iteration - (settings.iterations[0] if stage else 0)
    share = done / settings.iterations[stage]
    drops = sum(share >= at for at in ((1 / 2, 3 / 4), (2 / 3,))[stage])
    return settings.learning_rates[stage] * 0.1**drops


def sharpness(settings: QuantizedSettings, iteration: int) -> float:
    """The sharpness k of one iteration of a soft stage."""
    first, last = settings.sharpness
    if stage_of(settings, iteration) == 0 or settings.surrogates[0] == "soft":
        return last
    done, length = iteration - settings.iterations[0], settings.iterations[1]
    return last if length == 1 else first + (last - first) * done / (length - 1)


def surrogates(settings: QuantizedSettings, iteration: int) -> Surrogates:
    """The surrogates of one iteration."""
    kind = settings.surrogates[stage_of(settings, iteration)]
    chosen: Surrogate = StraightThrough()
    match kind:
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
