"""A TOSA 1.0 graph of one block as a flatbuffer, by the schema classes that tosa-tools brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.export.tosa import tools as tosa_tools

Attribute = bool | int | bytes | list[int]  # a list is a vector of int32, bytes a vector of bytes
Attributes = dict[str, Attribute]
VERSION = (1, 0, 0)  # of the specification
DTYPES = {"bool": "BOOL", "int8": "INT8", "int32": "INT32"}  # numpy's names and TOSA's


@dataclass
class Value:
    """A tensor, or with dtype int64 a constant shape; ``data`` are a constant's numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: NDArray[np.integer] | None = None


@dataclass
class Operator:
    """``kind`` is the operator's name in the specification; ``attributes`` bear the schema's names in CamelCase."""

    kind: str
    inputs: list[str]
    output: str
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Block:
    """Values by name, operators in execution order, the names of inputs and outputs."""

    values: dict[str, Value] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def to_bytes(block: Block) -> bytes:
    """The file. Raises QgaitError when tosa-tools is missing or of another version."""
    tosa_tools.require()
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    tensors = [_tensor(builder, value) for value in block.values.values() if value.dtype != "int64"]
    shapes = [_shape(builder, value) for value in block.values.values() if value.dtype == "int64"]
    operators = [_operator(builder, operator) for operator in block.operators]
    main = _table(
        builder,
        "TosaBasicBlock",
        Name=builder.CreateSharedString("main"),
        Operators=_offsets(builder, operators),
        Tensors=_offsets(builder, tensors),
        Inputs=_strings(builder, block.inputs),
        Outputs=_strings(builder, block.outputs),
        Shapes=_offsets(builder, shapes),
    )
    blocks = _offsets(builder, [main])
    region = _table(builder, "TosaRegion", Name=builder.CreateSharedString("main"), Blocks=blocks)
    major, minor, patch = VERSION
    version = _table(builder, "Version", _Major=major, _Minor=minor, _Patch=patch, _Draft=False)
    builder.Finish(_table(builder, "TosaGraph", Version=version, Regions=_offsets(builder, [region])), b"TOSA")
    return bytes(builder.Output())


def _tensor(builder: Any, value: Value) -> int:
    from tosa.DType import DType

    fields: dict[str, Any] = {
        "Name": builder.CreateSharedString(value.name),
        "Shape": _int32s(builder, list(value.shape)),
    }
    fields["Type"] = getattr(DType, DTYPES[value.dtype])
    if value.data is not None:
        fields["Data"] = _bytes(builder, value.data.tobytes())
    return _table(builder, "TosaTensor", **fields)


def _shape(builder: Any, value: Value) -> int:
    assert value.data is not None
    fields = {"Name": builder.CreateSharedString(value.name), "Rank": value.data.size}
    return _table(builder, "TosaShape", **fields, Data=_bytes(builder, value.data.tobytes()))


def _operator(builder: Any, operator: Operator) -> int:
    from tosa.Attribute import Attribute as Kinds
    from tosa.Op import Op

    kind = "".join(word.capitalize() for word in operator.kind.split("_")) + "Attribute"
    attributes = {key: _attribute(builder, value) for key, value in operator.attributes.items()}
    return _table(
        builder,
        "TosaOperator",
        Op=getattr(Op, operator.kind),
        AttributeType=getattr(Kinds, kind),
        Attribute=_table(builder, kind, **attributes),
        Inputs=_strings(builder, operator.inputs),
        Outputs=_strings(builder, [operator.output]),
    )


def _attribute(builder: Any, value: Attribute) -> int:
    """What the field holds: a number, or where a vector was written."""
    if isinstance(value, bytes):
        return _bytes(builder, value)
    return _int32s(builder, value) if isinstance(value, list) else value


def _table(builder: Any, kind: str, **fields: int) -> int:
    module = import_module(f"tosa.{kind}")
    module.Start(builder)
    for name, value in fields.items():
        getattr(module, f"Add{name}")(builder, value)
    return int(module.End(builder))


def _bytes(builder: Any, data: bytes) -> int:
    builder.Prep(8, len(data))  # the schema wants data on addresses divisible by 8
    return int(builder.CreateByteVector(data))


def _int32s(builder: Any, numbers: list[int]) -> int:
    return int(builder.CreateNumpyVector(np.array(numbers, np.int32)))


def _strings(builder: Any, texts: list[str]) -> int:
    return _offsets(builder, [builder.CreateSharedString(text) for text in texts])


def _offsets(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
