"""The integer graph as an ONNX file: silhouettes uint8 [frames, H, W] in, embedding codes int8 [1, P, C] out.

Nothing between the two is a float. A weight takes as many bits as its codes do (``packed_weights``), so the file is
about as large as parameters times bits / 8. What a reader needs beyond the nodes is in the metadata (``metadata``).
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, shape_inference

from qgait.errors import QgaitError, os_reason
from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.onnx.check import check_onnx
from qgait.export.onnx.metadata import metadata_of, set_metadata
from qgait.export.onnx.names import EMBEDDING, FRAMES, INPUT
from qgait.export.onnx.node_list import NodeList
from qgait.export.onnx.nodes import add_input, add_operator
from qgait.export.onnx.packed_weights import pack_weights
from qgait.export.onnx.requant import DOMAIN, OPSET, requant_function
from qgait.files import replace_file
from qgait.version import __version__

IR_VERSION = 10


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """The model, with its metadata and digest.

    Raises QgaitError when the graph breaks an invariant, or a value between input and embedding is not an integer.
    """
    check_graph(graph)
    nodes = NodeList(graph)
    add_input(nodes)
    for op in graph.ops:
        add_operator(nodes, op)
    height, width, _ = graph.tensors[graph.input].shape
    silhouettes = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [FRAMES, height, width])
    embedding = helper.make_tensor_value_info(EMBEDDING, TensorProto.INT8, [1, *graph.tensors[graph.output].shape])
    model = helper.make_model(
        helper.make_graph(nodes.nodes, graph.model, [silhouettes], [embedding], nodes.initializers),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        functions=[requant_function()],
        ir_version=IR_VERSION,
        producer_name="qgait",
        producer_version=__version__,
    )
    pack_weights(model, graph)
    check_onnx(model)
    described = shape_inference.infer_shapes(model, strict_mode=True)  # of every value, for viewers
    set_metadata(described, metadata_of(graph))
    return described


def write(graph: Graph, path: Path) -> None:
    """Writes ``graph`` to ``path`` in one move. Raises QgaitError as ``to_onnx`` does."""
    save(to_onnx(graph), path)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Replaces ``path`` by ``model`` in one move, so that a reader never sees half a file.

    Raises QgaitError when the folder is missing or cannot be written.
    """
    put(model.SerializeToString(), path)


def put(content: bytes, path: Path) -> None:
    """`save` of a file that was already serialized."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise QgaitError(
            f"Cannot write {path}: {os_reason(error)}.", "give a path in a folder that can be written."
        ) from error
