"""Training batches in memory: P people x K clips each, drawn as OpenGait draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.frames import FrameSampling, triplet_batches

CACHE_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Batch:
    """``frames`` uint8 [P * K, s, 64, 44] and ``labels`` int64 [P * K], a person's place among the sorted subjects."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Batches:
    """Endless batches, the same ones for the same seed; ``rng`` is all the state there is.

    Silhouettes stay in memory once read, up to ``cache_bytes``; beyond that they are read anew.
    """

    def __init__(
        self,
        sequences: Sequence[opengait.Sequence],
        people: int,
        clips: int,
        sampling: FrameSampling,
        seed: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        subjects = sorted({s.subject for s in sequences})
        self.classes = len(subjects)
        self.rng = np.random.default_rng(seed)
        self._sequences = sequences
        self._labels = np.array([subjects.index(s.subject) for s in sequences], np.int64)
        self._sampling = sampling
        self._chosen = triplet_batches(self._labels.tolist(), people, clips, self.rng)
        self._cache: dict[opengait.Sequence, NDArray[np.uint8]] = {}
        self._room = cache_bytes

    def draw(self) -> Batch:
        """The next batch."""
        chosen = next(self._chosen)
        clips = [self._load(self._sequences[i]) for i in chosen]
        frames = [clip[self._sampling.indices(len(clip), self.rng)] for clip in clips]
        return Batch(np.stack(frames), self._labels[chosen])

    def _load(self, sequence: opengait.Sequence) -> NDArray[np.uint8]:
        clip = self._cache.get(sequence)
        if clip is None:
            clip = sequence.load()
            if clip.nbytes <= self._room:
                self._room -= clip.nbytes
                self._cache[sequence] = clip
        return clip
