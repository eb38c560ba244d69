"""What is asked of an ONNX file before anything else looks at it: text that is text, and tensors that are all there.

ONNX tensors may name another file for their data, or dimensions beyond it; neither is ever followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper

from qgait.errors import QgaitError
from qgait.export.onnx.check import INTEGERS
from qgait.shown import short

MAX_RANK = 8


def require_sound(model: onnx.ModelProto, subject: str, fix: str) -> None:
    """QgaitError that begins with ``subject``, a clause such as "model.onnx is damaged"."""
    offence = next(_offences(model), None)
    if offence is not None:
        raise QgaitError(f"{subject}: {offence}.", fix)


def array_of(tensor: TensorProto) -> NDArray[np.integer]:
    """A copy of what a tensor of a sound file holds."""
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if tensor.raw_data:
        return np.frombuffer(tensor.raw_data, dtype.newbyteorder("<")).astype(dtype).reshape(tuple(tensor.dims))
    listed = max((tensor.int32_data, tensor.int64_data, tensor.uint64_data), key=len)
    return (
        np.array(listed, np.int64 if listed is not tensor.uint64_data else np.uint64)
        .astype(dtype)
        .reshape(tuple(tensor.dims))
    )


def _offences(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        if field.type == field.TYPE_STRING and any(isinstance(text, bytes) for text in values):
            yield "it holds text that is not UTF-8"
        if field.type == field.TYPE_MESSAGE:
            for inner in values:
                yield from _offences(inner)
                if isinstance(inner, TensorProto):
                    yield from _tensor(inner)
                elif isinstance(inner, onnx.SparseTensorProto):
                    yield "it holds a sparse tensor"
                elif isinstance(inner, onnx.GraphProto) and not isinstance(message, onnx.ModelProto):
                    yield "a node of it holds a graph of its own"


def _tensor(tensor: TensorProto) -> Iterator[str]:
    name = short(tensor.name or "without a name", 90)
    if tensor.external_data or tensor.data_location != TensorProto.DEFAULT:
        yield f"the tensor {name} has its data in another file, which is not read"
        return
    if tensor.data_type not in INTEGERS:
        yield f"the tensor {name} has no integers"
        return
    dims = list(tensor.dims)
    size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    lists = (tensor.int32_data, tensor.int64_data, tensor.uint64_data)
    found = len(tensor.raw_data) / size if tensor.raw_data else max(map(len, lists))
    if len(dims) > MAX_RANK or min(dims, default=1) < 0 or prod(dims) != found:
        yield f"the tensor {name} has dimensions {short(str(dims), 60)}, but holds {found:g} numbers"
    if tensor.HasField("segment") or sum(map(bool, (tensor.raw_data, *lists))) > 1 or tensor.float_data:
        yield f"the tensor {name} is stored in several pieces"
