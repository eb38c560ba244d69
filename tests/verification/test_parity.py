"""The proof itself is tested: it must see one flipped weight, one wrong multiplier, one changed table entry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from example_graphs import silhouettes, tiny_graph
from small_networks import clips, network

from qgait.errors import ParityError, QgaitError
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Op, PartLinear, Requant, StripPool, Table
from qgait.runtime.reference import Reference
from qgait.verification.parity import Parity, compare, compare_fake, expected_codes

GRAPH = tiny_graph()
CLIPS = [silhouettes(4, seed, 16, 12) for seed in range(3)]


def with_op(graph: Graph, name: str, **change: object) -> Graph:
    """``graph`` with fields of one operator replaced."""
    ops: tuple[Op, ...] = tuple(
        dataclasses.replace(op, **change) if op.name == name else op  # type: ignore[arg-type]
        for op in graph.ops
    )
    return dataclasses.replace(graph, ops=ops)


def first(kind: type[Op], graph: Graph = GRAPH) -> Op:
    return next(op for op in graph.ops if isinstance(op, kind))


def flipped_weight(op: Conv2d | PartLinear) -> np.ndarray:
    weight = op.weight.copy()
    weight.flat[np.abs(weight.astype(int)).argmax()] *= -1
    return weight


def wrong_multiplier(requant: Requant) -> Requant:
    multiplier = requant.multiplier.copy()
    multiplier.flat[0] = min(int(multiplier.flat[0]) + 2**27, 2**31 - 1)
    return Requant(multiplier, requant.shift)


def changed_table(op: Table) -> np.ndarray:
    used = np.bincount(Reference(GRAPH).trace(CLIPS[0])[op.inputs[0]].ravel().astype(int) + 128, minlength=256)
    table = op.table.copy()
    table[used.argmax()] += 1
    return table


def breakages() -> dict[str, Graph]:
    conv, linear, table, strip = (first(kind) for kind in (Conv2d, PartLinear, Table, StripPool))
    assert isinstance(conv, Conv2d) and isinstance(linear, PartLinear)
    assert isinstance(table, Table) and isinstance(strip, StripPool)
    return {
        "conv weight": with_op(GRAPH, conv.name, weight=flipped_weight(conv)),
        "conv multiplier": with_op(GRAPH, conv.name, requant=wrong_multiplier(conv.requant)),
        "linear weight": with_op(GRAPH, linear.name, weight=flipped_weight(linear)),
        "linear multiplier": with_op(GRAPH, linear.name, requant=wrong_multiplier(linear.requant)),
        "table entry": with_op(GRAPH, table.name, table=changed_table(table)),
        "strip multiplier": with_op(GRAPH, strip.name, requant=wrong_multiplier(strip.requant)),
    }


def test_an_equal_runtime_has_no_mismatch() -> None:
    result = compare(Reference(GRAPH), GRAPH, CLIPS, expected_codes(GRAPH, CLIPS))
    assert (result.mismatches, result.max_difference, result.first_layer) == (0, 0, None)


@pytest.mark.parametrize("what", breakages())
def test_a_broken_runtime_is_seen_and_its_first_layer_named(what: str) -> None:
    broken = breakages()[what]
    wrong = next(a.name for a, b in zip(broken.ops, GRAPH.ops, strict=True) if a is not b)
    result = compare(Reference(broken), GRAPH, CLIPS, expected_codes(GRAPH, CLIPS))
    assert result.mismatches > 0 and result.max_difference > 0
    assert result.first_layer == wrong
    assert not Parity(3, 1, None, {"broken": result}).holds


def test_constant_codes_prove_nothing() -> None:
    linear = first(PartLinear)
    assert isinstance(linear, PartLinear)
    dead = with_op(GRAPH, linear.name, weight=np.zeros_like(linear.weight), bias=np.zeros_like(linear.bias))
    with pytest.raises(ParityError, match="constant"):
        expected_codes(dead, CLIPS)


def test_missing_and_misshapen_embeddings_fail() -> None:
    expected = expected_codes(GRAPH, CLIPS)

    class Short(Reference):
        def embed_many(self, clips):  # type: ignore[no-untyped-def]
            return super().embed_many(clips)[:-1]

    class Wide(Reference):
        def embed_many(self, clips):  # type: ignore[no-untyped-def]
            return [code[:, :-1] for code in super().embed_many(clips)]

    for runtime in (Short(GRAPH), Wide(GRAPH)):
        with pytest.raises(ParityError):
            compare(runtime, GRAPH, CLIPS, expected)


@pytest.mark.parametrize(("name", "bits"), [("gaitset", "w8a8"), ("gaitbase", "w4a4")])
def test_fake_in_float64_has_no_mismatch(name: str, bits: str) -> None:
    net = network(name, bits)
    graph = fold(net)
    some = clips(3, 4, seed=30)
    result = compare_fake(net, graph, some, expected_codes(graph, some))
    assert result.mismatches_float64 == 0
    assert result.min_cosine > 0.999


def test_fake_of_another_model_differs_and_of_another_shape_is_refused() -> None:
    graph = fold(network("gaitset"))
    some = clips(2, 3)
    expected = expected_codes(graph, some)
    other = compare_fake(network("gaitset", seed=1), graph, some, expected)
    assert other.mismatches_float64 > 0 and other.first_layer == graph.ops[0].name
    with pytest.raises(QgaitError, match="another shape"):
        compare_fake(network("gaitbase"), graph, some, expected)
