"""Tables of generalized means against the float mean that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.quantizers.grid import Grid
from qgait.quantizers.power_tables import power_tables

SOURCE, RESULT = Grid(-128, 127, -100), Grid(-128, 127, -128)
STEP = 0.02


def pooled(codes: np.ndarray, p: float, step: float, source: Grid = SOURCE) -> np.ndarray:
    """Integers of regions [n, count] by the tables."""
    powers, thresholds = power_tables(source, STEP, RESULT, [step], [codes.shape[1]], [p])
    return np.searchsorted(thresholds[0], powers[0][codes + 128].sum(1), side="right")


def exact(codes: np.ndarray, p: float, step: float, source: Grid = SOURCE) -> np.ndarray:
    x = np.maximum((codes - source.zero_point) * STEP, 1e-6)
    return np.clip((x**p).mean(1) ** (1 / p) / step, 0, 255)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.3, 6.5, 9.0])
@pytest.mark.parametrize("count", [1, 44, 64 * 44])
def test_sums_are_exact_in_float64_and_thresholds_ascend(p: float, count: int) -> None:
    for step in (0.001, 0.02, 5.0):
        powers, thresholds = power_tables(SOURCE, STEP, RESULT, [step], [count], [p])
        assert powers.dtype == thresholds.dtype == np.int64
        assert powers.min() >= 0 and (np.diff(powers[0]) >= 0).all()
        assert 2**53 - 1 - count <= int(powers.max()) * count <= 2**53 - 2
        assert thresholds.min() >= 0 and (np.diff(thresholds[0]) >= 0).all()
        assert thresholds.shape == (1, 255)


@pytest.mark.parametrize("p", [1.0, 2.5, 6.5])
def test_large_regions_of_large_codes_are_rounded_as_the_float_mean_is(p: float) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (2000, 352))
    step = float(227 * STEP / 255)
    wanted = exact(codes, p, step)
    error = np.abs(pooled(codes, p, step) - wanted)
    assert error.max() < 0.501 and len(np.unique(pooled(codes, p, step))) > 2


@pytest.mark.parametrize("count", [44, 352, 64 * 44])
@pytest.mark.parametrize("peak", [8, 12, 24, 48, 96, 255])
def test_small_codes_are_pooled_as_exactly_as_large_ones(peak: int, count: int) -> None:
    """At p = 6.5: regions of any codes up to a peak, of equal codes, and of few codes among zeros."""
    rng = np.random.default_rng(1)
    any_codes = rng.integers(0, peak + 1, (300, count))
    equal = np.repeat(rng.integers(1, peak + 1, (40, 1)), count, 1)
    few = np.where(rng.random((300, count)) < 0.03, any_codes, 0)
    codes = np.concatenate([any_codes, equal, few, np.full((1, count), peak)])
    codes[:, 0] = peak
    source = Grid(-128, 127, -128)
    for step in (STEP, 0.6 * STEP):
        wanted = exact(codes - 128, 6.5, step, source)
        found = pooled(codes - 128, 6.5, step, source)
        assert np.abs(found - wanted).max() < 0.55 and len(np.unique(found)) > 1


def test_one_code_alone_is_rescaled() -> None:
    codes = np.arange(-40, 128)[:, None]
    integers = pooled(codes, 3.0, 0.03)
    np.testing.assert_array_equal(integers, np.floor((codes[:, 0] + 100) * STEP / 0.03 + 0.5))


def test_regions_have_tables_of_their_own() -> None:
    powers, thresholds = power_tables(SOURCE, STEP, RESULT, [0.02, 0.05], [88, 44], [6.5, 2.0])
    assert not np.array_equal(powers[0], powers[1]) and not np.array_equal(thresholds[0], thresholds[1])
    twice = power_tables(SOURCE, STEP, RESULT, [0.05, 0.05], [44, 44], [2.0, 2.0])
    np.testing.assert_array_equal(powers[1], twice[0][1])
    np.testing.assert_array_equal(thresholds[1], twice[1][1])
