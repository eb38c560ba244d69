"""Weights as the accelerator reads them: compressed streams, one a core, in the order in which blocks need them.

The order follows the hardware's blocks: within a block of output channels come blocks of input channels, within them
pieces of at most 8 x 8 of the kernel, then groups of 8 (or 4) output by 8 input channels. What has no weight is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.interpreter.errors import broken, not_modelled
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.weight_stream import decompressed

INPUTS_AT_ONCE = 8  # input channels of a group
LARGEST_PIECE = 8  # rows and columns of a kernel that are worked on together
STREAMS = ("WEIGHT", "WEIGHT1")  # one a core
Piece = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Kernel:
    """The kernel registers. ``reach`` is rows and columns from the first to the last, dilation included."""

    rows: int
    columns: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    part_first: bool

    @property
    def reach(self) -> tuple[int, int]:
        """(rows, columns) that one result sees, skipped ones included."""
        return (self.rows - 1) * self.dilation[0] + 1, (self.columns - 1) * self.dilation[1] + 1


@dataclass(frozen=True)
class WeightOrder:
    """What determines where a weight of a stream belongs; ``outputs`` are the output channels of one core."""

    kernel: Kernel
    outputs: int
    inputs: int
    outputs_at_once: int
    block: int
    depthwise: bool

    def pieces(self) -> Iterator[Piece]:
        """Index arrays (output, row, column, input) of the weights of one piece, which broadcast to its order."""
        inner = 16 if self.kernel.part_first else 32
        step = LARGEST_PIECE // self.kernel.dilation[0], LARGEST_PIECE // self.kernel.dilation[1]
        for first in range(0, self.outputs, self.block):
            outputs = min(self.block, self.outputs - first)
            for start in range(0, 1 if self.depthwise else self.inputs, inner):
                inputs = min(inner, self.inputs - start) if self.kernel.part_first else inner
                for row in range(0, self.kernel.rows, step[0]):
                    for column in range(0, self.kernel.columns, step[1]):
                        rows, columns = min(step[0], self.kernel.rows - row), min(step[1], self.kernel.columns - column)
                        yield self._piece(first, outputs, start, inputs, (row, column, rows, columns))

    def _piece(self, first: int, outputs: int, start: int, inputs: int, piece: tuple[int, int, int, int]) -> Piece:
        row, column, rows, columns = piece
        together = 4 if self.kernel.part_first or self.depthwise else 1
        elements = np.arange(-(-rows * columns // together) * together)
        at_once = 1 if self.depthwise else INPUTS_AT_ONCE
        groups = np.arange(1 if self.depthwise else -(-inputs // INPUTS_AT_ONCE)) * INPUTS_AT_ONCE
        blocks = np.arange(0, outputs, self.outputs_at_once)
        # axes: outer input groups, output groups, kernel elements, inner input groups, outputs, inputs
        outer, within = (groups, np.zeros(1, int)) if self.kernel.part_first else (np.zeros(1, int), groups)
        output = first + blocks[:, None, None, None, None] + np.arange(self.outputs_at_once)[:, None]
        source = start + outer[:, None, None, None, None, None] + within[:, None, None] + np.arange(at_once)
        element = elements[:, None, None, None]
        # rows past the piece hold no weights; they are marked by a row past the kernel
        y = np.where(element // columns < rows, row + element // columns, self.kernel.rows)
        return output, y, column + element % columns, source


def kernel(registers: Registers) -> Kernel:
    """The kernel registers, decoded."""
    register = "KERNEL_STRIDE"
    if registers.bits(register, 5):
        raise not_modelled("NPU_SET_KERNEL_STRIDE with a decomposition into 4 x 4")
    across = 1 + registers.bits(register, 0) + 2 * registers.bits(register, 6, 3)
    down = 1 + registers.bits(register, 1) + 2 * registers.bits(register, 9, 3)
    dilation = 1 + registers.bits(register, 4), 1 + registers.bits(register, 3)
    rows, columns = (
        registers[f"KERNEL_{axis}_M1"] // apart + 1 for axis, apart in zip(("HEIGHT", "WIDTH"), dilation, strict=True)
    )
    return Kernel(rows, columns, (down, across), dilation, bool(registers.bits(register, 2)))


class WeightReader:
    """Reads weights and remembers them: a stream is decoded once, not once a frame."""

    def __init__(self, cores: int, outputs_at_once: int) -> None:
        self.cores = cores
        self._outputs_at_once = outputs_at_once
        self._known: dict[tuple[bytes, WeightOrder], NDArray[np.float64]] = {}

    def read(self, registers: Registers, memory: Memory, outputs: int, inputs: int) -> NDArray[np.float64]:
        """Weights [KH, KW, I, O]; ``inputs`` = 0 stands for a depthwise convolution, which has I = 1."""
        found = kernel(registers)
        block = registers["OFM_BLK_DEPTH_M1"] + 1
        weights = np.empty((found.rows, found.columns, inputs or 1, outputs))
        for core in range(min(self.cores, outputs)):
            mine = weights[..., core :: self.cores]
            share = -(-(block - core) // self.cores)
            order = WeightOrder(found, mine.shape[3], inputs or 1, self._outputs_at_once, share, not inputs)
            mine[...] = self._core(registers, memory, STREAMS[core], order)
        return weights

    def _core(self, registers: Registers, memory: Memory, name: str, order: WeightOrder) -> NDArray[np.float64]:
        length = registers[f"{name}_LENGTH"]
        content = memory.read(registers["WEIGHT_REGION"], registers[f"{name}_BASE"], (length,)).tobytes()
        if (content, order) not in self._known:
            self._known[content, order] = arranged(decompressed(content), order)
        return self._known[content, order]


def arranged(stream: NDArray[np.int16], order: WeightOrder) -> NDArray[np.float64]:
    """The numbers of one core's stream as [KH, KW, I, O]."""
    rows, columns = order.kernel.rows, order.kernel.columns
    weights = np.zeros((order.outputs, rows, columns, order.inputs))
    at = 0
    for output, y, x, source in order.pieces():
        shape = np.broadcast_shapes(output.shape, y.shape, x.shape, source.shape)
        size = int(np.prod(shape))
        if at + size > stream.size:
            break
        values = stream[at : at + size].reshape(shape)
        at += size
        real = (output < order.outputs) & (y < rows) & (source < order.inputs)
        if values[~np.broadcast_to(real, shape)].any():
            raise broken("has weights where its layout has none")
        where = np.broadcast_to(real, shape)
        index = (np.broadcast_to(axis, shape)[where] for axis in (output, y, x, source))
        weights[tuple(index)] = values[where]
    else:
        if at == stream.size:
            return weights.transpose(1, 2, 3, 0)
    raise broken(f"has {stream.size} weights where its registers ask for {_size(order)}")


def _size(order: WeightOrder) -> int:
    return sum(int(np.prod(np.broadcast_shapes(*(axis.shape for axis in piece)))) for piece in order.pieces())
