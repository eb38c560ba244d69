"""The integer graph back from its ONNX file: the metadata says what it is, the initialisers hold the arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.onnx.arrays import from_onnx_arrays
from qgait.export.onnx.metadata import (
    DIGEST_KEY,
    FORMAT,
    FORMAT_KEY,
    GRAPH_KEY,
    digest_of,
    metadata_of,
    scale_from_json,
)
from qgait.export.onnx.operators import ONNX
from qgait.export.operators import OPERATORS, Op, Tensor

CLASSES = {kind.__name__: kind for kind in OPERATORS}
EXPORT_AGAIN = "export it again with `qgait export`."


def read(path: Path) -> Graph:
    """The graph that ``writer.write`` stored in ``path``, every array bit for bit.

    Raises QgaitError when the file is missing, truncated, not ONNX, not written by qgait, of a newer format, altered
    after its export, or when the graph breaks an invariant.
    """
    return from_onnx(load(path), path)


def load(path: Path) -> onnx.ModelProto:
    """The ONNX file itself, format and digest verified; raises QgaitError as ``read`` does."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QgaitError(f"Cannot read {path}: {reason}.", "give a file that `qgait export` wrote.") from error
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise QgaitError(f"{path} is not an ONNX file, or is truncated.", EXPORT_AGAIN) from error
    if not model.ir_version or not model.graph.node:
        raise QgaitError(f"{path} is not an ONNX file, or is truncated.", EXPORT_AGAIN)
    try:
        _verify(model, path)
    except UnicodeDecodeError as error:  # protobuf decodes text when it is asked for
        raise QgaitError(f"{path} is damaged: it holds text that is not UTF-8.", EXPORT_AGAIN) from error
    return model


def from_onnx(model: onnx.ModelProto, path: Path) -> Graph:
    """The graph in a verified model; ``path`` is for messages."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    arrays = {initializer.name: initializer for initializer in model.graph.initializer}
    try:
        graph = _graph(json.loads(metadata[GRAPH_KEY]), arrays)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise QgaitError(f"The graph described in {path} is incomplete ({error!r}).", EXPORT_AGAIN) from error
    check_graph(graph)
    for key, told in metadata_of(graph).items():
        if metadata.get(key) != told and metadata[FORMAT_KEY] == str(FORMAT):  # older ones say less
            raise QgaitError(f"{path} contradicts itself: its {key} is not that of the graph in it.", EXPORT_AGAIN)
    return graph


def _verify(model: onnx.ModelProto, path: Path) -> None:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if FORMAT_KEY not in metadata:
        raise QgaitError(f"{path} is an ONNX file, but not an export of qgait.", "run `qgait export` on the model.")
    version = metadata[FORMAT_KEY]
    if version.isdecimal() and int(version) > FORMAT:
        raise QgaitError(
            f"{path} has format {version}, newer than format {FORMAT} of this qgait.",
            "upgrade qgait, or export the model again with this version.",
        )
    if metadata.get(DIGEST_KEY) != digest_of(model):
        raise QgaitError(
            f"{path} was altered after its export: its content does not match its digest.",
            "export it again; to change the model, change what it was exported from.",
        )


def _graph(entry: dict[str, Any], arrays: dict[str, onnx.TensorProto]) -> Graph:
    tensors = {item["name"]: _tensor(item) for item in entry["tensors"]}
    return Graph(
        model=entry["model"],
        bits=entry["bits"],
        input=entry["input"],
        output=entry["output"],
        tensors=tensors,
        ops=tuple(_op(item, tensors, arrays) for item in entry["ops"]),
        min_frames=entry.get("min_frames", 1),  # files of format 1 do not say
    )


def _tensor(entry: dict[str, Any]) -> Tensor:
    numbers = {key: entry[key] for key in ("zero_point", "lo", "hi", "per_frame")}
    return Tensor(entry["name"], tuple(entry["shape"]), scale_from_json(entry["scale"]), **numbers)


def _op(entry: dict[str, Any], tensors: dict[str, Tensor], arrays: dict[str, onnx.TensorProto]) -> Op:
    kind = CLASSES[entry["op"]]
    stored = {field: _array(arrays[name]) for field, name in entry["initializers"].items()}
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry.items()
        if key not in ("op", "initializers")
    }
    layout = ONNX.of(kind, entry["name"]).layout
    return kind(**fields, **from_onnx_arrays(kind, stored, tensors[entry["inputs"][0]], layout))


def _array(initializer: onnx.TensorProto) -> NDArray[np.integer]:
    return np.array(numpy_helper.to_array(initializer))
