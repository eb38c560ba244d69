"""Feature maps in memory: up to four tiles, channels last (NHWC) or in bricks of 16 channels (NHCWB16).

Tile 0 holds the first WIDTH0 columns of the first HEIGHT0 rows, tile 1 the first HEIGHT1 rows of the other columns,
tiles 2 and 3 what lies below them. A rolling buffer is a map of two tiles, the second of which starts at its top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.interpreter.errors import not_modelled
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.registers import BRICK, Registers

DTYPES = {(0, 0): "<u1", (1, 0): "<i1", (0, 1): "<u2", (1, 1): "<i2", (1, 2): "<i4"}  # by (signed, precision)
PRECISION_BIT = {"IFM": 2, "IFM2": 2, "OFM": 1}
NHCWB16 = 1


@dataclass(frozen=True)
class FeatureMap:
    """Where a map lies; what it holds is [H, W, C] of ``dtype``."""

    dtype: np.dtype
    zero_point: int
    bricks: bool
    region: int
    bases: tuple[int, int, int, int]
    heights: tuple[int, int]
    width: int
    strides: tuple[int, int, int]

    def read(self, memory: Memory, shape: tuple[int, int, int]) -> NDArray:
        """The stored numbers [H, W, C]."""
        values = np.empty(shape, self.dtype)
        for base, part, strides in self._pieces(shape):
            values[part] = memory.read(self.region, base, values[part].shape, self.dtype, strides)
        return values

    def write(self, memory: Memory, values: NDArray) -> None:
        """The reverse of ``read``; ``values`` must be in the range of ``dtype``."""
        stored = values.astype(self.dtype)
        for base, part, strides in self._pieces(stored.shape):
            memory.write(self.region, base, stored[part], strides)

    def _pieces(self, shape: tuple[int, ...]) -> Iterator[tuple[int, tuple[slice, slice, slice], tuple[int, int, int]]]:
        """(first byte, the part of the map, bytes between neighbours in H, W, C) of every tile and brick."""
        height, width, channels = shape
        y_step, x_step, brick_step = self.strides
        each = self.dtype.itemsize
        left, right = slice(0, min(self.width, width)), slice(self.width, width)
        top, low = self.heights
        tiles = [
            (slice(0, min(top, height)), left),
            (slice(0, min(low, height)), right),
            (slice(top, height), left),
            (slice(low, height), right),
        ]
        for base, (rows, columns) in zip(self.bases, tiles, strict=True):
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            if not self.bricks:
                yield base, (rows, columns, slice(0, channels)), (y_step, x_step, each)
                continue
            for brick in range(0, channels, BRICK):
                some = slice(brick, min(brick + BRICK, channels))
                yield base + brick // BRICK * brick_step, (rows, columns, some), (y_step, x_step, each)


def feature_map(registers: Registers, name: str) -> FeatureMap:
    """The map that the registers of ``name`` ("IFM", "IFM2", "OFM") describe."""
    key = registers.bits(f"{name}_PRECISION", 0), registers.bits(f"{name}_PRECISION", PRECISION_BIT[name], 2)
    layout = registers.bits(f"{name}_PRECISION", 6, 2)
    if key not in DTYPES or layout > NHCWB16:
        raise not_modelled(f"NPU_SET_{name}_PRECISION {registers[f'{name}_PRECISION']:#06x}")
    dtype = np.dtype(DTYPES[key])
    y, x, c = (registers[f"{name}_STRIDE_{axis}"] for axis in "YXC")
    if layout == NHCWB16 and x != BRICK * dtype.itemsize:
        raise not_modelled(f"NPU_SET_{name}_STRIDE_X {x} of a map in bricks")
    return FeatureMap(
        dtype=dtype,
        zero_point=zero_point(registers, name),
        bricks=layout == NHCWB16,
        region=registers[f"{name}_REGION"],
        bases=tuple(registers[f"{name}_BASE{i}"] for i in range(4)),  # type: ignore[arg-type]
        heights=(registers[f"{name}_HEIGHT0_M1"] + 1, registers[f"{name}_HEIGHT1_M1"] + 1),
        width=registers[f"{name}_WIDTH0_M1"] + 1,
        strides=(y, x, c),
    )


def zero_point(registers: Registers, name: str) -> int:
    """Of a signed map in two's complement."""
    register = f"{name}_ZERO_POINT"
    return registers.signed(register) if registers.bits(f"{name}_PRECISION", 0) else registers[register]


def output_shape(registers: Registers) -> tuple[int, int, int]:
    """[H, W, C] of what the operation writes."""
    return (
        registers["OFM_HEIGHT_M1"] + 1,
        registers["OFM_WIDTH_M1"] + 1,
        registers["OFM_DEPTH_M1"] + 1,
    )
