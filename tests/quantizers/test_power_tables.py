"""Tables of generalized means against the float mean that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.quantizers.grid import Grid
from qgait.quantizers.power_tables import power_tables

SOURCE, RESULT = Grid(-128, 127, -100), Grid(-128, 127, -128)
STEP = 0.02


def pooled(codes: np.ndarray, p: float, step: float, source: Grid = SOURCE) -> np.ndarray:
    """Levels of regions [n, count] by the tables."""
    powers, thresholds = power_tables(source, STEP, RESULT, [step], [codes.shape[1]], [p])
    return np.searchsorted(thresholds[0], powers[0][codes + 128].astype(np.int64).sum(1), side="right")


def exact(codes: np.ndarray, p: float, step: float, source: Grid = SOURCE) -> np.ndarray:
    x = np.maximum((codes - source.zero_point) * STEP, 1e-6)
    return np.clip((x**p).mean(1) ** (1 / p) / step, 0, 255)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.3, 6.5, 9.0])
@pytest.mark.parametrize("count", [1, 44, 64 * 44])
def test_sums_stay_below_int32_and_thresholds_ascend(p: float, count: int) -> None:
    for step in (0.001, 0.02, 5.0):
        powers, thresholds = power_tables(SOURCE, STEP, RESULT, [step], [count], [p])
        assert powers.dtype == thresholds.dtype == np.int32
        assert powers.min() >= 0 and (np.diff(powers[0].astype(np.int64)) >= 0).all()
        assert 2**31 - 1 - count <= int(powers.max()) * count <= 2**31 - 2
        assert thresholds.min() >= 0 and (np.diff(thresholds[0].astype(np.int64)) >= 0).all()
        assert thresholds.shape == (1, 255)


@pytest.mark.parametrize("p", [1.0, 2.5, 6.5])
def test_large_regions_of_large_codes_are_rounded_as_the_float_mean_is(p: float) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (2000, 352))
    step = float(227 * STEP / 255)
    wanted = exact(codes, p, step)
    error = np.abs(pooled(codes, p, step) - wanted)
    assert error.max() < 0.501 and len(np.unique(pooled(codes, p, step))) > 2


@pytest.mark.parametrize(("peak", "most"), [(200, 0.51), (96, 0.52), (48, 0.8)])
def test_regions_of_small_codes_lose_little_down_to_a_fifth_of_the_range(peak: int, most: float) -> None:
    """At p = 6.5 over 352 codes. Smaller peaks lose more, and at last all."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, peak + 1, (2000, 352)) - 128
    source = Grid(-128, 127, -128)
    step = STEP
    error = np.abs(pooled(codes, 6.5, step, source) - exact(codes, 6.5, step, source))
    assert error.max() < most


def test_one_code_alone_is_rescaled() -> None:
    codes = np.arange(-40, 128)[:, None]
    levels = pooled(codes, 3.0, 0.03)
    np.testing.assert_array_equal(levels, np.floor((codes[:, 0] + 100) * STEP / 0.03 + 0.5))


def test_regions_have_tables_of_their_own() -> None:
    powers, thresholds = power_tables(SOURCE, STEP, RESULT, [0.02, 0.05], [88, 44], [6.5, 2.0])
    assert not np.array_equal(powers[0], powers[1]) and not np.array_equal(thresholds[0], thresholds[1])
    alone = power_tables(SOURCE, STEP, RESULT, [0.05], [44], [2.0])
    np.testing.assert_array_equal(powers[1:], alone[0])
    np.testing.assert_array_equal(thresholds[1:], alone[1])
