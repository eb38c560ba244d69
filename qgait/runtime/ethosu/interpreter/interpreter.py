"""Executes what Vela compiled: one segment with its command stream, weights and working memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.runtime.ethosu.interpreter.command_stream import read_header
from qgait.runtime.ethosu.interpreter.convolution import convolution
from qgait.runtime.ethosu.interpreter.elementwise import elementwise
from qgait.runtime.ethosu.interpreter.errors import not_modelled
from qgait.runtime.ethosu.interpreter.memory import SHRAM, Memory
from qgait.runtime.ethosu.interpreter.output import table_start, uses_table
from qgait.runtime.ethosu.interpreter.pooling import pool
from qgait.runtime.ethosu.interpreter.registers import Operation, Registers, operations
from qgait.runtime.ethosu.interpreter.weights import WeightReader
from qgait.runtime.ethosu.segment import CompiledSegment, Port

Codes = NDArray[np.int8]
CORE_MACS = 256  # of the largest core: a U65 with 512 has two
SMALL_SHRAM = 16 * 1024  # parts with less have no memory of their own for tables: accumulators overwrite them
COPIES_AT_ONCE = {"u55": 1, "u65": 2}
INSIDE = 8  # the bit of a DMA region that names the accelerator's own memory


class Interpreter:
    """A compiled segment that can be run again and again. Every run starts with empty working memory.

    QgaitError for an Ethos-U85; and, at the first run, for what has no reading here.
    """

    def __init__(self, compiled: CompiledSegment) -> None:
        self._compiled = compiled
        self.device, words = read_header(compiled.command_stream)
        self.operations = list(operations(words))
        self._cores = max(1, self.device.macs // CORE_MACS)
        self._reader = WeightReader(self._cores, 4 if self.device.macs == 32 else 8)

    def run(self, inputs: dict[str, Codes]) -> dict[str, Codes]:
        """Int8 codes by name, in the shapes of the segment's inputs -> those of its outputs."""
        memory = self._memory()
        for port in self._compiled.inputs:
            memory.write(port.region, port.offset, _checked(inputs, port))
        for operation in self.operations:
            self._execute(operation, memory)
        memory.finish_copies()
        return {
            port.name: memory.read(port.region, port.offset, port.shape, np.int8) for port in self._compiled.outputs
        }

    def _memory(self) -> Memory:
        memory = Memory()
        for number, size in (self._compiled.scratch, self._compiled.scratch_fast):
            if size:
                memory.add(number, size)
        memory.add_constant(self._compiled.weight_region, self._compiled.weights)
        memory.add(SHRAM, self.device.shram // self._cores)
        return memory

    def _execute(self, operation: Operation, memory: Memory) -> None:
        registers = operation.registers
        match operation.kind:
            case "DMA_START":
                memory.finish_copies(COPIES_AT_ONCE[self.device.product] - 1)
                _start_copy(registers, memory)
            case "DMA_WAIT":
                memory.finish_copies(operation.mode & 0xF)
            case _:
                self._compute(operation.kind, operation.mode, registers, memory)

    def _compute(self, kind: str, mode: int, registers: Registers, memory: Memory) -> None:
        if registers.get("PARALLEL_MODE", 0) != self._cores - 1:
            raise not_modelled(f"NPU_SET_PARALLEL_MODE {registers.get('PARALLEL_MODE', 0)} on {self.device.macs} MACs")
        if self.device.shram <= SMALL_SHRAM and not uses_table(registers):
            memory.forget(SHRAM, table_start(memory))
        match kind:
            case "CONV" | "DEPTHWISE":
                convolution(registers, memory, self._reader, kind == "DEPTHWISE")
            case "POOL":
                pool(registers, memory, mode)
            case _:
                elementwise(registers, memory, mode)


def run(compiled: CompiledSegment, inputs: dict[str, Codes]) -> dict[str, Codes]:
    """One run of ``Interpreter``."""
    return Interpreter(compiled).run(inputs)


def _start_copy(registers: Registers, memory: Memory) -> None:
    ends = []
    for name in ("DMA0_SRC", "DMA0_DST"):
        region = f"{name}_REGION"
        if registers[region] >> INSIDE + 1:
            raise not_modelled(f"NPU_SET_{region} {registers[region]:#06x}: a copy in two or three dimensions")
        ends.append((SHRAM if registers.bits(region, INSIDE) else registers.bits(region, 0, 3), registers[name]))
    memory.start_copy(ends[0], ends[1], registers["DMA0_LEN"])


def _checked(inputs: dict[str, Codes], port: Port) -> Codes:
    codes = inputs.get(port.name)
    if codes is None or codes.dtype != np.int8 or codes.shape != port.shape:
        what = "nothing" if codes is None else f"{codes.dtype} {list(codes.shape)}"
        raise QgaitError(f"The segment's input {port.name} is {what}.", f"give int8 {list(port.shape)}.")
    return codes
