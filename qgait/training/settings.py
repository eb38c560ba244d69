"""What decides a training run: the same small frozen dataclasses for float and for quantized training.

The defaults are OpenGait's for GaitSet on CASIA-B, and for quantized training the two stages of ``stages``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.losses.inter_class_distance import Pairs, Penalty
from qgait.losses.objective import Losses
from qgait.quantizers.grid import FirstLast, Recipe

OptimizerKind = Literal["sgd", "adam"]
ScheduleKind = Literal["milestones", "cosine"]
Precision = Literal["float32", "bfloat16", "float16"]
SurrogateKind = Literal["straight", "soft", "sine", "dsq", "ewgs", "pact"]
Tensors = Literal["weights", "activations"]


def _choose(value: object, choices: object, what: str) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise QgaitError(f"There is no {what} called {value!r}.", f"choose one of {', '.join(allowed)}.")


def _check_run(iterations: int, precision: object, save_every: int, evaluate_every: int) -> None:
    if iterations < 1:
        raise QgaitError(f"{iterations} iterations are no training.", "ask for one or more.")
    _choose(precision, Precision, "precision")
    if save_every < 1 or evaluate_every < 0:
        problem = f"Saving every {save_every} and evaluating every {evaluate_every} iterations is impossible."
        raise QgaitError(problem, "save every 1 or more; evaluate every 0 (at the end alone) or more.")


@dataclass(frozen=True)
class BatchSettings:
    """A batch: ``clips`` sequences of each of ``people``, which of their frames, and how these are changed."""

    people: int = 8
    clips: int = 16
    sampling: FrameSampling = FrameSampling()  # noqa: RUF009 - it is frozen
    augmentations: Augmentations = Augmentations()  # noqa: RUF009


@dataclass(frozen=True)
class OptimizerSettings:
    """``momentum`` is SGD's; Adam has its usual two, 0.9 and 0.999."""

    kind: OptimizerKind = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        _choose(self.kind, OptimizerKind, "optimizer")


@dataclass(frozen=True)
class Schedule:
    """How the learning rate falls.

    ``milestones`` multiplies it by ``factor`` at each of the ``milestones``: iterations, or shares of all iterations
    where they are below 1. ``cosine`` follows half a cosine down to ``lowest`` at the last iteration. Both may begin
    with ``warmup`` iterations that rise linearly from ``warmup_from``.
    """

    kind: ScheduleKind = "milestones"
    milestones: tuple[float, ...] = (10_000, 20_000, 30_000)
    factor: float = 0.1
    lowest: float = 0.0
    warmup: int = 0
    warmup_from: float = 0.0

    def __post_init__(self) -> None:
        _choose(self.kind, ScheduleKind, "schedule")


@dataclass(frozen=True)
class Settings:
    """A float run.

    ``precision`` is that of the network in training; weights, losses and the optimizer stay float32, and float16 needs
    CUDA. A checkpoint is written every ``save_every`` iterations and at the end; the network is evaluated every
    ``evaluate_every`` iterations and at the end (0: at the end alone).
    """

    iterations: int = 40_000
    batch: BatchSettings = BatchSettings()
    losses: Losses = Losses()  # noqa: RUF009 - it is frozen
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: Schedule = Schedule()
    precision: Precision = "float32"
    seed: int = 0
    save_every: int = 1_000
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        _check_run(self.iterations, self.precision, self.save_every, self.evaluate_every)


@dataclass(frozen=True)
class Guidance:
    """The inter-class distance guidance: its weight (0 switches it off) and its readings."""

    weight: float = 1.0
    relative: bool = True
    pairs: Pairs = "different"
    per_part: bool = True
    penalty: Penalty = "huber"


@dataclass(frozen=True)
class Stage:
    """One stage of quantized training; its ``schedule`` counts the stage's own iterations.

    ``surrogate`` shapes the gradient of rounding; ``soft`` has a sharpness that goes linearly from the first to the
    second number of ``sharpness`` over the stage.
    """

    iterations: int
    optimizer: OptimizerSettings
    schedule: Schedule
    surrogate: SurrogateKind
    sharpness: tuple[float, float] = (4.0, 4.0)

    def __post_init__(self) -> None:
        _choose(self.surrogate, SurrogateKind, "surrogate")
        if self.iterations < 0:
            raise QgaitError(f"A stage of {self.iterations} iterations is impossible.", "use 0 to leave it out.")


@dataclass(frozen=True)
class Stages:
    """QGait's two stages. The second starts with a new optimizer: the momentum of the first is dropped."""

    first: Stage = Stage(26_000, OptimizerSettings(learning_rate=0.01), Schedule(milestones=(0.5, 0.75)), "straight")
    second: Stage = Stage(
        14_000, OptimizerSettings(learning_rate=0.001), Schedule(milestones=(2 / 3,)), "soft", (1.0, 4.0)
    )


@dataclass(frozen=True)
class QuantizedSettings:
    """A quantized run; see ``Settings`` for what both have.

    Surrogates other than straight-through are for the ``tensors`` named. ``calibration_clips`` sequences choose the
    first grids. ``first_last``: bits of the first and the last layer, 8 or the ``same`` as all others.
    """

    stages: Stages = Stages()
    batch: BatchSettings = BatchSettings()
    losses: Losses = Losses()  # noqa: RUF009 - it is frozen
    guidance: Guidance = Guidance()
    tensors: tuple[Tensors, ...] = get_args(Tensors)
    first_last: FirstLast = "8"
    calibration_clips: int = 48
    precision: Precision = "float32"
    seed: int = 0
    save_every: int = 1_000
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        if self.precision == "float16":
            raise QgaitError(
                "Quantized training has no float16: its accumulators overflow.", "use bfloat16 or float32."
            )
        Recipe(8, 8, self.first_last)  # refuses what is no policy
        for tensor in self.tensors:
            _choose(tensor, Tensors, "kind of tensor")
        _check_run(self.iterations, self.precision, self.save_every, self.evaluate_every)

    @property
    def iterations(self) -> int:
        """Of both stages."""
        return self.stages.first.iterations + self.stages.second.iterations
