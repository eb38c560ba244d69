"""Synthetic walkers: what a sequence is and that it looks like somebody walking."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.data.walkers.dataset import CONDITIONS, VIEWS, sequence
from qgait.errors import QgaitError


def mean_silhouette(seed: int, subject: int, condition: str, view: int, frames: int = 48) -> np.ndarray:
    return sequence(seed, subject, condition, view, frames).mean(axis=0) / 255


def test_the_same_arguments_give_the_same_bytes() -> None:
    once = sequence(3, 17, "bg-02", 54, 30)
    sequence(3, 18, "cl-01", 0, 10)  # what else was made in between does not matter
    np.testing.assert_array_equal(sequence(3, 17, "bg-02", 54, 30), once)


@pytest.mark.parametrize(
    "other", [(4, 17, "nm-01", 54), (3, 18, "nm-01", 54), (3, 17, "nm-02", 54), (3, 17, "nm-01", 72)]
)
def test_another_seed_subject_condition_or_view_gives_other_silhouettes(other: tuple[int, int, str, int]) -> None:
    assert (sequence(*other, 30) != sequence(3, 17, "nm-01", 54, 30)).mean() > 0.01


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("condition", ["nm-03", "bg-01", "cl-02"])
def test_frames_are_aligned_as_gait_networks_expect(condition: str, view: int) -> None:
    frames = sequence(1, 5, condition, view, 20)
    assert frames.shape == (20, 64, 64)
    assert frames.dtype == np.uint8
    filled = (frames > 127).any(axis=2)
    assert filled[:, 1].mean() > 0.9  # the crown, but for a frame whose top a segmentation error frayed
    assert filled[:, 62].mean() > 0.9
    mass = frames.sum(axis=1, dtype=np.int64).cumsum(axis=1)
    half = np.argmax(2 * mass >= mass[:, -1:], axis=1)
    assert np.all(np.abs(half - 32) <= 1)
    area = (frames > 127).sum(axis=(1, 2))
    assert np.all((area > 300) & (area < 1800))


def test_edges_are_grey_and_the_inside_is_not() -> None:
    frames = sequence(1, 5, "nm-01", 0, 40)
    grey = ((frames > 0) & (frames < 255)).mean()
    assert 0.01 < grey < 0.08  # 0.03 in CASIA-B
    assert (frames[:, 25:30, 30:34] == 255).mean() > 0.9


def test_a_walk_repeats_itself_and_steps_twice_a_cycle() -> None:
    frames = sequence(1, 9, "nm-01", 90, 100)
    width = (frames[:, 44:, :] > 127).any(axis=1).sum(axis=1).astype(float)
    width -= width.mean()
    correlation = np.array([np.corrcoef(width[:-lag], width[lag:])[0, 1] for lag in range(1, 26)])
    step = 8 + int(np.argmax(correlation[7:]))  # frames; people take 1.4 to 2.6 steps a second
    assert 9 <= step <= 18
    assert correlation[step - 1] > 0.6
    assert correlation[step // 2 - 1] < 0


def test_feet_leave_each_other_in_the_side_view_only() -> None:
    def stride(view: int) -> float:
        legs = sequence(1, 4, "nm-02", view, 60)[:, 56:, :] > 127
        return float(np.percentile(legs.any(axis=1).sum(axis=1), 90))

    assert stride(90) > 1.6 * stride(0)


def test_the_picture_shows_a_walk_to_the_left() -> None:
    """As in CASIA-B, view 090: toes, the front end of a foot, are left of the heel."""
    ends = []
    for subject in range(1, 6):
        mean = mean_silhouette(2, subject, "nm-01", 90)
        head, torso = mean[2:8], mean[18:26]
        columns = np.arange(64)
        ends.append((head.sum(0) @ columns) / head.sum() - (torso.sum(0) @ columns) / torso.sum())
    assert np.mean(ends) < -0.5  # heads are carried in front of backs


def test_front_and_back_view_mirror_each_other() -> None:
    """Views v and 180 - v see one outline from two sides, apart from left-right asymmetry and perspective."""
    for view in (0, 18, 36):
        same, other = [], []
        people = [mean_silhouette(6, s, "nm-01", view) for s in range(1, 7)]
        backs = [mean_silhouette(6, s, "nm-01", 180 - view) for s in range(1, 7)]
        for i, a in enumerate(people):
            for k, b in enumerate(backs):
                apart = min(np.abs(a - b).mean(), np.abs(a - b[:, ::-1]).mean())
                (same if i == k else other).append(apart)
        assert np.mean(same) < 0.8 * np.mean(other)


def test_a_coat_makes_people_larger_and_hides_thighs() -> None:
    gain, gap = [], []
    for subject in range(1, 9):
        normal, coat = sequence(5, subject, "nm-01", 90, 50), sequence(5, subject, "cl-01", 90, 50)
        gain.append((coat > 127).sum() / (normal > 127).sum())
        gap.append(coat[:, 34:44].mean() / normal[:, 34:44].mean())
    assert np.mean(gain) > 1.08
    assert np.mean(gap) > 1.1


def test_a_bag_shows_in_the_outline() -> None:
    """Bag sequences are further from the person's normal walks than those are from each other."""
    apart, usual = [], []
    for subject in range(1, 9):
        normal = [mean_silhouette(8, subject, f"nm-0{i}", 72) for i in (1, 2)]
        usual.append(np.abs(normal[0] - normal[1]).mean())
        apart.append(np.abs(mean_silhouette(8, subject, "bg-01", 72) - normal[0]).mean())
    assert np.mean(apart) > 1.2 * np.mean(usual)


def test_both_coat_sequences_show_the_same_coat() -> None:
    coats = [[mean_silhouette(9, s, f"cl-0{i}", 0) for i in (1, 2)] for s in range(1, 9)]
    same = [np.abs(a - b).mean() for a, b in coats]
    other = [np.abs(coats[i][0] - coats[i - 1][1]).mean() for i in range(8)]
    assert np.mean(same) < 0.7 * np.mean(other)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((1, 1, "nm-07", 0, 9), "nm-07"), ((1, 1, "nm-01", 45, 9), "45"), ((1, 1, "nm-01", 0, 0), "frames")],
)
def test_what_does_not_exist_is_refused(arguments: tuple[int, int, str, int, int], word: str) -> None:
    with pytest.raises(QgaitError, match=word):
        sequence(*arguments)


def test_conditions_and_views_are_those_of_casia_b() -> None:
    assert " ".join(CONDITIONS) == "nm-01 nm-02 nm-03 nm-04 nm-05 nm-06 bg-01 bg-02 cl-01 cl-02"
    assert [f"{v:03d}" for v in VIEWS] == ["000", "018", "036", "054", "072", "090", "108", "126", "144", "162", "180"]
