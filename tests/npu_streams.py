"""Command streams of small segments, what they must give, and ways to alter them."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from example_graphs import silhouettes, tiny_graph
from numpy.typing import NDArray

from qgait.compiler.npu.ethosu.vela import VelaOptions, compile_segment
from qgait.compiler.npu.partition import partition
from qgait.export.graph import Graph
from qgait.export.segments import BEFORE, Segment
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime.ethosu.interpreter.command_stream import commands, read_header
from qgait.runtime.ethosu.interpreter.interpreter import Interpreter
from qgait.runtime.ethosu.interpreter.registers import Operation, operations
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.runtime.reference import trace
from qgait.targets.accelerators import NpuTarget, find_npu

Codes = NDArray[np.int8]


def npu(name: str) -> NpuTarget:
    found = find_npu(name)
    assert found is not None
    return found


@functools.cache
def tiny_frame() -> tuple[Segment, CompiledSegment]:
    """The frame segment of ``tiny_graph`` with weights that are read where they lie; do not change it."""
    target = npu("ethos-u55-128")
    segment = partition(tiny_graph(), target).segments[0]
    options = VelaOptions(memory_mode="Sram_Only")
    return segment, compile_segment(segment_bytes(tiny_graph(), segment), target, options)


def differing(graph: Graph, segment: Segment, compiled: CompiledSegment, frames: int = 3) -> int:
    """How many codes of a frame segment's outputs are not the reference's, maxima so far included."""
    height, width, _ = graph.tensors[graph.input].shape
    wanted = trace(graph, silhouettes(frames, 7, height, width))
    maxima = {op.output: op.inputs[0] for op in segment.ops if op.output in segment.state}
    before = {name: np.full(graph.tensors[name].shape, -128, np.int8) for name in maxima}
    interpreter, different = Interpreter(compiled), 0
    for i in range(frames):
        inputs = {name: wanted[name][i] for name in segment.inputs}
        outputs = interpreter.run(inputs | {name + BEFORE: codes for name, codes in before.items()})
        before = {name: outputs[name] for name in maxima}
        for name, codes in outputs.items():
            expected = wanted[maxima[name]][: i + 1].max(axis=0) if name in maxima else wanted[name][i]
            assert len(np.unique(expected)) > 2
            different += int(np.count_nonzero(codes != expected))
    return different


def steps(compiled: CompiledSegment) -> list[Operation]:
    return list(operations(read_header(compiled.command_stream)[1]))


def with_bytes(compiled: CompiledSegment, start: int, content: bytes) -> CompiledSegment:
    """Other constants from byte ``start`` on."""
    weights = bytearray(compiled.weights)
    weights[start : start + len(content)] = content
    return replace(compiled, weights=bytes(weights))


def with_bit(compiled: CompiledSegment, byte: int, bit: int = 0) -> CompiledSegment:
    """One bit of the constants flipped."""
    return with_bytes(compiled, byte, bytes([compiled.weights[byte] ^ 1 << bit]))


def with_register(compiled: CompiledSegment, register: str, value: int, which: int = 0) -> CompiledSegment:
    """Another value (of a two-word command: its payload) where the stream sets a register the ``which``-th time."""
    words = np.frombuffer(compiled.command_stream, "<u4").copy()
    body = read_header(compiled.command_stream)[1]
    header = len(words) - len(body)
    found = [command for command in commands(body) if command.name == register and not command.starts][which]
    at = header + found.position
    if body[found.position] & 0x4000:
        words[at + 1] = value & 0xFFFFFFFF
    else:
        words[at] = (int(words[at]) & 0xFFFF) | (value & 0xFFFF) << 16
    return replace(compiled, command_stream=words.tobytes())


def with_word(compiled: CompiledSegment, name: str, word: int) -> CompiledSegment:
    """Another word where the stream first has a command (of one word) called ``name``."""
    words = np.frombuffer(compiled.command_stream, "<u4").copy()
    body = read_header(compiled.command_stream)[1]
    position = next(command.position for command in commands(body) if command.name == name)
    words[len(words) - len(body) + position] = word
    return replace(compiled, command_stream=words.tobytes())


def with_words(compiled: CompiledSegment, *words: int, before: int = 0) -> CompiledSegment:
    """More words in front of word ``before`` of the commands; the header's length is put right."""
    all_words = np.frombuffer(compiled.command_stream, "<u4").tolist()
    body = read_header(compiled.command_stream)[1]
    header = all_words[: len(all_words) - len(body)]
    header[-1] += len(words) << 16
    changed = [*header, *body[:before], *words, *body[before:]]
    return replace(compiled, command_stream=np.array(changed, "<u4").tobytes())
