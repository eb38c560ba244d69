from __future__ import annotations

import re

import numpy as np
import pytest

from qgait.data.silhouettes import check_clip
from qgait.errors import QgaitError

RNG = np.random.default_rng(1)
WIDE = RNG.integers(0, 256, (5, 64, 64), dtype=np.uint8)
NARROW = np.ascontiguousarray(WIDE[:, :, 10:54])


def test_ten_columns_are_cut_on_each_side() -> None:
    clip = check_clip(WIDE, "x")
    assert clip.shape == (5, 64, 44) and clip.dtype == np.uint8 and clip.flags.c_contiguous
    np.testing.assert_array_equal(clip, NARROW)
    np.testing.assert_array_equal(check_clip(NARROW, "x"), NARROW)


def test_all_columns_are_kept_where_they_are_wanted() -> None:
    for dtype in ("u1", "i8", "f4"):
        np.testing.assert_array_equal(check_clip(WIDE.astype(dtype), "x", wide=True), WIDE, strict=True)
    np.testing.assert_array_equal(check_clip(WIDE > 100, "x", wide=True), (WIDE > 100) * np.uint8(255))
    with pytest.raises(QgaitError, match="x has frames of 44 columns, and perspective needs all 64"):
        check_clip(NARROW, "x", wide=True)


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f4"])
def test_codes_in_other_types_are_kept(dtype: str) -> None:
    np.testing.assert_array_equal(check_clip(WIDE.astype(dtype), "x"), NARROW)


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f4", "f8"])
def test_masks_of_0_and_1_become_0_and_255(dtype: str) -> None:
    mask = WIDE > 100
    np.testing.assert_array_equal(check_clip(mask.astype(dtype), "x"), (NARROW > 100) * np.uint8(255))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_codes_divided_by_255_come_back(dtype: str) -> None:
    np.testing.assert_array_equal(check_clip(WIDE.astype(dtype) / np.array(255, dtype), "x"), NARROW)


def test_fractions_are_rounded_half_up() -> None:
    clip = np.zeros((1, 64, 44), np.float32)
    clip[0, 0, :5] = [0.5, 1.49, 2.5, 254.5, 255]
    assert check_clip(clip, "x")[0, 0, :5].tolist() == [1, 1, 3, 255, 255]


def test_black_clips_stay_black() -> None:
    for dtype in ("?", "u1", "f4"):
        assert not check_clip(np.zeros((2, 64, 64), dtype), "x").any()


def test_the_result_is_a_copy_of_a_cut_and_the_input_stays() -> None:
    before = WIDE.copy()
    check_clip(WIDE, "x")[:] = 0
    np.testing.assert_array_equal(WIDE, before)


def with_value(value: float, dtype: str = "f4") -> np.ndarray:
    clip = np.zeros((2, 64, 64), dtype)
    clip[1, 3, 0] = value  # in a column that the cut drops
    return clip


@pytest.mark.parametrize(
    ("array", "said", "fix"),
    [
        (np.zeros((0, 64, 64), np.uint8), "no frames", "leave"),
        (np.zeros((64, 64), np.uint8), r"\[64, 64\]", "array\\[None\\]"),
        (np.zeros((3, 1, 64, 64), np.uint8), r"\[3, 1, 64, 64\]", "squeeze\\(1\\)"),
        (np.zeros((3, 64, 64, 1), np.uint8), r"\[3, 64, 64, 1\]", "squeeze\\(3\\)"),
        (np.zeros((3, 64, 64, 3), np.uint8), r"\[3, 64, 64, 3\]", "segmented"),
        (np.zeros((3, 128, 88), np.uint8), r"\[3, 128, 88\]", "prepare"),
        (np.zeros((3, 44, 64), np.uint8), r"\[3, 44, 64\]", "align"),
        (np.zeros(5, np.uint8), r"\[5\]", "align"),
        (with_value(-1), "from -1 to 0", "normalization"),
        (with_value(255.5), "to 255.5", "uint8"),
        (with_value(256, "i4"), "to 256", "uint8"),
        (with_value(np.nan), "NaN", "uint8"),
        (with_value(np.inf), "infinite", "uint8"),
        (np.zeros((2, 64, 64), np.complex64), "complex64", "uint8"),
        (np.full((2, 64, 64), "a"), "<U1", "uint8"),
        ([[1]], "list", "array"),
    ],
)
def test_refusals_name_the_file_and_the_fix(array: np.ndarray, said: str, fix: str) -> None:
    with pytest.raises(QgaitError, match=said) as caught:
        check_clip(array, "walk.pkl")
    assert caught.value.problem.startswith("walk.pkl")
    assert re.search(fix, caught.value.fix)
