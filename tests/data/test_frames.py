from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from qgait.data.frames import FrameSampling, triplet_batches
from qgait.errors import QgaitError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_fixed_unordered_takes_different_frames_in_any_order() -> None:
    sampling = FrameSampling("fixed", "unordered", frames=30)
    drawn = [sampling.indices(80, rng(seed)) for seed in range(50)]
    for indices in drawn:
        assert len(indices) == len(set(indices)) == 30 and 0 <= indices.min() <= indices.max() < 80
    assert any((np.diff(indices) < 0).any() for indices in drawn)
    assert set(np.concatenate(drawn)) == set(range(80))


def test_fixed_unordered_repeats_frames_of_short_sequences() -> None:
    indices = FrameSampling("fixed", "unordered", frames=30).indices(7, rng())
    assert len(indices) == 30 and set(indices) <= set(range(7)) and len(set(indices)) > 3


def test_fixed_ordered_picks_from_a_window() -> None:
    sampling = FrameSampling("fixed", "ordered", frames=30, skip=10)
    starts, spans = set(), set()
    for seed in range(300):
        indices = sampling.indices(60, rng(seed))
        assert len(indices) == 30 and (np.diff(indices) > 0).all()
        assert indices[-1] - indices[0] < 40
        starts.add(int(indices[0]))
        spans.add(int(indices[-1] - indices[0]))
    assert min(starts) == 0 and max(starts) >= 20 and max(spans) == 39


def test_fixed_ordered_without_skip_is_consecutive_and_covers_everything() -> None:
    sampling = FrameSampling("fixed", "ordered", frames=5)
    starts = Counter()
    for seed in range(400):
        indices = sampling.indices(8, rng(seed))
        np.testing.assert_array_equal(np.diff(indices), 1)
        starts[int(indices[0])] += 1
    assert set(starts) == {0, 1, 2, 3} and min(starts.values()) > 60


def test_ordered_repeats_short_sequences_end_to_end() -> None:
    indices = FrameSampling("fixed", "ordered", frames=10).indices(4, rng())
    assert len(indices) == 10
    np.testing.assert_array_equal(np.diff(indices) % 4, 1)
    np.testing.assert_array_equal(FrameSampling("fixed", "ordered", frames=3).indices(1, rng()), [0, 0, 0])
    np.testing.assert_array_equal(FrameSampling("fixed", "ordered", frames=6).indices(3, rng()), [0, 1, 2] * 2)


@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_unfixed_draws_every_number_from_min_to_max(order: str) -> None:
    sampling = FrameSampling("unfixed", order, frames_min=3, frames_max=6)  # type: ignore[arg-type]
    lengths = Counter(len(sampling.indices(20, rng(seed))) for seed in range(400))
    assert set(lengths) == {3, 4, 5, 6} and min(lengths.values()) > 60


def test_all_takes_the_first_frames_up_to_the_limit() -> None:
    np.testing.assert_array_equal(FrameSampling("all", "ordered").indices(50, rng()), np.arange(50))
    np.testing.assert_array_equal(FrameSampling("all", "ordered").indices(1000, rng()), np.arange(720))
    shuffled = FrameSampling("all", "unordered", limit=30).indices(50, rng())
    assert sorted(shuffled) == list(range(30)) and (np.diff(shuffled) < 0).any()


@pytest.mark.parametrize("count", ["fixed", "unfixed", "all"])
@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_the_generator_decides(count: str, order: str) -> None:
    sampling = FrameSampling(count, order)  # type: ignore[arg-type]
    first, again = (sampling.indices(200, rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    if (count, order) != ("all", "ordered"):
        assert not np.array_equal(first, sampling.indices(200, rng(5)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": "some"},
        {"order": "sorted"},
        {"frames": 0},
        {"frames_min": 5, "frames_max": 4},
        {"skip": -1},
        {"limit": 0},
    ],
)
def test_impossible_samplings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(QgaitError):
        FrameSampling(**wrong)  # type: ignore[arg-type]


def test_empty_sequences_are_refused() -> None:
    with pytest.raises(QgaitError, match="without frames"):
        FrameSampling().indices(0, rng())


LABELS = ["a"] * 10 + ["b"] * 3 + ["c"] * 1 + ["d"] * 6


def test_batches_are_people_times_clips() -> None:
    seen: Counter[str] = Counter()
    for batch in islice(triplet_batches(LABELS, 2, 4, rng()), 300):
        assert batch.shape == (8,)
        people = [LABELS[i] for i in batch]
        assert people[:4] == people[:1] * 4 and people[4:] == people[4:5] * 4 and people[0] != people[4]
        seen.update({people[0], people[4]})
        for label, group in ((people[0], batch[:4]), (people[4], batch[4:])):
            repeats = len(set(group)) < 4
            assert not repeats if label in "ad" else repeats
    assert all(120 < n < 180 for n in seen.values()), seen


def test_too_few_people_come_twice() -> None:
    batch = next(triplet_batches(["a", "a", "b", "b"], 5, 2, rng()))
    assert len(batch) == 10


def test_batches_can_be_resumed_from_the_generator() -> None:
    generator = rng(9)
    batches = triplet_batches(LABELS, 3, 2, generator)
    next(batches)
    state = generator.bit_generator.state
    expected = next(batches)
    other = rng()
    other.bit_generator.state = state
    np.testing.assert_array_equal(next(triplet_batches(LABELS, 3, 2, other)), expected)


def test_hopeless_batches_are_refused() -> None:
    with pytest.raises(QgaitError, match="1 people"):
        triplet_batches(["a", "a"], 2, 2, rng())
    for people, clips in ((1, 4), (4, 1)):
        with pytest.raises(QgaitError, match="no triplets"):
            triplet_batches(LABELS, people, clips, rng())
