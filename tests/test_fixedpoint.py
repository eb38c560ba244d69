"""The integer rule against Python's unbounded integers, and against float64 arithmetic."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from qgait.fixedpoint import (
    MAX_ACCUMULATOR,
    MAX_ADD_FACTOR,
    MAX_SHIFT,
    MIN_SHIFT,
    add_factors,
    decode_multiplier,
    encode_multiplier,
    requantize,
)

M_MIN, M_MAX = 2**30, 2**31 - 1


def exact(acc: int, m: int, s: int, zero_point: int, lo: int, hi: int) -> int:
    """The rule in rational arithmetic: nearest integer, halves up, then the zero point and the clip."""
    rounded = (Fraction(acc * m, 2**s) + Fraction(1, 2)).__floor__()
    return min(max(rounded + zero_point, lo), hi)


def accumulators_near(m: int, s: int) -> list[int]:
    """Zero, both ends of the allowed range, and values around the rounding boundaries of the 8-bit codes."""
    limit = min(2 ** (s - 1), MAX_ACCUMULATOR) - 1
    boundaries = [round(Fraction((2 * code + 1) * 2 ** (s - 1), m)) for code in (-129, -128, -3, -1, 0, 1, 2, 127, 128)]
    near = [boundary + step for boundary in boundaries for step in (-2, -1, 0, 1, 2)]
    return sorted({value for value in (*near, 0, 1, -1, limit, -limit) if abs(value) <= limit})


@pytest.mark.parametrize("s", range(MIN_SHIFT, MAX_SHIFT + 1))
def test_every_shift_against_rational_numbers(s: int) -> None:
    rng = np.random.default_rng(s)
    multipliers = [M_MIN, M_MIN + 1, M_MAX, 3 * 2**29, *rng.integers(M_MIN, 2**31, 4).tolist()]
    for m, (zero_point, lo, hi) in itertools.product(multipliers, [(0, -128, 127), (-128, -128, 127), (5, -8, 7)]):
        accs = accumulators_near(m, s)
        expected = [exact(acc, m, s, zero_point, lo, hi) for acc in accs]
        result = requantize(np.array(accs, np.int32), np.int32(m), np.int8(s), zero_point, lo, hi)
        assert result.dtype == np.int8
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("s", [31, 32, 34, 40])
def test_ties_round_towards_plus_infinity(s: int) -> None:
    """With m = 2**30 the multiplier is a power of two, so every odd multiple of half a step is a tie."""
    step = 2 ** (s - 30)
    accs = np.arange(-9, 10, 2) * (step // 2)
    codes = requantize(accs.astype(np.int32), np.int32(2**30), np.int8(s), 0, -128, 127)
    np.testing.assert_array_equal(codes, [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5])


def test_negative_accumulators_are_floored_not_truncated() -> None:
    codes = requantize(np.array([-3, -5, -7], np.int32), np.int32(2**30), np.int8(32), 0, -128, 127)  # divided by 4
    np.testing.assert_array_equal(codes, [-1, -1, -2])


def test_every_code_and_both_saturations_are_reached() -> None:
    accs = np.arange(-2000, 2000, dtype=np.int32)
    codes = requantize(accs, np.int32(2**30), np.int8(33), -7, -100, 90)
    np.testing.assert_array_equal(np.unique(codes), np.arange(-100, 91))
    assert codes[0] == -100 and codes[-1] == 90


def test_multipliers_broadcast_over_channels() -> None:
    rng = np.random.default_rng(0)
    accs = rng.integers(-(2**27), 2**27, (5, 6, 7)).astype(np.int32)
    m = rng.integers(M_MIN, 2**31, 7).astype(np.int32)
    s = rng.integers(44, 54, 7).astype(np.int8)
    result = requantize(accs, m, s, 3, -128, 127)
    expected = [exact(int(acc), int(m[i % 7]), int(s[i % 7]), 3, -128, 127) for i, acc in enumerate(accs.ravel())]
    np.testing.assert_array_equal(result.ravel(), expected)


def test_float64_arithmetic_gives_the_same_codes() -> None:
    """floor(acc * M + 0.5) for float32 multipliers and |acc| < 2**28: why simulated quantization can be exact."""
    rng = np.random.default_rng(1)
    real = np.exp2(rng.uniform(-26, -1, 400_000)).astype(np.float32)
    real[:1000] = np.exp2(rng.integers(-20, 0, 1000))  # ties
    largest = np.minimum(MAX_ACCUMULATOR - 1, 300 / real.astype(np.float64))
    acc = np.trunc(rng.uniform(-1, 1, real.size) * largest).astype(np.int32)
    m, s = encode_multiplier(real)
    assert np.all(np.abs(acc.astype(np.int64)) < np.int64(1) << (s.astype(np.int64) - 1))
    fake = np.clip(np.floor(acc.astype(np.float64) * real.astype(np.float64) + 0.5) - 4, -128, 127)
    np.testing.assert_array_equal(requantize(acc, m, s, -4, -128, 127), fake)


def test_encoding_is_exact_and_normalized() -> None:
    rng = np.random.default_rng(2)
    real = np.exp2(rng.uniform(-31.9, 28.9, 100_000)).astype(np.float32)
    m, s = encode_multiplier(real)
    assert (m.dtype, s.dtype) == (np.int32, np.int8)
    assert m.min() >= M_MIN
    assert s.min() >= MIN_SHIFT and s.max() <= MAX_SHIFT
    np.testing.assert_array_equal(decode_multiplier(m, s), real.astype(np.float64))
    np.testing.assert_array_equal(m % 2**7, 0)  # a float32 has 24 bits of mantissa, m has 31


@pytest.mark.parametrize(("real", "m", "s"), [(2.0**28, 2**30, 2), (2.0**-32, 2**30, 62), (0.5, 2**30, 31)])
def test_encoding_at_the_ends_of_the_shift(real: float, m: int, s: int) -> None:
    assert tuple(int(x) for x in encode_multiplier(np.float32(real))) == (m, s)


@pytest.mark.parametrize("real", [0.0, -1.0, np.inf, np.nan, 2.0**29, 2.0**-33])
def test_encoding_refuses_what_the_rule_cannot_express(real: float) -> None:
    with pytest.raises(ValueError, match=r"multiplier"):
        encode_multiplier(np.array([0.25, real], np.float32))


def test_encoding_refuses_float64_which_would_be_approximated() -> None:
    with pytest.raises(ValueError, match=r"float32"):
        encode_multiplier(np.array([0.1]))


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.3, 1e-3, 1e-9, 3.0, 7.77, 1e4, 1e9])
def test_add_factors_are_the_nearest_to_the_ratio(ratio: float) -> None:
    ka, kb = add_factors(ratio, 1.0)
    assert max(ka, kb) == MAX_ADD_FACTOR
    assert min(ka, kb) >= 1
    small, large = sorted((ratio, 1.0))
    wanted = MAX_ADD_FACTOR * small / large
    assert min(ka, kb) == max(1, int(np.floor(wanted + 0.5)))
    assert (ka >= kb) == (ratio >= 1.0)


def test_add_factors_of_swapped_operands_are_swapped() -> None:
    assert add_factors(0.02, 0.013) == add_factors(0.013, 0.02)[::-1]
