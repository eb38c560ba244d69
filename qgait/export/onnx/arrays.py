"""An operator's arrays as ONNX initialisers, and back: channels first, and biases without the zero-point term.

ConvInteger and MatMulInteger subtract the zero point of their input themselves, while a graph's bias already holds
``-zero_point * sum(weight)`` for runtimes that accumulate raw codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import Op, Requant, Tensor, Weighted

Arrays = dict[str, NDArray[np.integer]]
Change = Callable[[NDArray[np.integer]], NDArray[np.integer]]


@dataclass(frozen=True)
class Layout:
    """How a file holds an operator's arrays: ``stored`` makes them from the graph's, ``loaded`` the graph's again.

    By the array's name; those without a change are stored as the graph has them.
    """

    stored: Mapping[str, Change] = field(default_factory=dict)
    loaded: Mapping[str, Change] = field(default_factory=dict)


AS_IN_THE_GRAPH = Layout()


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
    """The inverse of ``to_onnx_arrays``: the array fields of an operator of class ``kind``."""
    arrays = _changed(stored, layout.loaded)
    if issubclass(kind, Weighted):
        bias = arrays["bias"].astype(np.int64) - source.zero_point * kind.total(arrays["weight"])
        arrays["bias"] = bias.astype(np.int32)
    result: dict[str, Any] = dict(arrays)
    if "multiplier" in arrays:
        result["requant"] = Requant(result.pop("multiplier"), result.pop("shift"))
    return result


def _changed(arrays: Arrays, changes: Mapping[str, Change]) -> Arrays:
    return {name: changes[name](array) if name in changes else array for name, array in arrays.items()}
