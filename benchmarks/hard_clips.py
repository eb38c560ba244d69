"""Clips that look for differences between runtimes: people, noise, and frames that drive sums and clamps to their ends.

Each clip is determined by its seed and by the network that it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qgait.data.walkers.dataset import sequence
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d

Clip = NDArray[np.uint8]
Rng = np.random.Generator

WALKS = (("nm-01", 90), ("bg-01", 54), ("cl-01", 18), ("nm-02", 0))
WALK_FRAMES = 24
LONGEST = 40
# how often a clip has up to 3 frames, a length at which a window, a ring or a repetition ends, up to 12, up to LONGEST
LENGTHS = ("short", "boundary", "some", "full")
SHARES = (0.7, 0.2, 0.07, 0.03)


def walkers() -> list[Clip]:
    """Synthetic people, the same at every call."""
    walks = [sequence(0, i + 1, condition, view, WALK_FRAMES) for i, (condition, view) in enumerate(WALKS)]
    return [np.ascontiguousarray(walk[:, :, 10:-10]) for walk in walks]


class HardClips:
    """Clips for one graph; ``people`` are silhouettes uint8 [frames, 64, 44], of a data set or synthetic."""

    def __init__(self, graph: Graph, people: Sequence[Clip]) -> None:
        self.height, self.width, _ = graph.tensors[graph.input].shape
        self.people = people
        self.boundaries = boundaries(graph)
        self.filters = next(
            op.weight for op in graph.ops if isinstance(op, Conv2d)
        )  # over silhouettes: [C, k, k, values]
        self.kinds: dict[str, Callable[[Rng, int], Clip]] = {
            "people": self._people,
            "people, spoiled": lambda rng, n: self._spoiled(rng, self._people(rng, n)),
            "noise": lambda rng, n: rng.integers(0, 256, self._shape(n)).astype(np.uint8),
            "two values": lambda rng, n: np.where(rng.random(self._shape(n)) < rng.random(), 255, 0).astype(np.uint8),
            "checkerboards": self._checkerboards,
            "constant": lambda rng, n: (
                np.repeat(rng.choice([0, 1, 127, 128, 254, 255], n), self.height * self.width)
                .reshape(self._shape(n))
                .astype(np.uint8)
            ),
            "alternating extremes": self._alternating,
            "pixels": self._pixels,
            "edges": self._edges,
            "filters": self._filters,
        }

    def clip(self, seed: Sequence[int]) -> tuple[str, Clip]:
        """The clip of one seed, and what kind it is."""
        rng = np.random.default_rng(seed)
        kind = list(self.kinds)[int(rng.integers(len(self.kinds)))]
        return kind, np.ascontiguousarray(self.kinds[kind](rng, self._length(rng)))

    def _length(self, rng: Rng) -> int:
        match rng.choice(LENGTHS, p=SHARES):
            case "short":
                return int(rng.integers(1, 4))
            case "boundary":
                return int(rng.choice(self.boundaries))
            case "some":
                return int(rng.integers(4, 13))
        return int(rng.integers(13, LONGEST + 1))

    def _shape(self, frames: int) -> tuple[int, int, int]:
        return frames, self.height, self.width

    def _people(self, rng: Rng, frames: int) -> Clip:
        walk = self.people[int(rng.integers(len(self.people)))]
        start = int(rng.integers(len(walk)))
        return walk[np.arange(start, start + frames) % len(walk)]

    def _spoiled(self, rng: Rng, clip: Clip) -> Clip:
        """With flipped pixels, or turned over, or inverted."""
        clip = np.where(rng.random(clip.shape) < rng.choice([0, 0.01, 0.2]), 255 - clip, clip)
        clip = clip[:, :: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]
        return (255 - clip if rng.random() < 0.5 else clip).astype(np.uint8)

    def _checkerboards(self, rng: Rng, frames: int) -> Clip:
        n, y, x = np.indices(self._shape(frames))
        sizes = rng.integers(1, 9, 2)
        return (((y // sizes[0] + x // sizes[1] + n * rng.integers(0, 2)) % 2) * 255).astype(np.uint8)

    def _alternating(self, rng: Rng, frames: int) -> Clip:
        """All 0 and all 255 in turn, with another period now and then: windows see both ends."""
        on = (np.arange(frames) // int(rng.integers(1, 4)) + int(rng.integers(0, 2))) % 2 * 255
        return np.broadcast_to(on[:, None, None], self._shape(frames)).astype(np.uint8)

    def _pixels(self, rng: Rng, frames: int) -> Clip:
        """Few pixels in a frame of the opposite value; corners and borders among them."""
        low = bool(rng.integers(0, 2))
        clip = np.full(self._shape(frames), 0 if low else 255, np.uint8)
        rows = np.append(rng.integers(0, self.height, 3), [0, self.height - 1])
        columns = np.append(rng.integers(0, self.width, 3), [0, self.width - 1])
        for frame in clip:
            count = int(rng.integers(1, 5))
            frame[rng.choice(rows, count), rng.choice(columns, count)] = 255 if low else rng.integers(0, 255)
        return clip

    def _edges(self, rng: Rng, frames: int) -> Clip:
        """Half of a frame at each end, and ramps."""
        _, y, x = np.indices(self._shape(frames))
        along = x if rng.random() < 0.5 else y
        if rng.random() < 0.5:
            return (along * int(rng.integers(1, 60)) % 256).astype(np.uint8)
        return np.where(along < rng.integers(1, self.width), 255, 0).astype(np.uint8)

    def _filters(self, rng: Rng, frames: int) -> Clip:
        """The signs of a filter over the silhouette, as a pattern: some of its sums are as large as they can be."""
        channels, _, _, values = self.filters.shape
        wanted = self.filters[int(rng.integers(channels)), :, :, int(rng.integers(values))] > 0
        if rng.random() < 0.5:
            wanted = ~wanted
        copies = (-(-self.height // wanted.shape[0]), -(-self.width // wanted.shape[1]))
        frame = np.where(np.tile(wanted, copies)[: self.height, : self.width], 255, 0)
        shift = rng.integers(0, wanted.shape[0], (frames, 2))
        return np.stack([np.roll(frame, tuple(by), (0, 1)) for by in shift]).astype(np.uint8)


def boundaries(graph: Graph) -> list[int]:
    """Lengths around which what is kept from frame to frame changes: repetition, rings, delays, strides."""
    times = graph.schedule
    ends = {1, times.min_frames, times.delay, times.delay + times.flush, times.stride, *times.rings.values()}
    ends |= {times.period} if times.period < LONGEST else set()
    near = {end * factor + by for end in ends for factor in (1, 2) for by in (-1, 0, 1)}
    return sorted(length for length in near if 1 <= length <= LONGEST)
