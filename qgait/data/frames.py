"""Which frames and which sequences go into a training batch, as OpenGait draws them.

Every random choice comes from the :class:`numpy.random.Generator` that the caller passes, so a run can be repeated and,
by saving the generator's state, resumed.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.field_bounds import Bounded

Frames = Annotated[int, Meta(ge=1, le=100_000)]


@dataclass(frozen=True)
class FrameSampling(Bounded):
    """How many frames of a sequence, and in which order.

    ``count``: ``fixed`` takes ``frames``; ``unfixed`` a number drawn evenly from ``frames_min`` .. ``frames_max`` each
    time; ``all`` the first ``limit`` frames. ``order``: ``ordered`` keeps time, and picks from a stretch of ``skip``
    more frames than it takes; ``unordered`` takes any frames in any order. Sequences that are too short are repeated
    end to end (ordered) or drawn from with replacement (unordered).
    """

    count: Literal["fixed", "unfixed", "all"] = "fixed"
    order: Literal["ordered", "unordered"] = "unordered"
    frames: Frames = 30
    frames_min: Frames = 10
    frames_max: Frames = 50
    skip: Annotated[int, Meta(ge=0, le=100_000)] = 0
    limit: Frames = 720

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames_max < self.frames_min:
            problem = f"No number is from frames_min {self.frames_min} to frames_max {self.frames_max}."
            raise QgaitError(problem, "give frames_max the larger one.")

    @property
    def most(self) -> int:
        """The most frames that a clip can have."""
        return {"fixed": self.frames, "unfixed": self.frames_max, "all": self.limit}[self.count]

    def indices(self, length: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """The frames to take from a sequence of ``length`` >= 1 frames: indices 0 .. length - 1."""
        if length < 1:
            raise QgaitError("A sequence without frames cannot be sampled.", "leave it out")
        if self.count == "all":
            taken = np.arange(min(length, self.limit))
            return taken if self.order == "ordered" else rng.permutation(taken)
        wanted = self.frames
        if self.count == "unfixed":
            wanted = int(rng.integers(self.frames_min, self.frames_max, endpoint=True))
        if self.order == "unordered":
            return rng.choice(length, wanted, replace=length < wanted)
        stretch = wanted + self.skip
        repeated = length * math.ceil(stretch / length)
        start = int(rng.integers(repeated - stretch, endpoint=True))
        return np.sort(start + rng.choice(stretch, wanted, replace=False)) % length


def triplet_batches(
    labels: Sequence[Hashable], people: int, clips: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Batches without end for the triplet loss: ``people`` different labels, ``clips`` sequences of each.

    ``labels`` are those of all training sequences; each batch is an array of ``people * clips`` indices into them, the
    sequences of one person next to each other. Where there are fewer people, or fewer sequences of a person, some
    come twice.
    """
    of_label: dict[Hashable, list[int]] = {}
    for i, label in enumerate(labels):
        of_label.setdefault(label, []).append(i)
    if len(of_label) < 2:
        raise QgaitError(
            f"The training sequences are of {len(of_label)} people, and a triplet needs two.", "train on more people"
        )
    if people < 2 or clips < 2:
        raise QgaitError(f"A batch of {people} x {clips} has no triplets.", "take at least 2 people with 2 sequences")
    members = [np.array(indices) for indices in of_label.values()]

    def batches() -> Iterator[NDArray[np.intp]]:
        while True:
            chosen = rng.choice(len(members), people, replace=len(members) < people)
            yield np.concatenate([rng.choice(members[k], clips, replace=len(members[k]) < clips) for k in chosen])

    return batches()
