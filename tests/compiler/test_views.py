"""Slices and joins of maps cost nothing: no kernel, no copy, and the same codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_graphs import gaitset_graph, temporal_graph
from graph_builder import GraphBuilder, silhouettes

from qgait.compiler.bundle import write
from qgait.compiler.memory_plan import MemoryPlan, plan
from qgait.compiler.tvm import lowering
from qgait.compiler.tvm.lowering import lower
from qgait.compiler.tvm.program import SILHOUETTE, Program
from qgait.compiler.views import View, views
from qgait.export.graph import Graph
from qgait.export.operators import Add, Concat, RowSlice
from qgait.runtime import reference
from qgait.runtime.compiled import Compiled
from qgait.targets.processors import find

ROW = 6 * 32  # bytes of a row of the maps below, a multiple of 64


def banded_graph() -> Graph:
    """GaitGL in small: every band of rows has a convolution over time of its own; bands within bands. 16 x 12."""
    b = GraphBuilder(2, 16, 12, frames=6)
    x = b.pool(b.conv("silhouette", 32, 3))
    wide = b.frame_window(x)
    bands = _joinable(b, [b.conv(b.rows(wide, *rows), 32, 3) for rows in ((0, 3), (3, 4), (4, 8))])
    whole = b.add(b.concat(bands[0], b.concat(*bands[1:])), x)  # the ring of x is read beside its slices
    upper, lower_half = b.rows(whole, 0, 4), b.rows(whole, 4, 8)
    again = b.concat(*_joinable(b, [b.conv(upper, 32, 1), b.conv(b.frame_window(lower_half), 32, 1)]))
    top = b.frame_max(b.window_max(again, 3, 1, 1))
    b.linear(b.concat(*[b.strips(b.rows(top, *rows), (1,)) for rows in ((0, 2), (2, 8))]), 9)
    return b.graph("banded")


def _joinable(b: GraphBuilder, maps: list[str]) -> list[str]:
    return [b.rescale(x, b.tensors[maps[0]]) for x in maps]


GRAPH = banded_graph()


def named(kind: type, place: int) -> str:
    return [op.output for op in GRAPH.ops if isinstance(op, kind)][place]


def test_what_lies_where() -> None:
    inside = views(GRAPH, GRAPH.schedule.rings)
    outer, parts = named(Concat, 1), [op.inputs for op in GRAPH.ops if isinstance(op, Concat)]
    assert inside[named(RowSlice, 1)] == View("window2", 3 * 3 * ROW)
    assert inside[parts[1][0]] == View(outer, 0)
    assert inside[named(Concat, 0)] == View(outer, 3 * ROW), "a join within a join"
    assert [inside[name] for name in parts[0]] == [View(outer, 3 * ROW), View(outer, 4 * ROW)]
    assert inside[named(RowSlice, 3)] == View(named(Add, 0), 0)
    assert named(RowSlice, 4) not in inside, "a window keeps values of it"
    assert parts[2][0] not in inside, "one half comes a frame before the other, so both are copied"
    assert parts[3][0] not in inside, "parts are copied"


def test_slices_and_joins_have_no_kernels() -> None:
    program = lower(GRAPH, find("arm"))
    assert {name for kernel in (*program.frame[1:], *program.clip) for name in kernel.ops} == {
        op.name for op in GRAPH.ops
    } - {named(RowSlice, i) for i in (0, 1, 2, 3, 5, 6)} - {named(Concat, i) for i in (0, 1)}
    alone = [op.name for op in GRAPH.ops if isinstance(op, RowSlice | Concat)]
    assert len(alone) == 11


def lives(made: MemoryPlan, program: Program) -> None:
    """Plays one step over a map of who owns each byte: what a kernel reads must still belong to its writer."""
    owner = np.full(made.size, "", dtype=object)
    tensors = program.graph.tensors

    def span(name: str) -> slice:
        return slice(made.tensors[name], made.tensors[name] + tensors[name].size)

    def writers(name: str) -> set[str]:
        """Who may have written the bytes of a tensor: itself, or what is joined in it or it is a slice of."""
        return {name, program.owner(name), *(of for of in tensors if program.owner(of) == program.owner(name))}

    for name in (*made.state, *made.rings):
        owner[span(name)] = name
    for kernels in (program.frame, program.clip):
        for kernel in kernels:
            for name in set(kernel.inputs) - {SILHOUETTE}:
                assert set(owner[span(name)]) <= writers(name), f"{name} was overwritten before {kernel.symbol}"
            if kernel.scratch_bytes:
                owner[made.scratch[kernel.symbol] :][: kernel.scratch_bytes] = kernel.symbol
            owner[span(kernel.output)] = kernel.output
            for name in set(kernel.inputs) - {SILHOUETTE, kernel.in_place}:
                assert set(owner[span(name)]) <= writers(name), f"{kernel.symbol} writes over its own input {name}"


@pytest.mark.parametrize("target", ["host", "armv7"])
@pytest.mark.parametrize("graph", [GRAPH, temporal_graph(), gaitset_graph()], ids=lambda graph: graph.model)
def test_nothing_is_overwritten_that_is_still_needed(graph: Graph, target: str) -> None:
    program = lower(graph, find(target))
    lives(plan(program), program)


def test_an_overlap_is_seen() -> None:
    program = lower(GRAPH, find("host"))
    made = plan(program)
    wrong = made.tensors | {"window2": made.tensors[named(Concat, 1)]}
    with pytest.raises(AssertionError, match=r"overwritten|writes over"):
        lives(replace(made, tensors=wrong), program)


def test_copies_work_too_and_cost_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    program = lower(GRAPH, find("arm"))
    monkeypatch.setattr(lowering, "views", lambda *_: {})
    copying = lower(GRAPH, find("arm"))
    lives(plan(copying), copying)
    assert len(copying.frame) == len(program.frame) + 6 and len(copying.clip) == len(program.clip) + 2
    assert plan(program).size < 1.01 * plan(copying).size


@pytest.mark.parametrize("target", ["host", "arm", "armv7"])
def test_codes_are_those_of_the_reference(target: str, tmp_path: Path) -> None:
    clip = silhouettes(8, 3, 16, 12)
    compiled = Compiled(write(GRAPH, find(target), tmp_path / "b", [clip[:2], clip[:3]], trace=True))
    prefixes = [clip[:n] for n in range(1, len(clip) + 1)]
    for codes, wanted in zip(
        compiled.embed_many(prefixes), reference.Reference(GRAPH).embed_many(prefixes), strict=True
    ):
        np.testing.assert_array_equal(codes, wanted)
    wanted_trace = reference.trace(GRAPH, clip)
    for name, codes in compiled.trace(clip).items():
        np.testing.assert_array_equal(codes, wanted_trace[name], err_msg=name)
