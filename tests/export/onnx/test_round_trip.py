"""Graph -> ONNX -> graph keeps every array, number and name bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph, tiny_graph

from qgait.export.graph import Graph
from qgait.export.onnx.reader import read
from qgait.export.onnx.writer import write
from qgait.export.operators import Requant


def assert_same(actual: object, expected: object, where: str) -> None:
    """Equal in value, dtype and shape, down to the arrays of operators."""
    if isinstance(expected, Requant):
        assert_same(actual.multiplier, expected.multiplier, where)  # type: ignore[attr-defined]
        assert_same(actual.shift, expected.shift, where)  # type: ignore[attr-defined]
    elif isinstance(expected, np.ndarray | np.generic):
        assert np.asarray(actual).dtype == expected.dtype, where
        np.testing.assert_array_equal(actual, expected, err_msg=where, strict=expected.ndim > 0)
    else:
        assert type(actual) is type(expected), where
        assert actual == expected, where


def assert_same_graph(actual: Graph, expected: Graph) -> None:
    """Every field of the graph, its tensors and its operators."""
    for name in ("model", "bits", "input", "output", "min_frames"):
        assert getattr(actual, name) == getattr(expected, name)
    assert list(actual.tensors) == list(expected.tensors)
    pairs = [*zip(actual.tensors.values(), expected.tensors.values(), strict=True)]
    pairs += [*zip(actual.ops, expected.ops, strict=True)]
    for one, other in pairs:
        assert type(one) is type(other)
        for field in fields(other):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{other.name}.{field.name}")


@pytest.mark.parametrize("make", [tiny_graph, gaitset_graph, gaitbase_graph])
def test_round_trip(make: Callable[[int], Graph], tmp_path: Path) -> None:
    graph = make(3)
    write(graph, tmp_path / "model.onnx")
    assert_same_graph(read(tmp_path / "model.onnx"), graph)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    # about as large as the network has parameters
    parameters = sum(op.weight.size for op in graph.ops if hasattr(op, "weight"))
    assert (tmp_path / "model.onnx").stat().st_size < 1.1 * parameters + 64 * 1024


def test_the_comparison_sees_one_changed_bias(tmp_path: Path) -> None:
    graph = tiny_graph()
    write(graph, tmp_path / "model.onnx")
    other = read(tmp_path / "model.onnx")
    other.ops[0].bias[0] += 1  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match=r"conv0\.bias"):
        assert_same_graph(other, graph)
