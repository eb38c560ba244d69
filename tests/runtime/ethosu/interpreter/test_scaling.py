"""Scaling and rounding against the formulas in Python's integers, and the records of channels."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.errors import QgaitError
from qgait.fixedpoint import requantize
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.scaling import DBL, NATURAL, TRUNCATE, channel_scales, scaled

RNG = np.random.default_rng(3)


def double_rounded(value: int, multiplier: int, shift: int) -> int:
    """TOSA 1.0, apply_scale_32 with DOUBLE_ROUND."""
    rounding = 1 << shift - 1
    if shift > 31:
        rounding += 1 << 30 if value >= 0 else -(1 << 30)
    return value * multiplier + rounding >> shift


def test_natural_is_the_integer_rule() -> None:
    values = RNG.integers(-(2**28), 2**28, 4000)
    multipliers, shifts = RNG.integers(2**30, 2**31, 4000), RNG.integers(30, 50, 4000)
    wanted = requantize(values, multipliers, shifts, 3, -128, 127)
    got = np.clip(scaled(values, multipliers, shifts, NATURAL) + 3, -128, 127)
    assert len(np.unique(wanted)) > 50
    np.testing.assert_array_equal(got, wanted)


def test_dbl_rounds_twice() -> None:
    values = RNG.integers(-(2**20), 2**20, 4000)
    multiplier, shift = 2**30, 36  # every 64th value is a tie
    got = scaled(values, multiplier, shift, DBL)
    np.testing.assert_array_equal(got, [double_rounded(int(value), multiplier, shift) for value in values])
    assert (got != scaled(values, multiplier, shift, NATURAL)).any()


@pytest.mark.parametrize("rounding", [DBL, TRUNCATE, NATURAL])
def test_nothing_is_rounded_without_a_shift(rounding: int) -> None:
    np.testing.assert_array_equal(scaled(np.array([-5, 7]), 3, 0, rounding), [-15, 21])


def test_products_of_more_than_62_bits_are_refused() -> None:
    with pytest.raises(QgaitError, match="more than 62 bits"):
        scaled(np.array([2**31]), 2**32 - 1, 40, NATURAL)


def test_records_of_one_core_and_of_two() -> None:
    records = [(-5, 2**31 + 9, 63), (2**38, 1, 0), (-(2**39), 2**30, 33)]
    content = [b.to_bytes(5, "little", signed=True) + m.to_bytes(4, "little") + bytes([s]) for b, m, s in records]
    memory = Memory()
    memory.add_constant(0, b"".join(content))
    one = {"SCALE_REGION": 0, "SCALE_BASE": 0, "SCALE_LENGTH": 32}
    np.testing.assert_array_equal(np.transpose(channel_scales(Registers(one), memory, 3, 1)), records)
    two = {"SCALE_REGION": 0, "SCALE_BASE": 0, "SCALE_LENGTH": 20, "SCALE1_BASE": 20, "SCALE1_LENGTH": 16}
    interleaved = np.transpose(channel_scales(Registers(two), memory, 3, 2))
    np.testing.assert_array_equal(interleaved, [records[0], records[2], records[1]])
