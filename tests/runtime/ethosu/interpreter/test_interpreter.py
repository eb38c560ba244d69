"""Every accelerator and memory mode gives the reference's codes; streams that stripe and buffer are among them."""

from __future__ import annotations

import pytest
from example_graphs import gaitset_graph
from npu_streams import differing, npu, steps

from qgait.compiler.npu.ethosu.vela import VelaOptions, compile_segment
from qgait.compiler.npu.partition import partition
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime.ethosu.interpreter.registers import Operation
from qgait.runtime.ethosu.segment import CompiledSegment


def rolling_buffers(made: list[Operation]) -> int:
    """Operations that read a map which continues at the top of its buffer."""
    return sum(not step.kind.startswith("DMA") and step.registers["IFM_BASE2"] > 0 for step in made)


def copied_weights(made: list[Operation]) -> int:
    """Copies from constant to working memory, tables left out."""
    return sum(step.kind == "DMA_START" and not step.registers.bits("DMA0_DST_REGION", 8) for step in made)


def weight_regions(made: list[Operation]) -> set[int]:
    return {step.registers["WEIGHT_REGION"] for step in made if step.kind == "CONV"}


@pytest.mark.parametrize(
    ("name", "options", "rolls", "copies", "regions"),
    [
        ("ethos-u55-32", VelaOptions(), False, True, {1}),
        ("ethos-u55-64", VelaOptions(memory_mode="Sram_Only"), False, False, {0}),
        ("ethos-u55-128", VelaOptions(arena_cache=40_000), True, True, {0, 1}),
        ("ethos-u55-256", VelaOptions(optimise="Size"), True, True, {0, 1}),
        ("ethos-u65-256", VelaOptions(arena_cache=30_000), True, True, {2}),
        ("ethos-u65-512", VelaOptions(memory_mode="Dedicated_Sram", arena_cache=20_000), True, True, {2}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_accelerator_and_memory_mode(
    name: str, options: VelaOptions, rolls: bool, copies: bool, regions: set[int]
) -> None:
    graph, target = gaitset_graph(1, (8, 16, 24)), npu(name)
    segment = partition(graph, target).segments[0]
    compiled: CompiledSegment = compile_segment(segment_bytes(graph, segment), target, options)
    made = steps(compiled)
    assert bool(rolling_buffers(made)) == rolls and bool(copied_weights(made)) == copies
    assert weight_regions(made) == regions
    assert differing(graph, segment, compiled, frames=2) == 0
