"""What the JSON of the graph in an ONNX file may say: a schema, made from the operators' own dataclasses."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from qgait.export.onnx.arrays import array_types
from qgait.export.operators import OPERATORS, Op
from qgait.network_limits import LONGEST
from qgait.structured import Code, Size, Text, Word, closed

Number = Annotated[int, Meta(ge=0, le=2**16)]  # what does not fit, the graph's rules say
Scale = Annotated[str, Meta(max_length=32, pattern=r"\A0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,3}\Z")]


class TensorFacts(Struct, forbid_unknown_fields=True):
    """A `Tensor`; ``value`` is the ONNX value that holds it."""

    name: Word
    shape: Annotated[tuple[Size, ...], Meta(min_length=2, max_length=3)]
    scale: Scale | Annotated[list[Scale], Meta(max_length=2**16)]
    zero_point: Code
    lo: Code
    hi: Code
    per_frame: bool
    value: Word


def _operator(kind: type[Op]) -> Any:
    """Its settings, and under ``initializers`` the names of its arrays in the file."""
    arrays = ARRAYS[kind]
    stored = msgspec.defstruct(
        f"{kind.__name__}Arrays", [(name, Word) for name in arrays], forbid_unknown_fields=True, frozen=True
    )
    leave_out = {*arrays, "requant"}
    return closed(kind, Number, leave_out, more=[("initializers", stored)], tag=kind.__name__, tag_field="op")


ARRAYS = {kind: array_types(kind) for kind in OPERATORS}
SCHEMAS = {kind: _operator(kind) for kind in OPERATORS}
KINDS: dict[Any, type[Op]] = {schema: kind for kind, schema in SCHEMAS.items()}
AnyOperator: Any = functools.reduce(operator.or_, KINDS)


class GraphFacts(Struct, forbid_unknown_fields=True):
    """A `Graph`. Files of format 1 do not say ``min_frames``."""

    model: Text
    bits: Text
    input: Word
    output: Word
    tensors: Annotated[list[TensorFacts], Meta(min_length=1, max_length=2**13)]
    ops: Annotated[list[AnyOperator], Meta(min_length=1, max_length=2**13)]
    metadata: Annotated[dict[Word, Text], Meta(max_length=0)] = {}
    min_frames: Annotated[int, Meta(ge=1, le=LONGEST)] = 1
