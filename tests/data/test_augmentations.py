from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

from qgait.data.augmentations import Augmentations
from qgait.errors import QgaitError

KINDS = ("perspective", "flip", "rotate", "erase", "affine")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(frames: int = 3, columns: int = 64) -> np.ndarray:
    return rng(9).integers(1, 256, (frames, 64, columns), dtype=np.uint8)


def only(kind: str, **ranges: Any) -> Augmentations:
    return Augmentations(**{kind: 1.0}, **ranges)


def spot(column: int, row: int, columns: int = 44) -> np.ndarray:
    """One frame with a white square of 3 x 3 around a point."""
    frame = np.zeros((1, 64, columns), np.uint8)
    frame[0, row - 1 : row + 2, column - 1 : column + 2] = 255
    return frame


def centre(frame: np.ndarray) -> tuple[float, float]:
    """(column, row) of the centre of mass."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return float((frame * columns).sum() / frame.sum()), float((frame * rows).sum() / frame.sum())


@pytest.mark.parametrize("columns", [64, 44])
def test_switched_off_only_the_cut_happens_and_opencv_is_not_needed(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    clip = noise(columns=columns)
    for seed in range(20):
        result = Augmentations().apply(clip, rng(seed))
        np.testing.assert_array_equal(result, clip[:, :, 10:54] if columns == 64 else clip, strict=True)
        assert result.flags.c_contiguous


@pytest.mark.parametrize("kind", ["perspective", "rotate", "affine"])
def test_without_opencv_the_extra_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(QgaitError, match=r"Augmentation needs OpenCV.*qgait\[torch\]"):
        only(kind).apply(noise(), rng())


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_repeat_and_the_clip_stays(kind: str) -> None:
    clip = noise()
    one, same, other = (only(kind).apply(clip, rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (3, 64, 44) and one.dtype == np.uint8 and one.flags.c_contiguous
    np.testing.assert_array_equal(one, same)
    assert (not np.array_equal(one, other)) == (kind != "flip")
    assert not np.array_equal(one, clip[:, :, 10:54])
    np.testing.assert_array_equal(clip, noise())


@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_of_a_clip_change_alike(kind: str) -> None:
    frame = noise(1)
    result = only(kind).apply(np.concatenate([frame] * 4), rng(3))
    for other in result[1:]:
        np.testing.assert_array_equal(other, result[0])
    for count in (1, 32, 33):  # whatever the number of frames
        many = only(kind).apply(np.concatenate([frame] * count), rng(3))
        np.testing.assert_array_equal(many, np.concatenate([result[:1]] * count))


@pytest.mark.parametrize("kind", KINDS)
def test_a_probability_is_how_often(kind: str) -> None:
    clip = noise(1)
    augmentations = Augmentations(**{kind: 0.25})
    generator = rng(5)
    changed = sum(not np.array_equal(augmentations.apply(clip, generator), clip[:, :, 10:54]) for _ in range(400))
    assert 70 <= changed <= 130  # 100 expected, and some draws change nothing


def test_two_flips_are_none() -> None:
    clip = noise(columns=44)
    once = only("flip").apply(clip, rng())
    np.testing.assert_array_equal(once, clip[:, :, ::-1])
    np.testing.assert_array_equal(only("flip").apply(once, rng()), clip)


def test_one_rectangle_is_erased_within_its_limits() -> None:
    clip = noise(2, 44)
    areas, aspects = [], []
    for seed in range(300):
        result = only("erase").apply(clip, rng(seed))
        erased = (result == 0).all(axis=0)
        np.testing.assert_array_equal(result[:, ~erased], clip[:, ~erased])
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert erased.sum() == height * width, "one full rectangle"
        areas.append(height * width / (64 * 44))
        aspects.append(height / width)
    assert 0.045 < min(areas) < 0.06 and 0.19 < max(areas) < 0.21  # sides are whole pixels
    assert 0.27 < min(aspects) < 0.4 and 3 < max(aspects) < 3.7


def test_a_rectangle_that_never_fits_erases_nothing() -> None:
    clip = noise(columns=44)
    flat = only("erase", erase_area=(0.9, 1.0), erase_aspect=(0.1, 0.2))
    np.testing.assert_array_equal(flat.apply(clip, rng()), clip)


def test_pictures_turn_around_column_32_and_row_22() -> None:
    fixed = only("rotate").apply(spot(32, 22), rng(1))[0]
    assert centre(fixed) == pytest.approx((32, 22), abs=0.05)
    augmentations = only("rotate", rotate_degrees=10.0)
    turned = []
    for seed in range(40):
        column, row = centre(augmentations.apply(spot(32, 52), rng(seed))[0])
        angle = math.degrees(math.atan2(column - 32, row - 22))
        assert math.hypot(column - 32, row - 22) == pytest.approx(30, abs=0.1)
        turned.append(angle)
    assert -10.2 < min(turned) < -7 and 7 < max(turned) < 10.2


class Fixed:
    """A generator whose coin always falls on yes and whose whole numbers are given."""

    def __init__(self, *numbers: Any) -> None:
        self.numbers = [np.array(n) for n in numbers]

    def random(self) -> float:
        return 0.5

    def integers(self, *_: Any, **__: Any) -> Any:
        return self.numbers.pop(0)


def test_perspective_stretches_what_is_between_the_corners() -> None:
    """The upper corners come from columns 8 and 63 - 4, the lower ones from 2 and 63 - 1."""
    clip = np.zeros((1, 64, 64), np.uint8)
    clip[0, :, 30:34] = 255
    result = only("perspective").apply(clip, Fixed([8, 2], [4, 1]))[0]  # type: ignore[arg-type]
    # the top row: 51 columns become 64, columns 30 .. 33 lie around (31.5 - 8) / 51 * 64 = 29.5, 10 less after the cut
    assert centre(result[:1])[0] == pytest.approx((31.5 - 8) / 51 * 64 - 10, abs=0.5)
    assert result[0].sum() / 255 == pytest.approx(4 * 64 / 51, abs=0.5)
    # the bottom row: 60 columns become 64
    assert centre(result[-1:])[0] == pytest.approx((31.5 - 2) / 60 * 64 - 10, abs=0.5)
    assert result[-1].sum() / 255 == pytest.approx(4 * 64 / 60, abs=0.5)


def test_perspective_brings_in_no_black() -> None:
    """The picture only grows; at its edges pixels are interpolated with the black around it."""
    for seed in range(50):
        assert only("perspective").apply(np.full((1, 64, 64), 255, np.uint8), rng(seed)).min() > 200


def test_an_affine_change_takes_three_corners_where_they_belong() -> None:
    before, after = [[4, 5], [20, 6], [7, 8]], [[6, 3], [25, 2], [9, 9]]  # (64 - 20, 6) to (64 - 25, 2), ...
    clip = np.concatenate([spot(4, 5), spot(44 - 1, 6), spot(7, 44 - 8)])
    matrix = only("affine").apply(clip, Fixed([before, after]))  # type: ignore[arg-type]
    assert centre(matrix[0]) == pytest.approx((6, 3), abs=0.2)
    assert centre(matrix[2]) == pytest.approx((9, 44 - 9), abs=0.2)
    assert centre(matrix[1])[0] == pytest.approx(64 - 25 - 1, abs=1.0)  # the spot is cut off at the edge


def test_the_cut_comes_after_perspective_and_before_the_rest() -> None:
    clip = np.zeros((1, 64, 64), np.uint8)
    clip[0, :, 10:54] = 255  # the 44 columns and nothing else
    assert Augmentations(flip=1).apply(clip, rng()).min() == 255
    assert only("perspective").apply(clip, Fixed([0, 0], [0, 0])).min() > 200  # type: ignore[arg-type]


def test_perspective_needs_64_columns_even_when_it_does_not_happen() -> None:
    for seed in range(5):
        with pytest.raises(QgaitError, match=r"64 columns.*have 44"):
            Augmentations(perspective=0.01).apply(noise(columns=44), rng(seed))
    with pytest.raises(ValueError, match="a clip is"):
        Augmentations().apply(np.zeros((64, 64), np.uint8), rng())


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip": -0.1},
        {"erase": 1.1},
        {"erase_area": (0.2, 0.1)},
        {"erase_area": (0.0, 0.1)},
        {"erase_aspect": (0.0, 3.0)},
        {"perspective_columns": 0},
        {"affine_pixels": 40},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(QgaitError):
        Augmentations(**wrong)
