"""Weights of few bits in few bytes, and what is no packed weight."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.quantizers.bit_planes import fewest_bits, pack, plane_bytes, require_narrow, table, unpack, widths
from qgait.quantizers.grid import weight_limit

NARROW = range(2, 8)


def codes_of(bits: int, count: int, seed: int = 0) -> np.ndarray:
    limit = weight_limit(bits)
    return np.random.default_rng(seed).integers(-limit, limit + 1, count).astype(np.int8)


@pytest.mark.parametrize("bits", NARROW)
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 4, 5), (7, 1, 3, 3), (64,)])
def test_what_was_packed_is_unpacked(bits: int, shape: tuple[int, ...]) -> None:
    codes = codes_of(bits, int(np.prod(shape))).reshape(shape)
    planes = pack(codes, bits)
    assert [plane.dtype for plane in planes] == [np.uint8] * len(widths(bits))
    np.testing.assert_array_equal(unpack(planes, bits, shape), codes)


@pytest.mark.parametrize("bits", NARROW)
def test_every_code_has_as_many_bits_as_its_grid(bits: int) -> None:
    codes = np.arange(-weight_limit(bits), weight_limit(bits) + 1, dtype=np.int8).repeat(8)
    planes = pack(codes, bits)
    assert sum(plane.size for plane in planes) == codes.size * bits // 8
    np.testing.assert_array_equal(unpack(planes, bits, codes.shape), codes)
    assert fewest_bits(codes) == bits


def test_the_bytes_are_those_that_are_written_down() -> None:
    four, three = pack(np.array([1, -1, 7], np.int8), 4), pack(np.array([1, -1, 3, -3], np.int8), 3)
    assert [plane.tolist() for plane in four] == [[0xF1, 0x07]]
    assert [plane.tolist() for plane in three] == [[0b10_01_11_00], [0b1111]]


@pytest.mark.parametrize("bits", NARROW)
def test_tables_say_what_the_bytes_are_worth(bits: int) -> None:
    codes = codes_of(bits, 120)
    worth = [table(bits, i)[plane].reshape(-1)[:120] for i, plane in enumerate(pack(codes, bits))]
    np.testing.assert_array_equal(np.bitwise_or.reduce(worth), codes)


def test_the_fewest_bits_are_those_of_the_largest_code() -> None:
    for largest, bits in ((0, 2), (1, 2), (2, 3), (3, 3), (4, 4), (7, 4), (8, 5), (63, 7), (64, 8), (127, 8)):
        assert fewest_bits(np.array([0, -largest], np.int8)) == bits
    assert fewest_bits(np.zeros(0, np.int8)) == 2


@pytest.mark.parametrize("bits", NARROW)
def test_what_nobody_packed_is_refused(bits: int) -> None:
    codes = codes_of(bits, 9)
    planes = pack(codes, bits)
    padded = [planes[0] | np.array([0] * (planes[0].size - 1) + [0x80], np.uint8), *planes[1:]]
    with pytest.raises(ValueError, match="has bits set behind its last number"):
        unpack(padded, bits, (9,))
    with pytest.raises(ValueError, match=rf"has {planes[0].size} where it needs {plane_bytes(17, widths(bits)[0])} b"):
        unpack(planes, bits, (17,))
    beyond = codes.copy()
    beyond[4] = -weight_limit(bits) - 1
    with pytest.raises(ValueError, match=rf"has the code {beyond[4]}, which is not one of"):
        unpack(pack(beyond, bits), bits, (9,))


def test_eight_bits_are_narrow_too() -> None:
    require_narrow(np.array([-127, 127], np.int8), 8)
    with pytest.raises(ValueError, match="has the code -128, which is not one of -127 to 127"):
        require_narrow(np.array([-128], np.int8), 8)
