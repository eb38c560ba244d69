"""What the metadata of an ONNX file says, as strings under keys that start with "qgait.".

``qgait.format``     version of this layout
``qgait.model``, ``qgait.bits``   for people
``qgait.input``      the input contract        ``qgait.embedding``  layout and scale of the embedding
``qgait.cut``        the layers that run once a frame, and those that run once an embedding
``qgait.provenance`` what the file was made from, texts by name; it may be absent
``qgait.graph``      the integer graph: tensors, operators, and the initialisers that hold their arrays; a weight that
                     is none is in planes (`qgait.export.onnx.packed_weights`)
``qgait.digest``     sha256 of everything else in the file

Floats are written as hexadecimal literals, which are exact.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields

import numpy as np
import onnx
from numpy.typing import NDArray

from qgait.export.graph import Graph
from qgait.export.onnx.arrays import arrays_of
from qgait.export.onnx.names import EMBEDDING, FRAMES, INPUT, initializer_name, value_name
from qgait.export.operators import Op, Tensor
from qgait.provenance import THIS

FORMAT = 4  # 1 had no windows over frames, 2 summed powers in int32, 3 had all weights in int8
FORMAT_KEY = "qgait.format"
GRAPH_KEY = "qgait.graph"
PROVENANCE_KEY = "qgait.provenance"
DIGEST_KEY = "qgait.digest"
PROVENANCE_KEY = "qgait.provenance"
TEXT_KEYS = ("qgait.model", "qgait.bits")
JSON_KEYS = ("qgait.input", "qgait.embedding", "qgait.cut")


def metadata_of(graph: Graph) -> dict[str, str]:
    """All entries but the digest."""
    height, width, _ = graph.tensors[graph.input].shape
    embedding = graph.tensors[graph.output]
    contract = {
        "name": INPUT,
        "dtype": "uint8",
        "shape": [FRAMES, height, width],
        "code": "pixel - 128",
        "min_frames": graph.min_frames,  # a shorter clip is repeated end to end, inside the file
    }
    layout = {
        "name": EMBEDDING,
        "dtype": "int8",
        "shape": [1, *embedding.shape],
        "axes": ["clip", "part", "channel"],
        "zero_point": embedding.zero_point,
        "scale": scale_to_json(embedding.scale),
    }
    cut = {"frame": [op.name for op in graph.frame_ops()], "clip": [op.name for op in graph.clip_ops()]}
    made = {key: value for key, value in graph.provenance.items() if key != "onnx"} | {"exported_by": THIS}
    return {
        FORMAT_KEY: str(FORMAT),
        "qgait.model": graph.model,
        "qgait.bits": graph.bits,
        "qgait.input": json.dumps(contract),
        "qgait.embedding": json.dumps(layout),
        "qgait.cut": json.dumps(cut),
        PROVENANCE_KEY: json.dumps(made, sort_keys=True),
        GRAPH_KEY: json.dumps(_graph_to_json(graph)),
    }


def digest_of(model: onnx.ModelProto) -> str:
    """Sha256, in hexadecimal, over nodes, functions, initialisers and metadata: everything but the digest itself."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != DIGEST_KEY]
    del stripped.metadata_props[:]
    for key, value in sorted(kept):
        stripped.metadata_props.add(key=key, value=value)
    return hashlib.sha256(stripped.SerializeToString(deterministic=True)).hexdigest()


def set_metadata(model: onnx.ModelProto, entries: dict[str, str]) -> None:
    """Replaces the metadata of ``model`` by ``entries`` and their digest."""
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    model.metadata_props.add(key=DIGEST_KEY, value=digest_of(model))


def scale_to_json(scale: NDArray[np.float32]) -> str | list[str]:
    """One literal for a scalar, a list for one scale a part."""
    values = np.asarray(scale, np.float32)
    return float(values).hex() if values.ndim == 0 else [float(value).hex() for value in values]


def scale_from_json(text: str | list[str]) -> NDArray[np.float32]:
    """The inverse of ``scale_to_json``; infinity for what is beyond float32."""
    values = float.fromhex(text) if isinstance(text, str) else [float.fromhex(value) for value in text]
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float64).astype(np.float32)


def _graph_to_json(graph: Graph) -> dict[str, object]:
    return {
        "model": graph.model,
        "bits": graph.bits,
        "input": graph.input,
        "output": graph.output,
        "metadata": {},
        "min_frames": graph.min_frames,
        "tensors": [_tensor_to_json(graph, tensor) for tensor in graph.tensors.values()],
        "ops": [_op_to_json(op) for op in graph.ops],
    }


def _tensor_to_json(graph: Graph, tensor: Tensor) -> dict[str, object]:
    entry = {field.name: getattr(tensor, field.name) for field in fields(tensor)}
    return entry | {"scale": scale_to_json(tensor.scale), "value": value_name(graph, tensor.name)}


def _op_to_json(op: Op) -> dict[str, object]:
    values = {field.name: getattr(op, field.name) for field in fields(op)}
    settings = {name: value for name, value in values.items() if isinstance(value, int | str | tuple)}
    stored = {field: initializer_name(op.name, field) for field in arrays_of(op)}
    return {"op": type(op).__name__, **settings, "initializers": stored}
