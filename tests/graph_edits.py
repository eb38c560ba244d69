"""Integer graphs with one thing changed, and what the checks say about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.graph import Graph


def refusal(graph: Graph) -> str:
    with pytest.raises(QgaitError) as caught:
        check_graph(graph)
    return caught.value.problem


def with_op(graph: Graph, layer: str, /, **change: Any) -> Graph:
    """The graph with fields of one layer replaced."""
    return replace(graph, ops=tuple(replace(op, **change) if op.name == layer else op for op in graph.ops))


def with_tensor(graph: Graph, key: str, **change: Any) -> Graph:
    return replace(graph, tensors=graph.tensors | {key: replace(graph.tensors[key], **change)})


def op_of(graph: Graph, name: str) -> Any:
    return next(op for op in graph.ops if op.name == name)


def changed(array: np.ndarray, value: int, index: int = 0) -> np.ndarray:
    copy = array.copy()
    copy.flat[index] = value
    return copy
