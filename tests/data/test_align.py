from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from qgait.data.align import align, resize
from qgait.errors import QgaitError


def person(height: int = 120, width: int = 40, top: int = 30, left: int = 100) -> np.ndarray:
    """A picture 240 x 320 with an upright rectangle and a head."""
    picture = np.zeros((240, 320), np.uint8)
    picture[top + 20 : top + height, left : left + width] = 255
    picture[top : top + 20, left + width // 2 - 8 : left + width // 2 + 8] = 255
    return picture


def smooth_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return (cv2.GaussianBlur(rng.integers(0, 256, (height, width), dtype=np.uint8), (9, 9), 3) > 128) * np.uint8(255)


def test_the_person_fills_the_height_and_stands_in_the_middle() -> None:
    frame = align(person())
    assert frame is not None and frame.shape == (64, 64) and frame.dtype == np.uint8
    rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
    assert (rows[0], rows[-1]) == (0, 63)
    width = 40 * 64 / 120
    assert abs(columns[0] - (32 - width / 2)) < 1.5 and abs(columns[-1] - (31 + width / 2)) < 1.5


def test_a_symmetric_figure_is_placed_symmetrically() -> None:
    picture = np.zeros((64, 100), np.uint8)  # 64 rows: nothing is scaled
    picture[:, 30:50] = 255
    frame = align(picture)
    assert frame is not None
    np.testing.assert_array_equal(np.flatnonzero(frame[0]), np.arange(22, 42))


@pytest.mark.parametrize(("top", "left"), [(0, 0), (30, 0), (5, 280), (120, 140), (60, 17)])
def test_the_place_in_the_picture_does_not_matter(top: int, left: int) -> None:
    here, there = align(person(top=top, left=left)), align(person())
    assert here is not None and there is not None
    # scaling samples the columns at another phase, so edges differ; the body does not
    assert np.mean(np.abs(here.astype(int) - there) > 128) < 0.02


def test_empty_rows_and_columns_do_not_matter() -> None:
    picture = person()
    more = np.pad(picture, ((17, 40), (0, 0)))
    np.testing.assert_array_equal(align(more), align(picture))


def test_the_middle_column_carries_half_of_the_mass() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        frame = align(np.pad(smooth_noise(rng, 90, 30), 40))
        assert frame is not None
        mass = frame.sum(axis=0, dtype=np.int64)
        assert mass[:32].sum() * 2 <= mass.sum() < mass[:33].sum() * 2


@pytest.mark.parametrize(("height", "width"), [(240, 320), (64, 64), (128, 88), (33, 47), (700, 90), (65, 300)])
def test_it_is_opencvs_result_within_one_gray_level(height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    for picture in (smooth_noise(rng, height, width), rng.integers(0, 256, (height, width), dtype=np.uint8)):
        new = max(1, width * 64 // height)
        expected = cv2.resize(picture, (new, 64), interpolation=cv2.INTER_CUBIC).astype(int)
        difference = np.abs(resize(picture, 64, new) - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 0.06


def test_aligned_frames_stay() -> None:
    frame = align(person())
    assert frame is not None
    np.testing.assert_array_equal(align(frame), frame)


def test_hardly_anybody_is_nobody() -> None:
    picture = np.zeros((100, 100), np.uint8)
    picture[10:50, 20] = 250  # 40 pixels of 250 are the bound
    assert align(picture) is None
    picture[50, 20] = 1
    assert align(picture) is not None
    assert align(np.zeros((10, 10), np.uint8)) is None
    # scaling down to one column leaves nothing of a thin line
    thin = np.zeros((6400, 101), np.uint8)
    thin[:, 0] = 255
    assert align(thin) is None


def test_boolean_masks_are_0_and_255() -> None:
    np.testing.assert_array_equal(align(person() > 0), align(person()))


@pytest.mark.parametrize("wrong", [np.zeros((2, 4, 4), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(QgaitError, match="one uint8 or boolean picture"):
        align(wrong)


@pytest.mark.parametrize("shape", [(1, 1 << 25), (8, 1 << 22), (1 << 25, 1), (1 << 22, 8), (5_792, 5_792)])
def test_any_shape_takes_little_memory(shape: tuple[int, int]) -> None:
    picture = np.full(shape, 255, np.uint8)
    tracemalloc.start()
    try:
        frame = align(picture)
        assert tracemalloc.get_traced_memory()[1] < 450_000_000
    finally:
        tracemalloc.stop()
    assert frame is None or frame.shape == (64, 64)
