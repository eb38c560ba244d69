"""The integer graph back from its ONNX file: the metadata says what it is, the initialisers hold the arrays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from qgait import provenance
from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.onnx.arrays import from_onnx_arrays
from qgait.export.onnx.metadata import (
    DIGEST_KEY,
    FORMAT,
    FORMAT_KEY,
    GRAPH_KEY,
    JSON_KEYS,
    PROVENANCE_KEY,
    TEXT_KEYS,
    digest_of,
    metadata_of,
    scale_from_json,
)
from qgait.export.onnx.names import EMBEDDING, INPUT
from qgait.export.onnx.operators import ONNX
from qgait.export.onnx.packed_weights import shape_name, weight_of
from qgait.export.onnx.schema import ARRAYS, KINDS, GraphFacts, TensorFacts
from qgait.export.onnx.soundness import array_of, require_sound
from qgait.export.operators import Op, Tensor
from qgait.provenance import Provenance
from qgait.reading import read_bytes
from qgait.shown import short
from qgait.structured import Notes, check, parse_json

GIVE = "give a file that `qgait export` wrote."
EXPORT_AGAIN = "export it again with `qgait export`."
LIMIT = 1 << 30  # bytes of a file


def read(path: Path) -> Graph:
    """The graph that ``writer.write`` stored in ``path``, every array bit for bit.

    Raises QgaitError when the file is missing, truncated, not ONNX, not written by qgait, of a newer format, altered
    after its export, or when the graph breaks an invariant.
    """
    graph = from_onnx(load(path), path)
    return replace(graph, provenance=graph.provenance | {"onnx": provenance.of_file(path)})


def load(path: Path) -> onnx.ModelProto:
    """The ONNX file itself, format and digest verified; raises QgaitError as ``read`` does."""
    content = read_bytes(path, LIMIT, GIVE)
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise QgaitError(f"{path} is not an ONNX file, or is truncated.", EXPORT_AGAIN) from error
    if not model.ir_version or not model.graph.node:
        raise QgaitError(f"{path} is not an ONNX file, or is truncated.", EXPORT_AGAIN)
    require_sound(model, f"{path} is damaged", EXPORT_AGAIN)
    _verify(model, path)
    return model


def from_onnx(model: onnx.ModelProto, path: Path) -> Graph:
    """The graph in a verified model; ``path`` is for messages."""
    subject = f"{path} is damaged"
    metadata = _metadata(model, subject)
    plain = parse_json(metadata.get(GRAPH_KEY, ""), f"{subject}: {GRAPH_KEY}", EXPORT_AGAIN)
    facts = check(plain, GraphFacts, f"{subject}: {GRAPH_KEY}", EXPORT_AGAIN)
    arrays = {initializer.name: initializer for initializer in model.graph.initializer}
    tensors = {item.name: _tensor(item) for item in facts.tensors}
    graph = Graph(
        model=facts.model,
        bits=facts.bits,
        input=facts.input,
        output=facts.output,
        tensors=tensors,
        ops=tuple(_op(item, tensors, arrays, subject) for item in facts.ops),
        min_frames=facts.min_frames,
    )
    check_graph(graph)
    _require_same_metadata(metadata, facts, graph, subject)
    _require_ends(model, graph, subject)
    return replace(graph, provenance=_provenance(metadata, subject))


def _verify(model: onnx.ModelProto, path: Path) -> None:
    metadata = _metadata(model, f"{path} is damaged")
    if FORMAT_KEY not in metadata:
        raise QgaitError(f"{path} is an ONNX file, but not an export of qgait.", "run `qgait export` on the model.")
    version = metadata[FORMAT_KEY]
    if not (version.isascii() and version.isdecimal() and 0 < len(version) < 9 and int(version)):
        raise QgaitError(f"{path} has the format {short(version, 40)}, which is no number.", EXPORT_AGAIN)
    if int(version) > FORMAT:
        raise QgaitError(
            f"{path} has format {version}, newer than format {FORMAT} of this qgait.",
            "upgrade qgait, or export the model again with this version.",
        )
    if metadata.get(DIGEST_KEY) != digest_of(model):
        raise QgaitError(
            f"{path} was altered after its export: its content does not match its digest.",
            "export it again; to change the model, change what it was exported from.",
        )


def _metadata(model: onnx.ModelProto, subject: str) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for entry in model.metadata_props:
        if entry.key in metadata:
            raise QgaitError(f"{subject}: its metadata has {short(entry.key, 60)} twice.", EXPORT_AGAIN)
        metadata[entry.key] = entry.value
    return metadata


def _require_same_metadata(metadata: dict[str, str], facts: GraphFacts, graph: Graph, subject: str) -> None:
    """What the file says of itself follows from the graph, and is said for others: it may not be anything else."""
    wanted = metadata_of(graph)
    known = {*wanted, DIGEST_KEY, PROVENANCE_KEY}
    strange, lacking = sorted(metadata.keys() - known), sorted(wanted.keys() - metadata.keys() - {PROVENANCE_KEY})
    if strange or lacking:
        what = f"an unknown entry {short(strange[0], 60)}" if strange else f"no entry {lacking[0]}"
        raise QgaitError(f"{subject}: its metadata has {what}.", EXPORT_AGAIN)
    same = {key: metadata[key] == wanted[key] for key in TEXT_KEYS}
    for key in JSON_KEYS:
        told, due = parse_json(metadata[key], f"{subject}: {key}", EXPORT_AGAIN), json.loads(wanted[key])
        if isinstance(told, dict) and "min_frames" in due:
            told = {"min_frames": 1, **told}  # files of format 1 do not say
        same[key] = told == due
    same[GRAPH_KEY] = facts == check(json.loads(wanted[GRAPH_KEY]), GraphFacts, subject, EXPORT_AGAIN)
    if not all(same.values()):
        wrong = next(key for key, is_same in same.items() if not is_same)
        raise QgaitError(f"{subject}: {wrong} of its metadata does not describe its graph.", EXPORT_AGAIN)


def _provenance(metadata: dict[str, str], subject: str) -> Provenance:
    """What the file says that it was made from; nothing where an older qgait wrote it."""
    said = parse_json(metadata.get(PROVENANCE_KEY, "{}"), f"{subject}: {PROVENANCE_KEY}", EXPORT_AGAIN)
    return dict(check(said, Notes, f"{subject}: {PROVENANCE_KEY}", EXPORT_AGAIN))


def _require_ends(model: onnx.ModelProto, graph: Graph, subject: str) -> None:
    """One input and one output, of the graph's names, types and sizes."""
    height, width, _ = graph.tensors[graph.input].shape
    silhouettes = (INPUT, onnx.TensorProto.UINT8, [height, width])
    embedding = (EMBEDDING, onnx.TensorProto.INT8, list(graph.tensors[graph.output].shape))
    for values, wanted in ((model.graph.input, silhouettes), (model.graph.output, embedding)):
        found = [
            (value.name, kind.elem_type, [axis.dim_value for axis in kind.shape.dim][1:])
            for value in values
            for kind in (value.type.tensor_type,)
        ]
        if found != [wanted]:
            raise QgaitError(f"{subject}: it does not take or give {wanted[0]} as its graph does.", EXPORT_AGAIN)


def _tensor(facts: TensorFacts) -> Tensor:
    numbers = {key: getattr(facts, key) for key in ("zero_point", "lo", "hi", "per_frame")}
    return Tensor(facts.name, facts.shape, scale_from_json(facts.scale), **numbers)


def _array(name: str, arrays: dict[str, onnx.TensorProto]) -> NDArray[np.integer]:
    """KeyError where there is none, ValueError where it is a weight that is not packed as it should be."""
    if name not in arrays and shape_name(name) in arrays:
        return weight_of(name, arrays)
    return array_of(arrays[name])


def _op(facts: Any, tensors: dict[str, Tensor], arrays: dict[str, onnx.TensorProto], subject: str) -> Op:
    kind = KINDS[type(facts)]
    stored = {}
    for field, dtype in ARRAYS[kind].items():
        name = getattr(facts.initializers, field)
        try:
            stored[field] = _array(name, arrays)
        except KeyError:
            raise QgaitError(
                f"{subject}: {short(facts.name)} has no initializer {short(name)}.", EXPORT_AGAIN
            ) from None
        except ValueError as error:  # says what is wrong with a packed weight
            raise QgaitError(f"{subject}: {short(name)} {error}.", EXPORT_AGAIN) from None
        if stored[field].dtype not in (dtype, *((np.int32,) if dtype == np.int64 else ())):  # tables before format 3
            words = f"{stored[field].dtype}, not {np.dtype(dtype)}"
            raise QgaitError(f"{subject}: the initializer {short(name)} is {words}.", EXPORT_AGAIN)
    settings = {key: getattr(facts, key) for key in facts.__struct_fields__ if key != "initializers"}
    if not facts.inputs or facts.inputs[0] not in tensors:
        raise QgaitError(f"{subject}: {short(facts.name)} reads no tensor of the graph.", EXPORT_AGAIN)
    try:
        loaded = from_onnx_arrays(kind, stored, tensors[facts.inputs[0]], ONNX.of(kind, facts.name).layout)
    except ValueError as error:  # says which array does not have the form of the operator's
        raise QgaitError(f"{subject}: {short(facts.name)} {error}.", EXPORT_AGAIN) from None
    return kind(**settings, **loaded)
