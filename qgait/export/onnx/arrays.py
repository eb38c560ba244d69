"""An operator's arrays as ONNX initialisers, and back: channels first, and biases without the zero-point term.

ConvInteger and MatMulInteger subtract the zero point of their input themselves, while a graph's bias already holds
``-zero_point * sum(weight)`` for runtimes that accumulate raw codes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Conv2d, Op, PartLinear, PowerPool, Requant, Tensor

Arrays = dict[str, NDArray[np.integer]]


def arrays_of(op: Op) -> Arrays:
    """The arrays of an operator by field name; a requantization gives ``multiplier`` and ``shift``."""
    arrays: Arrays = {}
    for field in fields(op):
        value = getattr(op, field.name)
        if isinstance(value, Requant):
            arrays |= {"multiplier": value.multiplier, "shift": value.shift}
        elif isinstance(value, np.ndarray):
            arrays[field.name] = value
    return arrays


def to_onnx_arrays(op: Op, source: Tensor) -> Arrays:
    """What the ONNX file stores; ``source`` is the operator's first input.

    Conv2d: weight [O, I, KH, KW]; bias, multiplier, shift [O, 1, 1]. PowerPool: powers [R * 256], thresholds [R, 1, T].
    Everything else as in the graph.
    """
    arrays = arrays_of(op)
    if isinstance(op, Conv2d | PartLinear):
        arrays["bias"] = (op.bias.astype(np.int64) + source.zero_point * _weight_sum(op.weight)).astype(np.int32)
    if isinstance(op, Conv2d):
        arrays["weight"] = np.ascontiguousarray(op.weight.transpose(0, 3, 1, 2))
        arrays |= {name: arrays[name].reshape(-1, 1, 1) for name in ("bias", "multiplier", "shift")}
    if isinstance(op, PowerPool):
        arrays |= {"powers": op.powers.reshape(-1), "thresholds": op.thresholds[:, np.newaxis]}
    return arrays


def from_onnx_arrays(kind: type[Op], stored: Arrays, source: Tensor) -> dict[str, Any]:
    """The inverse of ``to_onnx_arrays``: the array fields of an operator of class ``kind``."""
    arrays = dict(stored)
    if kind is Conv2d:
        arrays["weight"] = np.ascontiguousarray(stored["weight"].transpose(0, 2, 3, 1))
        arrays |= {name: stored[name].reshape(-1) for name in ("bias", "multiplier", "shift")}
    if kind in (Conv2d, PartLinear):
        bias = arrays["bias"].astype(np.int64) - source.zero_point * _weight_sum(arrays["weight"])
        arrays["bias"] = bias.astype(np.int32)
    if kind is PowerPool:
        powers, thresholds = (stored[name].astype(np.int64) for name in ("powers", "thresholds"))  # format 2: int32
        arrays |= {"powers": powers.reshape(-1, 256), "thresholds": thresholds[:, 0]}
    result: dict[str, Any] = dict(arrays)
    if "multiplier" in arrays:
        result["requant"] = Requant(result.pop("multiplier"), result.pop("shift"))
    return result


def _weight_sum(weight: NDArray[np.integer]) -> NDArray[np.int64]:
    """Over all inputs of an output: [O, KH, KW, I] -> [O], [P, I, O] -> [P, O]."""
    return weight.sum(axis=(1, 2, 3) if weight.ndim == 4 else 1, dtype=np.int64)
