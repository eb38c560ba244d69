"""The interpreter notices what is wrong with a stream: every kind of change gives other codes."""

from __future__ import annotations

import numpy as np
import pytest
from example_graphs import tiny_graph
from npu_streams import differing, steps, tiny_frame, with_bit, with_bytes, with_register

from qgait.runtime.ethosu.interpreter.command_stream import Command, commands, read_header
from qgait.runtime.ethosu.interpreter.elementwise import ADD
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.scaling import DBL, NATURAL, RECORD
from qgait.runtime.ethosu.interpreter.weight_stream import decompressed
from qgait.runtime.ethosu.segment import CompiledSegment


def convolutions(compiled: CompiledSegment) -> list[Registers]:
    return [step.registers for step in steps(compiled) if step.kind == "CONV"]


def assert_noticed(altered: CompiledSegment) -> None:
    assert differing(tiny_graph(), tiny_frame()[0], altered) > 0


def test_the_stream_as_it_is() -> None:
    segment, compiled = tiny_frame()
    assert differing(tiny_graph(), segment, compiled) == 0
    assert {step.kind for step in steps(compiled)} == {"DMA_START", "DMA_WAIT", "CONV", "POOL", "ELEMENTWISE"}


def test_one_weight_with_one_bit_flipped() -> None:
    from ethosu import mlw_codec

    compiled = tiny_frame()[1]
    first = convolutions(compiled)[0]
    start, length = first["WEIGHT_BASE"], first["WEIGHT_LENGTH"]
    weights = decompressed(compiled.weights[start : start + length])
    middle = int(np.abs(weights).argmax())
    weights[middle] ^= 64
    stream = bytes(mlw_codec.encode(weights.tolist())).ljust(length, b"\xff")  # what follows a stream is ones
    assert len(stream) == length
    assert_noticed(with_bytes(compiled, start, stream))


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize(("byte", "bit"), [(1, 3), (8, 5), (9, 0)], ids=["bias", "multiplier", "shift"])
def test_one_bit_of_a_scale(which: int, byte: int, bit: int) -> None:
    compiled = tiny_frame()[1]
    of_one = convolutions(compiled)[which]
    flipped = [
        with_bit(compiled, of_one["SCALE_BASE"] + RECORD * channel + byte, bit)
        for channel in range(of_one["OFM_DEPTH_M1"] + 1)
    ]
    assert any(differing(tiny_graph(), tiny_frame()[0], altered) for altered in flipped)


@pytest.mark.parametrize("which", [0, 2, 3, 4])
def test_another_rounding_mode(which: int) -> None:
    compiled = tiny_frame()[1]
    words = [command for command in body(compiled) if command.name == "OFM_PRECISION" and not command.starts]
    assert words[which].value >> 14 == NATURAL
    assert_noticed(with_register(compiled, "OFM_PRECISION", words[which].value & 0x3FFF | DBL << 14, which))


@pytest.mark.parametrize("register", ["IFM_ZERO_POINT", "OFM_ZERO_POINT"])
def test_another_zero_point(register: str) -> None:
    compiled = tiny_frame()[1]
    assert_noticed(with_register(compiled, register, convolutions(compiled)[0][register] + 1))


@pytest.mark.parametrize("register", ["OPA_SCALE", "OFM_SCALE"])
def test_another_factor_of_a_sum(register: str) -> None:
    compiled = tiny_frame()[1]
    (value,) = {step.registers[register] for step in steps(compiled) if step.kind == "ELEMENTWISE" and step.mode == ADD}
    values = [command.value for command in body(compiled) if command.name == register]
    assert_noticed(with_register(compiled, register, value ^ 1 << 16, values.index(value)))


def test_two_entries_of_a_table_swapped() -> None:
    compiled = tiny_frame()[1]
    (copy,) = (step.registers for step in steps(compiled) if step.kind == "DMA_START")
    start = copy["DMA0_SRC"]
    table = compiled.weights[start : start + copy["DMA0_LEN"]]
    places = [i for i in range(len(table) - 1) if table[i] != table[i + 1]][40:60]
    swapped = [with_bytes(compiled, start + i, bytes([table[i + 1], table[i]])) for i in places]
    assert any(differing(tiny_graph(), tiny_frame()[0], altered) for altered in swapped)


def body(compiled: CompiledSegment) -> list[Command]:
    return list(commands(read_header(compiled.command_stream)[1]))
