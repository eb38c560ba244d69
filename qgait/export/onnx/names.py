"""What the values of an ONNX file are called: layers and tensors keep the names they have in the graph."""

from __future__ import annotations

from qgait.export.graph import Graph

INPUT = "silhouettes"
EMBEDDING = "embedding"
FRAMES = "frames"


def value_name(graph: Graph, tensor: str) -> str:
    """The ONNX value that holds ``tensor``: its own name, except that the output is called "embedding"."""
    if tensor == graph.output:
        return EMBEDDING
    return f"{tensor}/codes" if tensor in (INPUT, EMBEDDING) else tensor


def initializer_name(layer: str, field: str) -> str:
    """For example "conv1.weight"."""
    return f"{layer}.{field}"
