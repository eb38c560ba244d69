"""How far the network in training is from the float network on walks that no batch shows, and the best one so far.

Quantized training starts from a network that works: a few noisy batches at a high rate can take more away than they
give. So the distance is measured before the first iteration and along the way, and what is kept is the network that
was nearest, the calibrated one included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qgait.calibration.calibrate import some_frames
from qgait.data import opengait
from qgait.data.selection import load_clips
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.silhouettes import Clip, cut
from qgait.field_bounds import converted
from qgait.losses.distillation import embedding_error, spread_of
from qgait.models.layers import Layer
from qgait.quantizers.float_arithmetic import embed_frames
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training import distributed

LOOKS = 20  # measures of a run, at least, and one before it
MOST_HELD_OUT = 4  # at most every fourth sequence
CLIPS_AT_ONCE = 8

Sequences = Sequence[opengait.Sequence]


def hold_out(sequences: Sequences, count: int) -> tuple[Sequences, Sequences]:
    """(those for training, ``count`` for validation), drawn over people, conditions and views by a fixed seed.

    Nobody loses the last sequence for training. Of few sequences fewer are held out, and of very few none.
    """
    count = min(count, len(sequences) // MOST_HELD_OUT)
    left = Counter(sequence.subject for sequence in sequences)
    held: set[int] = set()
    for place in np.random.default_rng(0).permutation(len(sequences)).tolist():
        if len(held) < count and left[sequences[place].subject] > 1:
            left[sequences[place].subject] -= 1
            held.add(place)
    if len(held) < 2:
        return sequences, []
    parts: tuple[list[opengait.Sequence], list[opengait.Sequence]] = ([], [])
    for place, sequence in enumerate(sequences):
        parts[place in held].append(sequence)
    return parts


def clips_of(sequences: Sequences, cache: SilhouetteCache | None) -> list[Clip]:
    """Whole clips from the ``cache``, if there is one: its pixels are those of training."""
    return load_clips(sequences) if cache is None else [cut(cache.clip(s)) for s in sequences]


@dataclass(frozen=True)
class Walks:
    """Frames uint8 [n, s, H, W] of n walks and the float network's embeddings [n, P, C] of them, float32."""

    frames: Tensor
    wanted: Tensor

    @classmethod
    def of(cls, layers: list[Layer], clips: Sequence[Clip], device: str) -> Walks:
        """The frames of the ``clips`` that calibration looks at; ``layers`` are the float network's."""
        frames = torch.from_numpy(np.stack([some_frames(layers, clip) for clip in clips])).to(device)
        with torch.no_grad():
            wanted = torch.cat([embed_frames(layers, part) for part in frames.split(CLIPS_AT_ONCE)])
        return cls(frames, wanted)

    @property
    def spread(self) -> Tensor:
        """``spread_of`` the float network's embeddings, [P]."""
        return spread_of(self.wanted)

    def embeddings(self, network: SimulatedNetwork) -> Tensor:
        """Of the quantized network, real numbers [n, P, C], as exact as float32 is."""
        with torch.no_grad():
            integers = torch.cat([network(part) for part in self.frames.split(CLIPS_AT_ONCE)])
            return network.real(network.layers[-1].name, integers)

    def error(self, network: SimulatedNetwork) -> float:
        """``embedding_error`` of the network as it is."""
        return float(embedding_error(self.embeddings(network), self.wanted, self.spread))


@dataclass(frozen=True)
class Kept:
    """Errors of ``Walks.error``: before training, at its end, and of the network that is kept, which is that after
    ``iteration``; 0 is the calibrated one.
    """

    start: float
    end: float
    error: float
    iteration: int


class Best:
    """The best network of a run, its error, and after which iteration it was seen."""

    def __init__(self, walks: Walks, network: SimulatedNetwork) -> None:
        self._walks, self._network = walks, network
        self._looks = 0
        self._tensors: dict[str, Tensor] = {}
        self.iteration = 0
        self.start = self.error = self.last = math.inf

    def begin(self) -> None:
        """Measures what training starts from."""
        self._keep(0, self._measured())
        self.start = self.error

    def look(self, iteration: int, share: float) -> float | None:
        """The error after an iteration at which ``share`` of the run is over, if a measure is due."""
        if share * LOOKS < self._looks + 1 and share < 1:
            return None
        self._looks = int(share * LOOKS)
        self.last = self._measured()
        if self.last < self.error:
            self._keep(iteration, self.last)
        return self.last

    def put_back(self) -> None:
        """Makes the network in training the best one."""
        self._network.load_state_dict(self._tensors)

    @property
    def kept(self) -> Kept:
        """What is to be told."""
        return Kept(self.start, self.last, self.error, self.iteration)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        numbers = {name: getattr(self, name) for name in ("iteration", "start", "error", "last")}
        return {"numbers": numbers | {"looks": self._looks}, "tensors": self._tensors}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to where ``state`` was taken; ValueError for that of another network."""
        numbers = converted(state["numbers"], dict[str, float])
        self._looks, self.iteration = int(numbers["looks"]), int(numbers["iteration"])
        self.start, self.error, self.last = (numbers[name] for name in ("start", "error", "last"))
        mine = self._network.state_dict()
        self._tensors = {name: state["tensors"][name].to(value) for name, value in mine.items()}
        if any(self._tensors[name].shape != value.shape for name, value in mine.items()):
            raise ValueError("the best network is another one")

    def _measured(self) -> float:
        """By the first process, so that all of them keep the same network."""
        return distributed.from_first(lambda: self._walks.error(self._network))

    def _keep(self, iteration: int, error: float) -> None:
        self.iteration, self.error, self.last = iteration, error, error
        self._tensors = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
