from __future__ import annotations

import gc
import pickle
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset, Sequence
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.errors import QgaitError
from qgait.training.batches import Batch, Batches

ALL_KINDS = Augmentations(perspective=0.5, flip=0.5, rotate=0.5, erase=0.5, affine=0.5)


class Memory(Sequence):
    """A sequence of ten frames whose pixels tell whose they are and which frame it is."""

    def load(self, wide: bool = False) -> np.ndarray:
        frames = np.zeros((int(self.path.name), 64, 64 if wide else 44), np.uint8)
        frames[:, 0, 0] = int(self.subject)
        frames[:, 0, 1] = int(self.view)
        frames[:, 0, 2] = np.arange(len(frames))
        return frames


def counted() -> tuple[list[Sequence], Counter[str]]:
    """Six people, and how often each of their sequences is read: threads of other tests may still be reading theirs."""
    reads: Counter[str] = Counter()

    class Counted(Memory):
        def load(self, wide: bool = False) -> np.ndarray:
            reads[self.name] += 1
            return super().load(wide)

    return [Counted(s.subject, s.type, s.view, s.path) for s in people(6)], reads


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


def batches(seed: int = 0, **options: Any) -> Batches:
    options = {"sampling": FrameSampling(frames=5), "augmentations": Augmentations(), **options}
    sequences = options.pop("sequences", None) or people(6)
    return Batches(sequences, 3, 4, seed=seed, **options)


def assert_same(one: Batch, other: Batch) -> None:
    np.testing.assert_array_equal(one.frames, other.frames, strict=True)
    np.testing.assert_array_equal(one.labels, other.labels, strict=True)
    assert (one.lengths is None) == (other.lengths is None)
    if one.lengths is not None and other.lengths is not None:
        np.testing.assert_array_equal(one.lengths, other.lengths, strict=True)


@pytest.mark.parametrize(("count", "low", "high"), [("unfixed", 2, 6), ("all", 8, 8)])
@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_clips_of_several_lengths_come_one_after_the_other(count: Any, order: Any, low: int, high: int) -> None:
    sampling = FrameSampling(count, order, frames_min=2, frames_max=6, limit=8)
    batch = batches(sampling=sampling).draw()
    assert batch.lengths is not None and batch.lengths.dtype == np.int64
    assert batch.lengths.min() >= low and batch.lengths.max() <= high
    assert len(set(batch.lengths)) > 1 or count == "all"
    assert batch.frames.shape == (1, batch.lengths.sum(), 64, 44)
    for label, clip in zip(batch.labels, np.split(batch.frames[0], batch.lengths.cumsum()[:-1]), strict=True):
        assert set(clip[:, 0, 0]) == {label + 1}
        assert len(set(clip[:, 0, 1])) == 1
        assert order == "unordered" or (np.diff(clip[:, 0, 2].astype(int)) > 0).all()


def test_every_clip_has_an_augmentation_of_its_own() -> None:
    plain = batches(augmentations=Augmentations()).draw()
    flipped = batches(augmentations=Augmentations(flip=1.0)).draw()
    np.testing.assert_array_equal(flipped.frames, plain.frames[..., ::-1])
    some = batches(augmentations=Augmentations(flip=0.5)).draw()
    sides = {tuple(np.flatnonzero(clip[:, 0].any(axis=0))) for clip in some.frames}
    assert len(sides) >= 2


@pytest.mark.parametrize("world", [2, 3, 12])
def test_processes_share_the_batch_that_one_would_draw(world: int) -> None:
    whole = batches(augmentations=ALL_KINDS)
    shares = [batches(augmentations=ALL_KINDS, rank=rank, world=world) for rank in range(world)]
    for _ in range(2):
        expected = whole.draw()
        for rank, share in enumerate(shares):
            batch = share.draw()
            np.testing.assert_array_equal(batch.frames, expected.frames[rank::world])
            np.testing.assert_array_equal(batch.labels, expected.labels[rank::world])
            assert share.rng.bit_generator.state == whole.rng.bit_generator.state


def test_a_share_reads_no_more_than_its_clips() -> None:
    sequences, reads = counted()
    batches(sequences=sequences, rank=1, world=4, ahead=0).draw()
    assert sum(reads.values()) == 3


def test_what_is_loaded_ahead_changes_nothing() -> None:
    now, ahead, far = (batches(ahead=count, augmentations=ALL_KINDS) for count in (0, 1, 5))
    for _ in range(4):
        expected = now.draw()
        for other in (ahead, far):
            assert_same(other.draw(), expected)
            assert other.rng.bit_generator.state == now.rng.bit_generator.state


@pytest.mark.parametrize("count", ["fixed", "unfixed"])
def test_the_state_goes_on_from_the_batch_last_drawn(count: Any) -> None:
    options: dict[str, Any] = {"augmentations": ALL_KINDS, "sampling": FrameSampling(count)}
    first = batches(**options)
    first.draw()
    state = first.rng.bit_generator.state
    expected = [first.draw() for _ in range(3)]
    resumed = batches(seed=99, **options)
    resumed.rng.bit_generator.state = state
    running = batches(seed=98, **options)
    running.draw()  # and others are on their way when the state is set
    running.rng.bit_generator.state = state
    for batch in expected:
        assert_same(resumed.draw(), batch)
        assert_same(running.draw(), batch)


def test_the_next_batch_is_loaded_while_the_last_one_is_used() -> None:
    sequences, reads = counted()
    drawing = batches(sequences=sequences, ahead=2)
    drawing.draw()
    end = time.monotonic() + 20
    while sum(reads.values()) < 36 and time.monotonic() < end:
        time.sleep(0.005)
    assert sum(reads.values()) == 36, "the batch that was drawn and two more, without asking"


def loaders() -> int:
    return sum(thread.name.startswith("batches") for thread in threading.enumerate())


def settles(count: int) -> bool:
    end = time.monotonic() + 20
    while loaders() != count and time.monotonic() < end:
        time.sleep(0.005)
    return loaders() == count


def test_the_thread_ends_with_the_batches() -> None:
    gc.collect()
    assert settles(0)
    with batches() as inside:
        inside.draw()
        assert loaders() >= 1
    assert loaders() == 0
    dropped = batches()
    dropped.draw()
    assert loaders() >= 1
    del dropped
    gc.collect()
    assert settles(0)


class Unreadable(Memory):
    """A damaged file."""

    def load(self, wide: bool = False) -> np.ndarray:
        raise QgaitError(f"{self.name} is damaged.", "copy it again.")


def test_a_damaged_sequence_is_named_when_its_batch_is_drawn() -> None:
    sequences = people(5) + [Unreadable("006", "nm-01", f"{v:03}", Path("1")) for v in range(4)]
    drawing = batches(sequences=sequences)
    drawn = 0
    with pytest.raises(QgaitError, match=r"006-nm-01-00\d is damaged"):
        for _ in range(100):
            drawing.draw()
            drawn += 1
    state = drawing.rng.bit_generator.state
    with pytest.raises(QgaitError, match="is damaged"):
        drawing.draw()
    assert drawing.rng.bit_generator.state == state
    healthy = batches(sequences=people(6))
    for _ in range(drawn):
        healthy.draw()
    assert healthy.rng.bit_generator.state == state


@pytest.mark.parametrize("augmentations", [Augmentations(), Augmentations(rotate=0.5), ALL_KINDS])
@pytest.mark.parametrize("count", ["fixed", "all"])
def test_a_cache_gives_the_same_batches(augmentations: Augmentations, count: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for p in range(3):
        for v in range(2):
            path = tmp_path / f"data/{p:03}/nm-01/{v:03}/{v:03}.pkl"
            path.parent.mkdir(parents=True)
            path.write_bytes(pickle.dumps(rng.integers(0, 256, (4 + p + v, 64, 64), dtype=np.uint8)))
    sequences = Dataset.open(tmp_path / "data").sequences
    cache = SilhouetteCache.open(sequences, tmp_path, wide=augmentations.wide)
    options: dict[str, Any] = {"sampling": FrameSampling(count), "augmentations": augmentations}
    plain, cached = (Batches(sequences, 3, 2, seed=1, cache=c, **options) for c in (None, cache))
    for _ in range(3):
        assert_same(cached.draw(), plain.draw())
    if not augmentations.wide:
        with pytest.raises(ValueError, match="perspective needs 64 columns"):
            Batches(sequences, 3, 2, FrameSampling(), ALL_KINDS, 1, cache=cache)


def test_what_repeats_is_said_once_and_by_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    sequences = people(4, sequences=4) + people(5, sequences=2)[8:]
    for rank in (0, 1):
        drawing = Batches(sequences, 6, 4, FrameSampling(), Augmentations(), 0, rank, 2)
        drawing.draw()
        drawing.draw()
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        "1 of 5 people have fewer than 4 sequences; some come twice in a batch.",
        "There are 5 people for 6 places; some come twice in a batch.",
    ]
    batches().draw()
    assert capsys.readouterr().err == ""


def test_a_batch_is_shared_evenly() -> None:
    with pytest.raises(QgaitError, match="3 x 4 clips cannot be shared evenly by 5 processes"):
        batches(world=5)
