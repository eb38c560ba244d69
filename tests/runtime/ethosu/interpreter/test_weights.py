"""The order of weights in a stream, against loops over the hardware's blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qgait.errors import QgaitError
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.weights import Kernel, WeightOrder, arranged, kernel

RNG = np.random.default_rng(5)


def stream_of(weights: np.ndarray, order: WeightOrder) -> list[int]:
    """Weights [KH, KW, I, O] in the order in which the blocks of ``order`` are worked on."""
    rows, columns, inputs, outputs = weights.shape
    first, depthwise, group = order.kernel.part_first, order.depthwise, order.outputs_at_once
    depth = 16 if first else 32
    found = []
    for o_block, i_block in itertools.product(range(0, outputs, order.block), range(0, inputs, depth)):
        for top, left in itertools.product(range(0, rows, 8), range(0, columns, 8)):
            high, wide = min(8, rows - top), min(8, columns - left)
            elements = -(-high * wide // 4) * 4 if first or depthwise else high * wide
            outer = range(0, min(depth, inputs - i_block), 8) if first else [0]
            inner = [0] if first or depthwise else range(0, depth, 8)
            for far in outer:
                for o_group in range(0, min(order.block, outputs - o_block), group):
                    for element, near in itertools.product(range(elements), inner):
                        for o, i in itertools.product(range(group), range(1 if depthwise else 8)):
                            y, x = divmod(element, wide)
                            at = (top + y, left + x, i_block + far + near + i, o_block + o_group + o)
                            real = y < high and at[2] < inputs and at[3] < outputs
                            found.append(int(weights[at]) if real else 0)
    return found


@pytest.mark.parametrize(
    ("rows", "columns", "inputs", "outputs", "block", "group", "part_first", "depthwise"),
    [
        (3, 3, 40, 20, 16, 8, False, False),
        (5, 5, 1, 13, 8, 4, True, False),
        (3, 1, 27, 40, 24, 8, True, False),
        (9, 11, 5, 9, 16, 8, False, False),
        (1, 19, 1, 21, 16, 8, False, True),
        (10, 3, 1, 7, 8, 4, False, True),
    ],
)
def test_every_weight_is_found(
    rows: int, columns: int, inputs: int, outputs: int, block: int, group: int, part_first: bool, depthwise: bool
) -> None:
    weights = RNG.integers(-127, 128, (rows, columns, inputs, outputs))
    order = WeightOrder(Kernel(rows, columns, (1, 1), (1, 1), part_first), outputs, inputs, group, block, depthwise)
    stream = np.array(stream_of(weights, order), np.int16)
    np.testing.assert_array_equal(arranged(stream, order), weights)
    with pytest.raises(QgaitError, match="weights where its registers ask for"):
        arranged(stream[:-1], order)
    with pytest.raises(QgaitError, match="weights where its registers ask for"):
        arranged(np.append(stream, 0), order)


def test_kernel_registers() -> None:
    stride = (3 - 1 & 1) | (2 - 1 & 1) << 1 | 1 << 2 | (3 - 1 >> 1) << 6  # 3 across, 2 down, part of a kernel first
    found = kernel(Registers({"KERNEL_STRIDE": stride, "KERNEL_HEIGHT_M1": 4, "KERNEL_WIDTH_M1": 2}))
    assert found == Kernel(5, 3, (2, 3), (1, 1), True)
    dilated = kernel(Registers({"KERNEL_STRIDE": 1 << 4, "KERNEL_HEIGHT_M1": 4, "KERNEL_WIDTH_M1": 2}))
    assert dilated == Kernel(3, 3, (1, 1), (2, 1), False) and dilated.reach == (5, 3)
