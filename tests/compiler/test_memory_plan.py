"""Tensors that are needed at the same time never share a byte, and the arena is as small as it can be."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled_bundles import graph

from qgait.compiler.alignment import ALIGNMENT, aligned
from qgait.compiler.memory_plan import HEADER_BYTES, Buffer, MemoryPlan, pack, plan
from qgait.compiler.tvm.lowering import lower
from qgait.compiler.tvm.program import SILHOUETTE, Kernel, Program
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax
from qgait.export.schedule import Schedule
from qgait.targets.processors import find


def test_buffers_that_never_meet_share_memory() -> None:
    offsets, size = pack([Buffer("a", 100, 0, 1), Buffer("b", 64, 1, 2), Buffer("c", 128, 2, 3)])
    assert offsets["a"] == offsets["c"] == 0
    assert size == 128 + 64


def test_nothing_needs_no_memory() -> None:
    assert pack([]) == ({}, 0)


@pytest.mark.parametrize("seed", range(20))
def test_packing_is_valid_and_close_to_the_lower_bound(seed: int) -> None:
    rng = random.Random(seed)
    buffers = []
    for i in range(14):
        first = rng.randrange(12)
        buffers.append(Buffer(str(i), rng.randrange(1, 5000), first, first + rng.randrange(4)))
    offsets, size = pack(buffers)
    for a in buffers:
        assert offsets[a.name] % ALIGNMENT == 0 and offsets[a.name] + a.size <= size
        for b in buffers:
            if a is not b and a.meets(b):
                assert offsets[a.name] + a.size <= offsets[b.name] or offsets[b.name] + b.size <= offsets[a.name]
    bound = max(sum(aligned(b.size) for b in buffers if b.first <= step <= b.last) for step in range(16))
    assert bound <= size <= 1.1 * bound


def kernel(symbol: str, inputs: tuple[str, ...], output: str, scratch: int = 0, in_place: str | None = None) -> Kernel:
    func: Any = None
    return Kernel(symbol, (output,), inputs, output, (), scratch, func, in_place)


def program(frame: list[Kernel], clip: list[Kernel], sizes: dict[str, int], maxima: tuple[str, ...]) -> Program:
    tensors = {name: SimpleNamespace(size=size) for name, size in sizes.items()}
    ops = tuple(FrameMax(name, (name,), name) for name in maxima)
    network: Any = SimpleNamespace(tensors=tensors, ops=ops, output=clip[-1].output, input="x", min_frames=1)
    network.schedule = Schedule({}, {}, {}, 0, 1)
    return Program(network, find("arm"), tuple(frame), tuple(clip))


def test_frame_and_clip_tensors_use_the_same_bytes_behind_the_maxima() -> None:
    made = plan(
        program(
            [kernel("codes", (SILHOUETTE,), "x"), kernel("f", ("x",), "y"), kernel("m", ("y",), "max")],
            [kernel("g", ("max",), "z"), kernel("h", ("z",), "out")],
            {"x": 640, "y": 128, "max": 128, "z": 320, "out": 64},
            ("max",),
        )
    )
    assert made.tensors["max"] == HEADER_BYTES and made.state == ("max",)
    assert made.state_end == HEADER_BYTES + 128
    assert {made.tensors["x"], made.tensors["z"]} == {made.state_end}
    assert made.size == made.state_end + 640 + 128
    assert made.arena_bytes == made.size + ALIGNMENT - 1


def test_an_output_takes_the_place_of_an_input_that_nobody_else_needs() -> None:
    chain = [kernel("codes", (SILHOUETTE,), "x"), kernel("f", ("x",), "y", in_place="x"), kernel("m", ("y",), "max")]
    tail = [kernel("g", ("max",), "out", in_place="max")]
    made = plan(program(chain, tail, {"x": 640, "y": 640, "max": 640, "out": 640}, ("max",)))
    assert made.tensors["x"] == made.tensors["y"]
    assert made.tensors["out"] >= made.state_end, "an embedding must not overwrite a running maximum"


def test_an_input_that_is_needed_later_keeps_its_place() -> None:
    chain = [
        kernel("codes", (SILHOUETTE,), "x"),
        kernel("f", ("x",), "y", in_place="x"),
        kernel("a", ("x", "y"), "z", in_place="x"),
        kernel("m", ("z",), "max"),
    ]
    sizes = dict.fromkeys(("x", "y", "z", "max", "out"), 640)
    made = plan(program(chain, [kernel("g", ("max",), "out")], sizes, ("max",)))
    assert made.tensors["x"] != made.tensors["y"]
    assert made.tensors["z"] == made.tensors["x"]


def test_a_shortcut_that_is_also_the_input_keeps_its_place() -> None:
    chain = [
        kernel("codes", (SILHOUETTE,), "x"),
        kernel("f", ("x", "x"), "y", in_place="x"),
        kernel("m", ("y",), "max"),
    ]
    made = plan(program(chain, [kernel("g", ("max",), "out")], dict.fromkeys(("x", "y", "max", "out"), 64), ("max",)))
    assert made.tensors["x"] != made.tensors["y"]


def test_scratch_meets_the_tensors_of_its_kernel_only() -> None:
    chain = [
        kernel("codes", (SILHOUETTE,), "x"),
        kernel("f", ("x",), "y", scratch=1000),
        kernel("m", ("y",), "max", scratch=64),
    ]
    made = plan(program(chain, [kernel("g", ("max",), "out")], dict.fromkeys(("x", "y", "max", "out"), 64), ("max",)))
    assert made.size == made.state_end + 64 + 64 + 1024
    assert set(made.scratch) == {"f", "m"}


def test_a_tensor_that_no_kernel_writes_is_an_error() -> None:
    with pytest.raises(ValueError, match="no kernel writes w"):
        plan(
            program(
                [kernel("f", ("w",), "max")], [kernel("g", ("max",), "out")], {"x": 1, "max": 1, "out": 1}, ("max",)
            )
        )


def lives(made: MemoryPlan, lowered: Program) -> None:
    """Plays the kernels over a map of who owns each byte: what a kernel reads must still belong to its writer."""
    owner = np.full(made.size, "", dtype=object)
    tensors = lowered.graph.tensors

    def span(name: str) -> slice:
        return slice(made.tensors[name], made.tensors[name] + tensors[name].size)

    for name in made.state:
        owner[span(name)] = name
    for step in (*lowered.frame, *lowered.clip, *lowered.frame, *lowered.clip):
        for name in step.inputs:
            if name != SILHOUETTE:
                assert (owner[span(name)] == name).all(), f"{name} was overwritten before {step.symbol}"
        if step.output in made.state:
            assert (owner[span(step.output)] == step.output).all(), f"{step.output} did not survive a frame"
        if step.scratch_bytes:
            start = made.scratch[step.symbol]
            taken = owner[start : start + step.scratch_bytes]
            assert not set(taken) & {*step.inputs, step.output, *made.state}
            owner[start : start + step.scratch_bytes] = step.symbol
        owner[span(step.output)] = step.output
        for name in step.inputs:
            if name not in (SILHOUETTE, step.in_place):
                assert (owner[span(name)] == name).all(), f"{step.symbol} writes over its own input {name}"
    assert (owner[span(lowered.graph.output)] == lowered.graph.output).all()


@pytest.mark.parametrize("target", ["host", "arm"])
@pytest.mark.parametrize("name", ["tiny", "gaitset", "gaitbase"])
def test_no_kernel_overwrites_what_is_still_needed(name: str, target: str) -> None:
    lowered = lower(graph(name), find(target))
    lives(plan(lowered), lowered)


def largest_pair(network: Graph) -> int:
    """Bytes of the largest tensor with the tensor that is made of it."""
    return max(network.tensors[name].size + network.tensors[op.output].size for op in network.ops for name in op.inputs)


@pytest.mark.parametrize("target", ["host", "arm"])
@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_the_arena_is_no_larger_than_the_largest_pair_and_the_maxima(name: str, target: str) -> None:
    network = graph(name)
    lowered = lower(network, find(target))
    made = plan(lowered)
    maxima = sum(aligned(network.tensors[op.output].size) for op in network.ops if isinstance(op, FrameMax))
    scratch = max(step.scratch_bytes for step in (*lowered.frame, *lowered.clip))
    assert made.size - HEADER_BYTES <= largest_pair(network) + maxima + aligned(scratch)
    pair_and_maxima = largest_pair(network) + maxima
    assert made.arena_bytes < 1.1 * pair_and_maxima, "the rows that a convolution gathers are a small part"
    if name == "gaitset":
        assert made.arena_bytes <= pair_and_maxima, "fused kernels need less than the pair"
