"""Weights of 2 to 7 bits in an ONNX file: planes of 4, 2 and 1 bits, and ``qgait.Unpack``, which makes int8 of them.

A weight ``conv1.weight`` of 3 bits is stored as ``conv1.weight.2bits`` and ``conv1.weight.1bits`` (the planes of
`qgait.quantizers.bit_planes`) and ``conv1.weight.shape``. A table of 256 rows says what a byte is worth, number by
number, with the sign; the planes' worths are joined by OR. Nothing of it depends on frames, so ONNX Runtime computes it
once, while it loads the file (at the optimization level "disabled": in every run).

Weights of 8 bits are int8 initializers. A weight has as few bits as its largest code needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from qgait.export.graph import Graph
from qgait.export.onnx.names import initializer_name
from qgait.export.onnx.requant import DOMAIN, OPSET
from qgait.export.onnx.soundness import array_of
from qgait.export.operators import Weighted
from qgait.quantizers.bit_planes import WIDTHS, fewest_bits, pack, table, unpack, widths
from qgait.quantizers.grid import MAX_BITS, MIN_BITS

NAME = "Unpack"
WEIGHT = "weight"
SHAPE = ".shape"
TABLES = "unpack/"


def plane_name(weight: str, width: int) -> str:
    """For example "conv1.weight.4bits"."""
    return f"{weight}.{width}bits"


def shape_name(weight: str) -> str:
    """For example "conv1.weight.shape"."""
    return f"{weight}{SHAPE}"


def table_name(bits: int, width: int) -> str:
    """For example "unpack/3/2bits": of the planes of 2 bits of weights of 3."""
    return f"{TABLES}{bits}/{width}bits"


def pack_weights(model: onnx.ModelProto, graph: Graph) -> None:
    """Replaces the int8 initializers of ``model`` that are weights of ``graph`` and need fewer bits by their planes."""
    names = {initializer_name(op.name, WEIGHT) for op in graph.ops if isinstance(op, Weighted)}
    initializers: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        bits = fewest_bits(numpy_helper.to_array(tensor)) if tensor.name in names else MAX_BITS
        if bits == MAX_BITS:
            initializers.append(tensor)
        else:
            initializers += _stored(tensor, bits)
            nodes += _unpacking(tensor.name, bits)
            model.graph.value_info.append(helper.make_tensor_value_info(tensor.name, TensorProto.INT8, tensor.dims))
    if nodes:
        known = {tensor.name: tensor for tensor in initializers}  # tables serve many weights
        nodes += model.graph.node
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.initializer.extend(known.values())
        model.graph.node.extend(nodes)
        model.functions.append(unpack_function())


def unpack_weights(model: onnx.ModelProto) -> None:
    """The inverse of ``pack_weights`` on a file that was read: every weight is an int8 initializer again."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {name.removesuffix(SHAPE): name for name in stored if name.endswith(SHAPE)}
    made: set[str] = set()
    parts: set[str] = {name for name in stored if name.startswith(TABLES)}
    for weight, shape in weights.items():
        present = [width for width in WIDTHS if plane_name(weight, width) in stored]
        parts.update(plane_name(weight, width) for width in present)
        made.update(node.output[0] for node in _unpacking(weight, sum(present)))
        stored[shape] = numpy_helper.from_array(weight_of(weight, stored), weight)
    kept = [tensor for name, tensor in stored.items() if name not in parts]
    nodes = [node for node in model.graph.node if not made.intersection(node.output)]
    values = [value for value in model.graph.value_info if value.name not in made]
    functions = [function for function in model.functions if function.name != NAME]
    for old, new in (
        (model.graph.initializer, kept),
        (model.graph.node, nodes),
        (model.graph.value_info, values),
        (model.functions, functions),
    ):
        del old[:]
        old.extend(new)


def packed_weight(name: str) -> str | None:
    """The packed weight that an initializer called ``name`` is a part of, if it is one."""
    for end in (SHAPE, *(plane_name("", width) for width in WIDTHS)):
        if name.endswith(end):
            return name.removesuffix(end)
    return None


def weight_of(name: str, initializers: Mapping[str, onnx.TensorProto]) -> NDArray[np.int8]:
    """The int8 weight ``name`` from its planes among ``initializers``. KeyError where it has no shape there.

    ValueError, with a clause that says so, where they are not what ``pack_weights`` writes.
    """
    present = [width for width in WIDTHS if plane_name(name, width) in initializers]
    names = [shape_name(name), *(plane_name(name, width) for width in present)]
    shape, *planes = (array_of(initializers[part]) for part in names)
    if sum(present) < MIN_BITS or shape.dtype != np.int64 or shape.ndim != 1 or (shape < 0).any():
        raise ValueError("has no planes of 2 to 7 bits, or no shape")
    if any(plane.dtype != np.uint8 for plane in planes):
        raise ValueError("has planes that are not uint8")
    return unpack([plane.astype(np.uint8) for plane in planes], sum(present), tuple(map(int, shape)))


def unpack_function() -> onnx.FunctionProto:
    """Unpack(plane uint8 [bytes], table int8 [256, numbers in a byte], shape int64) -> int8 of that shape."""
    node = helper.make_node
    body = [
        node("Cast", ["plane"], ["index"], to=TensorProto.INT32),
        node("Gather", ["table", "index"], ["worth"], axis=0),
        node("Constant", [], ["all"], value_ints=[-1]),
        node("Reshape", ["worth", "all"], ["numbers"]),
        node("Constant", [], ["first"], value_ints=[0]),
        node("ReduceProd", ["shape"], ["count"], keepdims=1),
        node("Slice", ["numbers", "first", "count"], ["own"]),  # without those that fill the last byte
        node("Reshape", ["own", "shape"], ["codes"]),
    ]
    return helper.make_function(
        DOMAIN,
        NAME,
        ["plane", "table", "shape"],
        ["codes"],
        body,
        [helper.make_opsetid("", OPSET)],
        doc_string="table[plane], number by number, as many as the shape has",
    )


def _stored(tensor: onnx.TensorProto, bits: int) -> list[onnx.TensorProto]:
    codes, name = numpy_helper.to_array(tensor), tensor.name
    arrays: Mapping[str, NDArray[np.integer]] = {
        **{plane_name(name, width): plane for width, plane in zip(widths(bits), pack(codes, bits), strict=True)},
        shape_name(name): np.array(codes.shape, np.int64),
        **{table_name(bits, width): table(bits, i) for i, width in enumerate(widths(bits))},
    }
    return [numpy_helper.from_array(array, key) for key, array in arrays.items()]


def _unpacking(name: str, bits: int) -> list[onnx.NodeProto]:
    """Nodes that make the value ``name`` of its planes."""
    unpacked = partial(helper.make_node, NAME, domain=DOMAIN)
    planes = widths(bits)
    made = [name] if len(planes) == 1 else [f"{plane_name(name, width)}/codes" for width in planes]
    nodes = [
        unpacked([plane_name(name, width), table_name(bits, width), shape_name(name)], [result], name=result)
        for width, result in zip(planes, made, strict=True)
    ]
    joined = made[0]
    for i, part in enumerate(made[1:], 2):
        result = name if i == len(made) else f"{name}/{i}"
        nodes.append(helper.make_node("BitwiseOr", [joined, part], [result], name=result))
        joined = result
    return nodes
