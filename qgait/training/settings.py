"""What decides a training run: the same small frozen dataclasses for float and for quantized training.

The defaults are OpenGait's for GaitSet on CASIA-B, and for quantized training the two stages of ``stages``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from msgspec import Meta

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.field_bounds import Bounded, Factor, Seed, Share
from qgait.losses.inter_class_distance import Pairs, Penalty
from qgait.losses.objective import Losses
from qgait.quantizers.grid import FirstLast, Recipe

OptimizerKind = Literal["sgd", "adam"]
ScheduleKind = Literal["milestones", "cosine"]
Precision = Literal["float32", "bfloat16", "float16"]
SurrogateKind = Literal["straight", "soft", "sine", "dsq", "ewgs", "pact"]
Tensors = Literal["weights", "activations"]


LARGEST_BATCH = 1_000_000  # frames: 2.8 GB of silhouettes before the first layer

Iterations = Annotated[int, Meta(ge=1, le=1_000_000_000)]
IterationsOr0 = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Minutes = Annotated[float, Meta(gt=0, le=10_000_000)]
Rate = Annotated[float, Meta(ge=0, le=1_000)]
RelativeRate = Annotated[float, Meta(gt=0, le=1)]
Sharpness = Annotated[float, Meta(ge=0, le=1_000)]  # 0 is straight through
Milestones = Annotated[tuple[Annotated[float, Meta(ge=0, le=1_000_000_000)], ...], Meta(max_length=1_000)]


@dataclass(frozen=True)
class BatchSettings(Bounded):
    """A batch: ``clips`` sequences of each of ``people``, which of their frames, and how these are changed."""

    people: Annotated[int, Meta(ge=1, le=4_096)] = 8
    clips: Annotated[int, Meta(ge=1, le=4_096)] = 16
    sampling: FrameSampling = FrameSampling()  # noqa: RUF009 - it is frozen
    augmentations: Augmentations = Augmentations()  # noqa: RUF009

    def __post_init__(self) -> None:
        super().__post_init__()
        frames = self.people * self.clips * self.sampling.most
        if frames > LARGEST_BATCH:
            problem = f"A batch of {self.people} x {self.clips} clips can have {frames:,} frames."
            raise QgaitError(problem, f"take fewer people, clips or frames: {LARGEST_BATCH:,} fit in memory.")


@dataclass(frozen=True)
class OptimizerSettings(Bounded):
    """``momentum`` is SGD's; Adam has its usual two, 0.9 and 0.999."""

    kind: OptimizerKind = "sgd"
    learning_rate: Annotated[float, Meta(gt=0, le=1_000)] = 0.1
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    weight_decay: Share = 5e-4


@dataclass(frozen=True)
class Schedule(Bounded):
    """How the learning rate falls.

    ``milestones`` multiplies it by ``factor`` at each of the ``milestones``: iterations, or shares of all iterations
    where they are below 1. ``cosine`` follows half a cosine down to ``lowest`` at the last iteration. Both may begin
    with ``warmup`` iterations (or a share of all) that rise linearly from ``warmup_from``.
    """

    kind: ScheduleKind = "milestones"
    milestones: Milestones = (10_000, 20_000, 30_000)
    factor: Annotated[float, Meta(gt=0, le=1)] = 0.1
    lowest: Rate = 0.0
    warmup: Annotated[float, Meta(ge=0, le=1_000_000_000)] = 0
    warmup_from: Rate = 0.0


@dataclass(frozen=True)
class Settings(Bounded):
    """A float run.

    With ``minutes`` the run takes so long, whatever an iteration takes: the schedule is that of all ``iterations``,
    gone through as time passes. ``precision`` is that of the network in training; weights, losses and the optimizer
    stay float32, and float16 needs CUDA. A checkpoint is written every ``save_every`` iterations, every two minutes and
    at the end; the network is evaluated every ``evaluate_every`` iterations and at the end (0: at the end alone).
    """

    iterations: Iterations = 40_000
    minutes: Minutes | None = None
    batch: BatchSettings = BatchSettings()
    losses: Losses = Losses()  # noqa: RUF009 - it is frozen
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: Schedule = Schedule()
    precision: Precision = "float32"
    seed: Seed = 0
    save_every: Iterations = 1_000
    evaluate_every: IterationsOr0 = 0


@dataclass(frozen=True)
class Distillation(Bounded):
    """What is learned from the float network number by number: weights of the terms, 0 switches one off.

    ``embeddings``: see ``embedding_error`` of ``qgait.losses.distillation``; ``features``: the mean of its
    ``feature_error`` over what the layers before the embedding make of a clip.
    """

    embeddings: Factor = 1.0
    features: Factor = 1.0


@dataclass(frozen=True)
class Guidance(Bounded):
    """The inter-class distance guidance: its weight (0 switches it off) and its readings."""

    weight: Factor = 1.0
    relative: bool = True
    pairs: Pairs = "different"
    per_part: bool = True
    penalty: Penalty = "huber"


@dataclass(frozen=True)
class Stage(Bounded):
    """One stage of quantized training; its ``schedule`` counts the stage's own iterations.

    The ``learning_rate`` is relative: Adam moves a weight by about so much of its layer's typical weight in an
    iteration, and a step by so much of itself; see ``relative_units``. ``surrogate`` shapes the gradient of rounding;
    ``soft`` has a sharpness that goes linearly from the first to the second number of ``sharpness`` over the stage.
    """

    iterations: IterationsOr0
    learning_rate: RelativeRate
    schedule: Schedule
    surrogate: SurrogateKind
    sharpness: tuple[Sharpness, Sharpness] = (4.0, 4.0)


@dataclass(frozen=True)
class Stages:
    """QGait's two stages."""

    first: Stage = Stage(4_000, 3e-3, Schedule("cosine", warmup=0.02), "straight")
    second: Stage = Stage(2_000, 3e-4, Schedule("cosine", warmup=0.02), "soft", (1.0, 4.0))


@dataclass(frozen=True)
class QuantizedSettings(Bounded):
    """A quantized run; see ``Settings`` for what both have.

    ``labels`` is the weight of ``losses`` as a whole. Surrogates other than straight-through are for the ``tensors``
    named. ``calibration_clips`` sequences choose the first grids, and ``validation_clips`` others, which are in no
    batch, say which network is the best of the run: that one is kept; with 0 of them the last one is. ``first_last``:
    bits of the first and the last layer, 8 or the ``same`` as all others.
    """

    stages: Stages = Stages()
    batch: BatchSettings = BatchSettings(8, 2, FrameSampling(frames=10))
    minutes: Minutes | None = None
    losses: Losses = Losses()  # noqa: RUF009 - it is frozen
    labels: Factor = 0.0
    distillation: Distillation = Distillation()
    guidance: Guidance = Guidance()
    tensors: tuple[Tensors, ...] = get_args(Tensors)
    first_last: FirstLast = "8"
    calibration_clips: Annotated[int, Meta(ge=1, le=100_000)] = 48
    validation_clips: Annotated[int, Meta(ge=0, le=100_000)] = 48
    precision: Precision = "float32"
    seed: Seed = 0
    save_every: Iterations = 1_000
    evaluate_every: IterationsOr0 = 0

    def __post_init__(self) -> None:
        if self.precision == "float16":
            raise QgaitError(
                "Quantized training has no float16: its accumulators overflow.", "use bfloat16 or float32."
            )
        Recipe(8, 8, self.first_last)  # says why there is no other policy
        super().__post_init__()
        if self.iterations < 1:
            raise QgaitError("Two stages of 0 iterations are no training.", "give one of them iterations.")

    @property
    def classifies(self) -> bool:
        """Whether a classifier is trained along, where the float network has one."""
        return self.labels > 0 and self.losses.cross_entropy.weight > 0

    @property
    def iterations(self) -> int:
        """Of both stages."""
        return self.stages.first.iterations + self.stages.second.iterations
