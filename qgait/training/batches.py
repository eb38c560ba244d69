"""Training batches: P people x K clips each, drawn as OpenGait draws them, loaded while the network computes.

All randomness comes from ``Batches.rng``: who is drawn, and one number a clip that its frames and augmentations are
drawn from. So a batch is the same whatever loads it, and every process of a distributed run draws what the others draw.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling, triplet_batches
from qgait.data.selection import spread
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.silhouettes import Clip
from qgait.errors import QgaitError

AHEAD = 4
LOOKED_AT = 20  # sequences, for their lengths


@dataclass(frozen=True)
class Batch:
    """``labels`` int64 [n]: a person's place among the sorted subjects. n is P * K, or this process's share of it.

    Clips of one length: ``frames`` uint8 [n, s, 64, 44], ``lengths`` None. Clips of several lengths: ``frames`` uint8
    [1, sum of lengths, 64, 44], one clip after the other, and ``lengths`` int64 [n].
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class _Coming:
    """A batch on its way, and the generator's states before and after it was drawn."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    batch: Future[Batch]


class Batches:
    """Endless batches, the same ones for the same seed.

    ``rng`` is all the state there is: it stands after the last batch that ``draw`` returned, however many have been
    loaded ahead, and whoever sets its state goes on from there. Of ``world`` processes each one is given the same
    arguments but its ``rank``, draws the same P x K clips, and loads those at ``[rank::world]``. ``ahead`` batches are
    loaded before they are asked for, each by its own thread; these end with ``close``, a ``with`` block, or the object.
    """

    def __init__(
        self,
        sequences: Sequence[opengait.Sequence],
        people: int,
        clips: int,
        sampling: FrameSampling,
        augmentations: Augmentations,
        seed: int,
        rank: int = 0,
        world: int = 1,
        cache: SilhouetteCache | None = None,
        ahead: int = AHEAD,
    ) -> None:
        if people * clips % world:
            raise QgaitError(
                f"A batch of {people} x {clips} clips cannot be shared evenly by {world} processes.",
                f"choose numbers of people and clips whose product is a multiple of {world}.",
            )
        if cache is not None and augmentations.wide and not cache.wide:
            raise ValueError(f"perspective needs 64 columns, and {cache.path} holds 44")
        subjects = sorted({s.subject for s in sequences})
        place = {subject: i for i, subject in enumerate(subjects)}
        self.classes = len(subjects)
        self.rng = np.random.default_rng(seed)
        self._sequences, self._cache = sequences, cache
        self._sampling, self._augmentations = sampling, augmentations
        self._labels = np.array([place[s.subject] for s in sequences], np.int64)
        self._share = slice(rank, None, world)
        self._drawing = np.random.default_rng(seed)  # before ``rng`` by the batches on their way
        self._choices = triplet_batches(self._labels.tolist(), people, clips, self._drawing)
        self._coming: deque[_Coming] = deque()
        self._ahead = ahead
        self._loader = ThreadPoolExecutor(max(1, ahead), "batches")
        if rank == 0:
            self._say_what_repeats(people, clips)

    def draw(self) -> Batch:
        """The next batch. QgaitError names a sequence that cannot be read; the state is then as before."""
        state = self.rng.bit_generator.state
        if not self._coming or self._coming[0].before != state:
            self._forget()
            self._drawing.bit_generator.state = state
        while len(self._coming) <= self._ahead:
            self._begin()
        coming = self._coming.popleft()
        batch = coming.batch.result()
        self.rng.bit_generator.state = coming.after
        return batch

    def typical_length(self) -> float:
        """The mean number of frames of a clip; where all frames are taken, that of a few sequences."""
        sampling = self._sampling
        if sampling.count == "fixed":
            return sampling.frames
        if sampling.count == "unfixed":
            return (sampling.frames_min + sampling.frames_max) / 2
        some = spread(self._sequences, LOOKED_AT)
        return sum(min(self._length(sequence), sampling.limit) for sequence in some) / len(some)

    def _length(self, sequence: opengait.Sequence) -> int:
        return len(sequence.load()) if self._cache is None else self._cache.length(sequence)

    def close(self) -> None:
        """Ends the threads. Nothing can be drawn afterwards."""
        self._forget()
        self._loader.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        """Draws a batch, which is quick, and lets a thread load it."""
        before = self._drawing.bit_generator.state
        chosen = next(self._choices)
        seeds = self._drawing.integers(2**63, size=len(chosen))
        batch = self._loader.submit(self._load, chosen[self._share], seeds[self._share])
        self._coming.append(_Coming(before, self._drawing.bit_generator.state, batch))

    def _forget(self) -> None:
        for coming in self._coming:
            coming.batch.cancel()
        self._coming.clear()

    def _load(self, chosen: NDArray[np.intp], seeds: NDArray[np.int64]) -> Batch:
        clips = [self._clip(self._sequences[i], np.random.default_rng(s)) for i, s in zip(chosen, seeds, strict=True)]
        labels = self._labels[chosen]
        if self._sampling.count == "fixed":
            return Batch(np.stack(clips), labels)
        return Batch(np.concatenate(clips)[None], labels, np.array([len(clip) for clip in clips], np.int64))

    def _clip(self, sequence: opengait.Sequence, rng: np.random.Generator) -> Clip:
        if self._cache is None:
            whole = sequence.load(self._augmentations.wide)
            frames = whole[self._sampling.indices(len(whole), rng)]
        else:
            frames = self._cache.frames(sequence, self._sampling.indices(self._cache.length(sequence), rng))
        return self._augmentations.apply(frames, rng)

    def _say_what_repeats(self, people: int, clips: int) -> None:
        few = sum(count < clips for count in Counter(self._labels.tolist()).values())
        if few:
            note = f"{few} of {self.classes} people have fewer than {clips} sequences; some come twice in a batch."
            print(note, file=sys.stderr)
        if self.classes < people:
            print(f"There are {self.classes} people for {people} places; some come twice in a batch.", file=sys.stderr)
