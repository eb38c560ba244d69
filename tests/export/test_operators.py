"""Every operator of the closed set: what its class says, and that each back end does it or says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from example_graphs import light_graph, parts_graph, temporal_graph, tiny_graph
from graph_edits import op_of, refusal, with_op

from qgait.compiler.npu.ethosu.limits import Stay, limit_of
from qgait.compiler.tvm.lowering import TVM
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.onnx.operators import ONNX
from qgait.export.operators import OPERATORS, Conv2d, FrameMax, Op, PartLinear, PowerPool, Requant, Table, Weighted
from qgait.export.operators.back_end import BackEnd
from qgait.export.tosa.operators import TOSA
from qgait.runtime.reference_operators import NUMPY

GRAPHS = [tiny_graph(), temporal_graph(), parts_graph(), light_graph()]
EVERY = [(graph, op) for graph in GRAPHS for op in graph.ops]
BACK_ENDS: dict[str, Mapping[type[Op], Any]] = {
    back_end.name: back_end.functions for back_end in (NUMPY, ONNX, TVM, TOSA)
} | {"Ethos-U": {kind: limit_of(kind) for kind in OPERATORS}}


def undone(functions: Mapping[type[Op], Any]) -> list[str]:
    """The operators that a back end neither does nor refuses with a reason."""

    def is_done(found: object) -> bool:
        if isinstance(found, Stay):
            return bool(found.reason.strip() and found.fix.strip())
        return bool(found.strip()) if isinstance(found, str) else found is not None

    return [kind.__name__ for kind in OPERATORS if not is_done(functions.get(kind))]


@pytest.mark.parametrize("name", BACK_ENDS)
def test_every_back_end_does_every_operator_or_says_why_not(name: str) -> None:
    assert undone(BACK_ENDS[name]) == []
    assert set(BACK_ENDS[name]) <= set(OPERATORS)


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", BACK_ENDS)
def test_one_that_is_missing_is_seen(name: str, kind: type[Op]) -> None:
    without = {other: function for other, function in BACK_ENDS[name].items() if other is not kind}
    assert undone(without) == [kind.__name__]
    assert undone(without | {kind: " "}) == [kind.__name__]
    assert undone(without | {kind: "its sums are too wide"}) == []


def test_a_refusal_names_the_layer_and_the_reason() -> None:
    without_powers = BackEnd("Fourbit", {**NUMPY.functions, PowerPool: "it has no 64-bit integers"})
    op = next(op for op in temporal_graph().ops if isinstance(op, PowerPool))
    with pytest.raises(QgaitError) as caught:
        without_powers[op]
    assert caught.value.problem == f"{op.name} is a PowerPool, which Fourbit cannot run: it has no 64-bit integers."


def test_the_set_is_closed_and_the_example_graphs_use_all_of_it() -> None:
    def descendants(kind: type[Op]) -> set[type[Op]]:
        found = {kind} if kind.__module__.startswith("qgait.") else set()
        return found.union(*(descendants(child) for child in kind.__subclasses__()))

    families = {kind for kind in descendants(Op) if kind.__subclasses__()}
    assert descendants(Op) - families == set(OPERATORS)
    assert {type(op) for _, op in EVERY} == set(OPERATORS)


@pytest.mark.parametrize(
    ("graph", "op"), EVERY, ids=lambda x: getattr(x, "name", x.model if isinstance(x, Graph) else x)
)
def test_facts_agree_with_each_other(graph: Graph, op: Op) -> None:
    tensors = graph.tensors
    assert op.output_shape(tensors) == tensors[op.output].shape
    assert not list(op.offences(tensors))
    assert op.words and op.words != type(op).__name__
    assert op.parameters == sum(getattr(op, f.name).size for f in fields(op) if f.name == "weight")
    assert (op.macs(tensors) > 0) == isinstance(op, Weighted)
    assert op.ends_frames == isinstance(op, FrameMax)
    bounds = op.accumulator(tensors)
    assert (bounds is None) == (op.keeps_codes or isinstance(op, Table))
    if bounds is not None:
        assert np.all(bounds[0] <= bounds[1])


@pytest.mark.parametrize(
    ("graph", "op"), [pair for pair in EVERY if hasattr(pair[1], "requant")], ids=lambda one: getattr(one, "name", "")
)
def test_every_requantization_is_checked(graph: Graph, op: Any) -> None:
    narrow = Requant(op.requant.multiplier, np.full_like(op.requant.shift, 2))
    assert f"{op.name} can reach an accumulator of" in refusal(with_op(graph, op.name, requant=narrow))


def test_macs_and_parameters_of_a_graph() -> None:
    graph = tiny_graph()
    conv, head = op_of(graph, "conv7"), op_of(graph, "linear16")
    assert isinstance(conv, Conv2d) and isinstance(head, PartLinear)
    assert conv.macs(graph.tensors) == 4 * 3 * 24 * 3 * 3 * 16  # stride 2 on 8 x 6
    assert head.macs(graph.tensors) == head.parameters == 14 * 24 * 12
    weighted = [op for op in graph.ops if isinstance(op, Weighted)]
    assert graph.parameters == sum(op.weight.size for op in weighted)
    assert graph.frame_macs + graph.clip_macs == sum(op.macs(graph.tensors) for op in weighted)


def test_what_follows_from_a_graph_is_derived_once() -> None:
    graph = temporal_graph()
    assert graph.series is graph.series and graph.schedule is graph.schedule
    assert graph.schedule.series is graph.series
    assert replace(graph).series is not graph.series
