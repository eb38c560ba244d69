"""Where the tensors of runs lie: in scratch memory where nothing else needs them, copied everywhere else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from example_graphs import gaitset_graph, parts_graph, temporal_graph, tiny_graph
from laid_out_segments import calls_of, laid_out, npu

from qgait.compiler.memory_plan import plan
from qgait.compiler.npu.call import npu_call
from qgait.compiler.npu.partition import partition
from qgait.compiler.tvm.lowering import lower
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.views import View
from qgait.export.operators import FrameMax
from qgait.export.segments import segment_of
from qgait.targets.processors import find

ARM = find("arm")


def test_a_silhouette_is_written_where_the_npu_reads_it_and_the_embedding_read_where_it_wrote() -> None:
    graph = gaitset_graph(channels=(4, 6, 8))
    runs = calls_of(graph)
    program = lower(graph, ARM, runs)
    frame, head = runs
    assert program.views == {
        graph.input: View("npu_frame", frame.input_port(graph.input).offset),
        graph.output: View("npu_head", head.output_port(graph.output).offset),
    }
    assert [type(step) for step in program.frame] == [Kernel, type(frame)]
    assert program.clip == (head,)


def test_what_is_kept_has_memory_of_its_own() -> None:
    for graph in (tiny_graph(), temporal_graph(), parts_graph()):
        program = lower(graph, ARM, calls_of(graph))
        made = plan(program)
        kept = {*made.rings, *made.state}
        assert {op.output for op in graph.ops if isinstance(op, FrameMax)} <= kept
        assert not kept & program.views.keys()


def test_two_runs_never_hold_their_scratch_memory_at_once() -> None:
    """Between two runs a tensor is copied: their memories may be the same bytes."""
    graph = temporal_graph()
    program = lower(graph, ARM, calls_of(graph))
    made = plan(program)
    for steps in (program.frame, program.clip):
        busy: dict[str, list[int]] = {}
        for at, step in enumerate(steps):
            for name in (*step.inputs, *step.outputs, *([step.symbol] if step in program.calls else [])):
                owner = program.owner(name)
                if owner in made.scratch:
                    busy.setdefault(owner, []).append(at)
        spans = sorted((min(at), max(at)) for at in busy.values())
        assert len(spans) > 1
        assert all(before[1] < after[0] for before, after in pairwise(spans))
    apart = sum(call.scratch_bytes for call in program.calls)
    assert made.size - made.state_end - made.copy < apart


def test_a_plan_is_no_larger_than_what_its_largest_step_needs() -> None:
    graph = gaitset_graph(channels=(4, 6, 8))
    program = lower(graph, ARM, calls_of(graph))
    made = plan(program)
    largest = max(call.scratch_bytes for call in program.calls)
    assert made.size - made.state_end == -(-largest // 64) * 64


def test_kernels_and_runs_come_behind_what_they_read() -> None:
    graph = temporal_graph()
    program = lower(graph, ARM, calls_of(graph)[::-1])  # told in the wrong order
    made = {graph.input, "pixels", *(op.output for op in graph.ops if isinstance(op, FrameMax))}
    for step in program.steps:
        assert made.issuperset(program.owner(name) if program.owner(name) in made else name for name in step.inputs)
        made |= {*step.outputs}


def test_segments_that_wait_for_each_other_are_refused() -> None:
    graph = tiny_graph()
    ops = {op.output: op for op in graph.frame_ops()}
    first, second, third = list(ops.values())[:3]
    around = segment_of(graph, (first, third), "around")
    with pytest.raises(ValueError, match="waits for what is made behind it"):
        lower(graph, ARM, [npu_call(graph, around, laid_out(graph, around))])
    assert second.inputs == (first.output,)


def test_operators_of_different_moments_are_refused() -> None:
    graph = temporal_graph()
    segments = partition(graph, npu("ethos-u85-256")).segments
    mixed = segment_of(graph, (*segments[0].ops, *segments[-1].ops), "mixed")
    with pytest.raises(ValueError, match=r"mixed run at different moments|waits for what is made behind"):
        lower(graph, ARM, [npu_call(graph, mixed, laid_out(graph, mixed))])


def test_what_vela_wrote_must_have_the_tensors_of_the_segment() -> None:
    graph = tiny_graph()
    segment = partition(graph, npu("ethos-u85-256")).segments[0]
    right = laid_out(graph, segment)
    last = right.inputs[-1]
    others = right.inputs[:-1]
    for wrong, said in (
        (replace(right, inputs=others), "reads"),
        (replace(right, outputs=right.outputs[:-1]), "writes"),
        (replace(right, inputs=(*others, replace(last, shape=(1, 2, 3)))), "6 bytes"),
        (replace(right, inputs=(*others, replace(last, offset=last.offset + 8))), "outside the scratch"),
        (replace(right, inputs=(*others, replace(last, offset=right.scratch[1]))), "outside the scratch"),
        (replace(right, inputs=(*others, replace(last, region=2))), "outside the scratch"),
        (replace(right, weight_region=3), "regions"),
        (replace(right, scratch_fast=(3, 16)), "regions"),
    ):
        with pytest.raises(ValueError, match=said):
            npu_call(graph, segment, wrong)
