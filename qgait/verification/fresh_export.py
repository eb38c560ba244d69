"""An ONNX file against a fresh export of the model that it claims to be: every integer, scale, bound and attribute.

Codes on data show what data reach; a weight that no clip moves, or the scale of an embedding, they do not. Here nothing
is left out: what is neither a value nor a node that is compared by name is compared as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from qgait.export.graph import Graph
from qgait.export.onnx.check import check_onnx
from qgait.export.onnx.metadata import DIGEST_KEY, PROVENANCE_KEY
from qgait.export.onnx.own_nodes import strangers
from qgait.export.onnx.packed_weights import packed_weight, weight_of
from qgait.export.onnx.writer import to_onnx
from qgait.verification.differences import ABSENT, Difference, of_arrays, of_plain, shown

# who wrote a file is no part of what it computes; shapes for viewers are inferred by whatever onnx is installed
UNCOMPARED = ("producer_version", "graph.value_info", DIGEST_KEY, PROVENANCE_KEY)
BY_NAME = ("graph", "metadata_props", "functions", "graph.node", "graph.initializer")


def file_differences(found: onnx.ModelProto, graph: Graph) -> list[Difference]:
    """Where ``found`` is not an export of ``graph``, a fresh fold; no differences mean equal in everything.

    A file that onnxsim simplified may lack nodes, and read others that are the same by construction. QgaitError when
    nothing differs but the shapes that the file tells viewers, and they cannot be.
    """
    fresh = to_onnx(graph)
    if len(found.graph.node) < len(fresh.graph.node) and next(strangers(found, fresh), None) is None:
        differences = [*_metadata(found, fresh), *_rest(found, fresh)]
    else:
        differences = _differences(found, fresh)
    if not differences:
        check_onnx(found)  # the shapes that it tells viewers
    return differences


def _differences(found: onnx.ModelProto, fresh: onnx.ModelProto) -> list[Difference]:
    differences = list(_by_name(found, fresh))
    if not differences and _bytes(found) != _bytes(fresh):
        differences = [Difference("the file", "written otherwise", "as qgait writes it")]
    return differences


def _by_name(found: onnx.ModelProto, fresh: onnx.ModelProto) -> Iterator[Difference]:
    yield from _metadata(found, fresh)
    yield from _initializers(found, fresh)
    yield from _nodes("", found.graph.node, fresh.graph.node)
    functions = [{(f.domain, f.name): f for f in model.functions} for model in (found, fresh)]
    for key in functions[0].keys() & functions[1].keys():
        yield from _nodes(f"the function {'.'.join(key)}: ", functions[0][key].node, functions[1][key].node)
    yield from _rest(found, fresh)


def _metadata(found: onnx.ModelProto, fresh: onnx.ModelProto) -> Iterator[Difference]:
    told, wanted = ({entry.key: entry.value for entry in model.metadata_props} for model in (found, fresh))
    for key in [*wanted, *(key for key in told if key not in wanted)]:
        if key in UNCOMPARED or told.get(key) == wanted.get(key):
            continue
        if key not in told or key not in wanted:
            yield Difference(key, shown(told.get(key, ABSENT)), shown(wanted.get(key, ABSENT)))
            continue
        values = _plain(told[key]), _plain(wanted[key])
        unequal = list(of_plain(key, *values))
        yield from unequal or [Difference(key, "written otherwise", "as qgait writes it")]


def _plain(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _initializers(found: onnx.ModelProto, fresh: onnx.ModelProto) -> Iterator[Difference]:
    """Of weights that are packed on either side the first number that differs, of all else the initializers."""
    stored, wanted = ({tensor.name: tensor for tensor in model.graph.initializer} for model in (found, fresh))
    unequal: set[str] = set()
    for name in dict.fromkeys(weight for part in (*wanted, *stored) if (weight := packed_weight(part)) is not None):
        with suppress(ValueError, KeyError):  # what cannot be unpacked is compared as it is
            differences = list(of_arrays(name, *(_weight(name, tensors) for tensors in (stored, wanted))))
            unequal.update(difference.place.partition("[")[0] for difference in differences)
            yield from differences
    for name in [*wanted, *(name for name in stored if name not in wanted)]:
        if name in unequal or packed_weight(name) in unequal:
            continue
        if name not in stored or name not in wanted:
            is_there = ("there", "missing") if name in stored else ("missing", "there")
            yield Difference(f"the constant {name}", *is_there)
        elif stored[name] != wanted[name]:
            arrays = (numpy_helper.to_array(tensors[name]) for tensors in (stored, wanted))
            others = list(of_arrays(name, *arrays))
            yield from others or [Difference(name, "written otherwise", "as qgait writes it")]


def _weight(name: str, tensors: Mapping[str, onnx.TensorProto]) -> NDArray[np.integer]:
    return numpy_helper.to_array(tensors[name]) if name in tensors else weight_of(name, tensors)


def _nodes(where: str, found: Sequence[onnx.NodeProto], fresh: Sequence[onnx.NodeProto]) -> Iterator[Difference]:
    """The first node that is not the same, position by position: those behind it may only have moved."""
    for i, (node, wanted) in enumerate(zip(found, fresh, strict=False)):
        if node != wanted:
            yield from _node(f"{where}node {i} ({shown(wanted.name or wanted.op_type)})", node, wanted)
            return
    if len(found) != len(fresh):
        yield Difference(f"{where}the number of nodes", str(len(found)), str(len(fresh)))


def _node(place: str, node: onnx.NodeProto, wanted: onnx.NodeProto) -> Iterator[Difference]:
    facts = [
        {
            "operator": f"{one.domain}.{one.op_type}".lstrip("."),
            "name": one.name,
            "inputs": list(one.input),
            "outputs": list(one.output),
            **{f"attribute {attribute.name}": _attribute(attribute) for attribute in one.attribute},
        }
        for one in (node, wanted)
    ]
    unequal = list(of_plain(place, *facts))
    yield from unequal or [Difference(place, "written otherwise", "as qgait writes it")]


def _attribute(attribute: onnx.AttributeProto) -> str:
    numbers = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)
    if attribute.type in numbers and not attribute.ref_attr_name:
        return str(helper.get_attribute_value(attribute))
    return " ".join(str(attribute).split())


def _rest(found: onnx.ModelProto, fresh: onnx.ModelProto) -> Iterator[Difference]:
    """The other fields of the two messages."""
    for prefix, one, other in (("", found, fresh), ("graph.", found.graph, fresh.graph)):
        for field in one.DESCRIPTOR.fields:
            name = f"{prefix}{field.name}"
            if name in BY_NAME or name in UNCOMPARED:
                continue
            told, wanted = (" ".join(str(getattr(message, field.name)).split()) for message in (one, other))
            if told != wanted:
                yield Difference(f"the field {name}", shown(told or ABSENT), shown(wanted or ABSENT))


def _bytes(model: onnx.ModelProto) -> bytes:
    """Everything that is compared, fields that this onnx does not know included."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.ClearField("producer_version")
    bare.graph.ClearField("value_info")
    entries = sorted((entry.key, entry.value) for entry in model.metadata_props if entry.key not in UNCOMPARED)
    bare.ClearField("metadata_props")
    for key, value in entries:
        bare.metadata_props.add(key=key, value=value)
    return bytes(bare.SerializeToString(deterministic=True))
