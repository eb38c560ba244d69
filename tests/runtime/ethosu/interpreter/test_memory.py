"""Regions and feature maps: four tiles, both layouts, and bytes that nothing wrote."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.errors import QgaitError
from qgait.runtime.ethosu.interpreter.feature_maps import FeatureMap, feature_map
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.registers import Registers

RNG = np.random.default_rng(1)


def working_memory(size: int = 4096) -> Memory:
    memory = Memory()
    memory.add(1, size)
    return memory


def a_map(bricks: bool, dtype: str = "i1", **change: object) -> FeatureMap:
    each = np.dtype(dtype).itemsize
    strides = (7 * 32 * each, 16 * each, 7 * 16 * each) if bricks else (7 * 40 * each, 40 * each, each)
    found = {"heights": (3, 2), "width": 4, "bases": (0, 1600, 2400, 3200), "strides": strides} | change
    return FeatureMap(np.dtype(dtype), 0, bricks, 1, **found)  # type: ignore[arg-type]


@pytest.mark.parametrize("bricks", [False, True])
def test_every_byte_of_four_tiles(bricks: bool) -> None:
    """Against an address computed for every single code."""
    memory, made = working_memory(), a_map(bricks)
    made = FeatureMap(
        made.dtype, 0, bricks, 1, made.bases, made.heights, made.width, (4 * 40, 16 if bricks else 40, 64)
    )
    values = RNG.integers(-128, 128, (5, 6, 20)).astype(np.int8)
    made.write(memory, values)
    stored = memory.regions[1].data.view(np.int8)
    for (y, x, c), value in np.ndenumerate(values):
        right = x >= 4
        low = y >= (2 if right else 3)
        base = made.bases[right + 2 * low]
        row, column = y - low * (2 if right else 3), x - 4 * right
        at = base + row * 160 + (column * 16 + c // 16 * 64 + c % 16 if bricks else column * 40 + c)
        assert stored[at] == value
    np.testing.assert_array_equal(made.read(memory, values.shape), values)


def test_numbers_of_32_bits_in_bricks() -> None:
    memory, made = working_memory(), a_map(True, "i4", heights=(9, 9), width=9, bases=(64, 0, 0, 0))
    values = RNG.integers(-(2**31), 2**31, (2, 3, 17)).astype(np.int32)
    made.write(memory, values)
    np.testing.assert_array_equal(made.read(memory, values.shape), values)
    assert not memory.regions[1].written[:64].any()


def test_padding_between_bricks_is_never_read() -> None:
    memory, made = working_memory(), a_map(True, heights=(9, 9), width=9)
    made.write(memory, np.zeros((1, 1, 17), np.int8))
    made.read(memory, (1, 1, 17))
    with pytest.raises(QgaitError, match="where nothing was written"):
        made.read(memory, (1, 1, 18))


def test_a_copy_takes_along_what_was_never_written() -> None:
    memory = working_memory()
    memory.write(1, 0, np.arange(4, dtype=np.uint8))
    memory.start_copy((1, 2), (1, 100), 4)
    memory.finish_copies()
    np.testing.assert_array_equal(memory.read(1, 100, (2,)), [2, 3])
    with pytest.raises(QgaitError, match="where nothing was written"):
        memory.read(1, 100, (3,))


def test_copies_end_in_their_order() -> None:
    memory = working_memory()
    memory.write(1, 0, np.arange(4, dtype=np.uint8))
    for target in (100, 200):
        memory.start_copy((1, 0), (1, target), 4)
    memory.finish_copies(1)
    np.testing.assert_array_equal(memory.read(1, 100, (4,)), range(4))
    with pytest.raises(QgaitError, match="or a copy still writes"):
        memory.read(1, 200, (4,))
    memory.finish_copies()
    np.testing.assert_array_equal(memory.read(1, 200, (4,)), range(4))


def test_what_lies_outside_is_refused() -> None:
    memory = working_memory(64)
    with pytest.raises(QgaitError, match="reaches byte 65 of region 1, which has 64"):
        memory.write(1, 61, np.zeros(4, np.uint8))
    with pytest.raises(QgaitError, match="uses region 2, which the model does not have"):
        memory.read(2, 0, (1,))


def test_columns_of_bricks_that_do_not_lie_side_by_side_are_refused() -> None:
    values = {f"IFM_STRIDE_{axis}": 32 for axis in "XYC"} | {"IFM_PRECISION": 1 << 6 | 1}
    with pytest.raises(QgaitError, match="NPU_SET_IFM_STRIDE_X 32 of a map in bricks"):
        feature_map(Registers(values), "IFM")
