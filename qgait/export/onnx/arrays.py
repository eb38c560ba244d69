"""An operator's arrays as ONNX initialisers, and back: channels first, and biases without the zero-point term.

ConvInteger and MatMulInteger subtract the zero point of their input themselves, while a graph's bias already holds
``-zero_point * sum(weight)`` for runtimes that accumulate raw codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import Op, Requant, Tensor, Weighted

Arrays = dict[str, NDArray[np.integer]]
Change = Callable[[NDArray[np.integer]], NDArray[np.integer]]


@dataclass(frozen=True)
class Layout:
    """How a file holds an operator's arrays: ``stored`` makes them from the graph's, ``loaded`` the graph's again.

    By the array's name; those without a change are stored as the graph has them. ``forms`` are the shapes in the file
    that ``loaded`` can take; 0 is any number.
    """

    stored: Mapping[str, Change] = field(default_factory=dict)
    loaded: Mapping[str, Change] = field(default_factory=dict)
    forms: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


AS_IN_THE_GRAPH = Layout()


def array_types(kind: type) -> dict[str, type[np.integer]]:
    """The arrays of operators of class ``kind`` and their types, as `arrays_of` names them."""
    hints = get_type_hints(kind)
    types: dict[str, type[np.integer]] = {}
    for entry in fields(kind):
        if hints[entry.name] is Requant:
            types |= array_types(Requant)
        elif get_origin(hints[entry.name]) is np.ndarray:
            types[entry.name] = get_args(get_args(hints[entry.name])[1])[0]
    return types


def arrays_of(op: Op) -> Arrays:
    """The arrays of an operator by field name; a requantization gives ``multiplier`` and ``shift``."""
    arrays: Arrays = {}
    for entry in fields(op):
        value = getattr(op, entry.name)
        if isinstance(value, Requant):
            arrays |= {"multiplier": value.multiplier, "shift": value.shift}
        elif isinstance(value, np.ndarray):
            arrays[entry.name] = value
    return arrays


def to_onnx_arrays(op: Op, source: Tensor, layout: Layout) -> Arrays:
    """What the ONNX file stores; ``source`` is the operator's first input."""
    arrays = arrays_of(op)
    if isinstance(op, Weighted):
        arrays["bias"] = (op.bias.astype(np.int64) + source.zero_point * op.total(op.weight)).astype(np.int32)
    return _changed(arrays, layout.stored)


def from_onnx_arrays(kind: type[Op], stored: Arrays, source: Tensor, layout: Layout) -> dict[str, Any]:
    """The inverse of ``to_onnx_arrays``: the array fields of an operator of class ``kind``.

    Raises ValueError, with a clause that says so, where an array does not have the form that the file has it in.
    """
    for name, form in layout.forms.items():
        shape = stored[name].shape
        if len(shape) != len(form) or any(axis not in (0, length) for axis, length in zip(form, shape, strict=True)):
            raise ValueError(f"has an initializer for its {name} of shape {list(shape)}")
    arrays = _changed(stored, layout.loaded)
    if issubclass(kind, Weighted):
        total = kind.total(arrays["weight"])
        if arrays["bias"].shape != total.shape:
            raise ValueError(f"has biases of shape {list(arrays['bias'].shape)}, not {list(total.shape)}")
        bias = arrays["bias"].astype(np.int64) - source.zero_point * total
        if bias.size and max(bias.max(), ~bias.min()) >= 2**31:
            raise ValueError("has biases beyond int32")
        arrays["bias"] = bias.astype(np.int32)
    result: dict[str, Any] = dict(arrays)
    if "multiplier" in arrays:
        result["requant"] = Requant(result.pop("multiplier"), result.pop("shift"))
    return result


def _changed(arrays: Arrays, changes: Mapping[str, Change]) -> Arrays:
    return {name: changes[name](array) if name in changes else array for name, array in arrays.items()}
