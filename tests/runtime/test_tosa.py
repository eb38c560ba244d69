"""TOSA's reference model gives the reference's codes, tensor by tensor (backbones: tests/test_every_backbone.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph, parts_graph, silhouettes, temporal_graph, tiny_graph
from graph_edits import changed, op_of, with_op
from hand_graph import tie_clip, tie_graph
from numpy.typing import NDArray
from parity import assert_codes_equal
from random_graphs import FRAMES, random_temporal_graph

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import Requant
from qgait.runtime.reference import Reference, trace
from qgait.runtime.tosa import TosaRuntime
from qgait.verification.parity import compare, expected_codes


def clip_for(graph: Graph, frames: int, seed: int) -> NDArray[np.uint8]:
    height, width, _ = graph.tensors[graph.input].shape
    return silhouettes(frames, seed, height, width)


def assert_all_tensors_equal(runtime: TosaRuntime, graph: Graph, clip: NDArray[np.uint8]) -> None:
    """Layer by layer in execution order, so that the first difference names the layer."""
    actual, expected = runtime.trace(clip), trace(graph, clip)
    assert list(actual) == [op.output for op in graph.ops]
    for name, codes in actual.items():
        assert_codes_equal(codes, expected[name], name)


@pytest.mark.parametrize(
    ("make", "frames"),
    [
        (tiny_graph, 3),
        (lambda: gaitset_graph(1, (4, 6, 8)), 2),
        (lambda: gaitset_graph(2, (4, 6, 8), bits=4), 2),
        (lambda: gaitbase_graph(1, (4, 6, 8, 10)), 2),
        (parts_graph, 1),
        (parts_graph, 7),
        (temporal_graph, 8),
        (temporal_graph, 2),  # which is repeated
        *[(lambda seed=seed: random_temporal_graph(seed), FRAMES) for seed in range(8)],
    ],
)
def test_every_tensor(make: Callable[[], Graph], frames: int) -> None:
    graph = make()
    assert_all_tensors_equal(TosaRuntime(graph), graph, clip_for(graph, frames, 31))


def test_every_tensor_where_all_roundings_are_ties() -> None:
    for zero_point in (0, -128, 60):
        graph = tie_graph(zero_point)
        assert_all_tensors_equal(TosaRuntime(graph), graph, tie_clip())


def changes(graph: Graph, layer: str) -> dict[str, dict[str, Any]]:
    """Fields of ``layer``, each with one number changed a little."""
    op = op_of(graph, layer)
    found: dict[str, dict[str, Any]] = {}
    if hasattr(op, "weight"):
        largest = int(np.argmax(np.abs(op.weight.astype(int))))
        found["weight"] = {"weight": changed(op.weight, -op.weight.flat[largest], largest)}
    if hasattr(op, "bias"):
        found["bias"] = {"bias": changed(op.bias, op.bias.flat[0] + 2000)}
    if hasattr(op, "requant"):
        m, s = op.requant.multiplier, op.requant.shift
        found["multiplier"] = {"requant": Requant(changed(m, int(m.flat[0] * 0.98)), s)}
        found["shift"] = {"requant": Requant(m, changed(s, s.flat[0] + 1))}
    if hasattr(op, "table"):
        found["table"] = {"table": changed(op.table, op.table[128] ^ 1, 128)}  # zero, which silhouettes reach
    return found


CHANGED = {layer: list(changes(tiny_graph(), layer)) for layer in ("conv0", "leaky1", "add6", "strips13", "linear16")}


@pytest.mark.parametrize(
    ("layer", "what"), [(layer, what) for layer, all_of_it in CHANGED.items() for what in all_of_it]
)
def test_the_comparison_finds_one_wrong_number(layer: str, what: str) -> None:
    """And says in which layer it is."""
    graph = tiny_graph()
    broken = TosaRuntime(with_op(graph, layer, **changes(graph, layer)[what]))
    with pytest.raises(AssertionError, match=layer):
        assert_all_tensors_equal(broken, graph, clip_for(graph, 6, 50))


def test_a_wrong_weight_is_in_the_table_of_verify() -> None:
    graph = tiny_graph()
    clips = [clip_for(graph, 6, 50)]
    expected = expected_codes(graph, clips)
    assert compare(TosaRuntime(graph), graph, clips, expected).mismatches == 0
    result = compare(TosaRuntime(with_op(graph, "conv4", **changes(graph, "conv4")["weight"])), graph, clips, expected)
    assert result.mismatches > 0 and result.first_layer == "conv4"


def test_clips_of_different_lengths_in_one_call() -> None:
    graph = temporal_graph()
    clips = [clip_for(graph, frames, frames) for frames in (9, 1, 4)]
    for actual, clip in zip(TosaRuntime(graph).embed_many(clips), clips, strict=True):
        assert_codes_equal(actual, Reference(graph).embed(clip))


@pytest.mark.parametrize(
    "clip", [np.zeros((2, 8, 7), np.uint8), np.zeros((2, 8, 6), np.int8), np.zeros((0, 8, 6), "B")]
)
def test_a_clip_of_the_wrong_kind_is_refused(clip: NDArray[Any]) -> None:
    with pytest.raises(QgaitError, match=r"not uint8 \[frames, 8, 6\]"):
        TosaRuntime(tie_graph()).embed(clip)
