from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Sequence
from qgait.errors import QgaitError
from qgait.training.batches import Batches


class Memory(Sequence):
    """A sequence of ten frames whose pixels tell whose they are and which frame it is; counts how often it is read."""

    reads: ClassVar[Counter[str]] = Counter()

    def load(self, wide: bool = False) -> np.ndarray:
        self.reads[self.name] += 1
        frames = np.zeros((int(self.path.name), 64, 44), np.uint8)
        frames[:, 0, 0] = int(self.subject)
        frames[:, 0, 1] = int(self.view)
        frames[:, 0, 2] = np.arange(len(frames))
        return frames


def people(count: int, sequences: int = 4, frames: int = 10) -> list[Sequence]:
    return [
        Memory(f"{p:03}", "nm-01", f"{v:03}", Path(str(frames))) for p in range(1, count + 1) for v in range(sequences)
    ]


def test_a_batch_is_p_people_with_k_different_clips_of_different_frames() -> None:
    batch = Batches(people(6), 3, 4, FrameSampling(frames=5), Augmentations(), seed=0).draw()
    assert batch.frames.shape == (12, 5, 64, 44)
    assert batch.frames.dtype == np.uint8
    assert sorted(Counter(batch.labels.tolist()).values()) == [4, 4, 4]
    for clip, label in zip(batch.frames, batch.labels, strict=True):
        assert set(clip[:, 0, 0]) == {label + 1}
        assert len(set(clip[:, 0, 2])) == 5
    for label in set(batch.labels.tolist()):
        assert len(set(batch.frames[batch.labels == label, 0, 0, 1])) == 4


def test_frames_come_in_any_order() -> None:
    orders = Batches(people(3), 3, 4, FrameSampling(frames=5), Augmentations(), seed=0).draw().frames[:, :, 0, 2]
    assert any((np.diff(order.astype(int)) < 0).any() for order in orders)


def test_what_is_short_is_repeated() -> None:
    batch = Batches(people(2, sequences=2, frames=3), 4, 3, FrameSampling(frames=7), Augmentations(), seed=0).draw()
    assert batch.frames.shape == (12, 7, 64, 44)
    assert set(batch.frames[:, :, 0, 2].flat) == {0, 1, 2}


def test_everyone_gets_a_turn() -> None:
    batches = Batches(people(5), 2, 2, FrameSampling(frames=2), Augmentations(), seed=0)
    seen = Counter(int(label) for _ in range(60) for label in batches.draw().labels)
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert min(seen.values()) > 0.5 * max(seen.values())


def test_seeds_repeat() -> None:
    one, same, other = (Batches(people(6), 3, 4, FrameSampling(frames=5), Augmentations(), seed) for seed in (1, 1, 2))
    for _ in range(3):
        expected = one.draw()
        np.testing.assert_array_equal(same.draw().frames, expected.frames)
        assert not np.array_equal(other.draw().frames, expected.frames)


def test_one_person_is_too_few() -> None:
    with pytest.raises(QgaitError, match="of 1 people, and a triplet needs two"):
        Batches(people(1), 2, 2, FrameSampling(frames=2), Augmentations(), seed=0)
