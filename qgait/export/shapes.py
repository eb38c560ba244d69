"""What each operator does to shapes, and which array shapes it needs."""

from __future__ import annotations

import numpy as np

from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    FrameWindow,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    Tensor,
    WindowMax,
    WindowPool,
)

Shape = tuple[int, ...]
INPUTS = {Add: 2, Multiply: 2, Concat: None}  # one, unless listed; None is any number
STRIP_KINDS = ("mean_max", "mean")


def output_shape(op: Op, sources: list[Tensor]) -> Shape:
    """The shape of the result. Raises ValueError, saying what does not fit, for impossible inputs or arrays."""
    wanted = INPUTS.get(type(op), 1)
    if not sources or (wanted is not None and len(sources) != wanted):
        raise ValueError(f"takes {wanted or 'one or more'} inputs, not {len(sources)}")
    shape = sources[0].shape
    match op:
        case Conv2d():
            return _conv2d(op, shape)
        case Table():
            _require(op.table, "table", np.int8, (256,))
            return shape
        case MaxPool2d():
            height, width, channels = _map(shape)
            if not 1 <= op.kernel <= min(height, width):
                raise ValueError(f"a pool of {op.kernel} does not fit into {height} x {width}")
            return height // op.kernel, width // op.kernel, channels
        case Add():
            if shape != sources[1].shape:
                raise ValueError(f"adds {list(shape)} and {list(sources[1].shape)}")
            return shape
        case FrameMax():
            return shape
        case StripPool():
            height, _, channels = _map(shape)
            if not op.bins or any(bins < 1 or height % bins for bins in op.bins):
                raise ValueError(f"{height} rows do not split into {list(op.bins)} equal strips")
            if op.kind not in STRIP_KINDS:
                raise ValueError(f"pools {op.kind!r}, not one of {', '.join(STRIP_KINDS)}")
            return sum(op.bins), channels
        case PartLinear():
            return _part_linear(op, shape)
        case Concat():
            if any(source.shape[1:] != shape[1:] for source in sources):
                raise ValueError(f"joins {', '.join(str(list(source.shape)) for source in sources)}")
            return sum(source.shape[0] for source in sources), *shape[1:]
        case RowSlice():
            height, width, channels = _map(shape)
            if not 0 <= op.start < op.stop <= height:
                raise ValueError(f"rows {op.start} to {op.stop} are not rows of {height}")
            return op.stop - op.start, width, channels
        case FrameWindow():
            _require_window(op.size, op.stride, op.padding)
            return *shape[:-1], op.size * shape[-1]
        case WindowMax():
            _require_window(op.size, op.stride, op.padding)
            return shape
        case WindowPool():
            if op.size < 1 or op.size % 2 == 0:
                raise ValueError(f"pools {op.size} values, which have no middle one")
            return shape
        case PowerPool():
            return _power_pool(op, shape)
        case Multiply():
            other = sources[1].shape
            if other != shape and (len(shape) != 3 or other != (1, shape[2])):
                raise ValueError(f"multiplies {list(shape)} by {list(other)}")
            return shape
    raise ValueError(f"{type(op).__name__} is not an operator of the integer graph")


def _conv2d(op: Conv2d, shape: Shape) -> Shape:
    height, width, channels = _map(shape)
    if op.weight.ndim != 4:
        raise ValueError(f"weights are {list(op.weight.shape)}, not [O, KH, KW, I]")
    outputs, kh, kw, _ = op.weight.shape
    _require(op.weight, "weights", np.int8, (outputs, kh, kw, channels))
    _require(op.bias, "biases", np.int32, (outputs,))
    if min(op.stride) < 1 or min(op.padding) < 0:
        raise ValueError(f"stride {op.stride} or padding {op.padding} is out of range")
    top, left, bottom, right = op.padding
    rows, columns = height + top + bottom - kh, width + left + right - kw
    if rows < 0 or columns < 0:
        raise ValueError(f"a {kh} x {kw} kernel does not fit into {height} x {width}")
    return rows // op.stride[0] + 1, columns // op.stride[1] + 1, outputs


def _part_linear(op: PartLinear, shape: Shape) -> Shape:
    if len(shape) != 2 or op.weight.ndim != 3:
        raise ValueError(f"input {list(shape)} and weights {list(op.weight.shape)} are not [P, I] and [P, I, O]")
    outputs = op.weight.shape[2]
    _require(op.weight, "weights", np.int8, (*shape, outputs))
    _require(op.bias, "biases", np.int32, (shape[0], outputs))
    return shape[0], outputs


def _require_window(size: int, stride: int, padding: int) -> None:
    if size < 1 or stride < 1 or not 0 <= padding < size:  # every window holds at least one value of the clip
        raise ValueError(f"a window of {size}, stride {stride} and padding {padding} is out of range")


def _power_pool(op: PowerPool, shape: Shape) -> Shape:
    height, _, channels = _map(shape)
    if not op.rows or min(op.rows) < 1 or sum(op.rows) != height:
        raise ValueError(f"regions of {list(op.rows)} rows do not make {height} rows")
    regions = len(op.rows)
    _require(op.powers, "powers", np.int64, (regions, 256))
    _require(op.thresholds, "thresholds", np.int64, (regions, op.thresholds.shape[-1] if op.thresholds.ndim else 0))
    return regions, channels


def _map(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"needs a map [H, W, C], not {list(shape)}")
    return shape[0], shape[1], shape[2]


def _require(array: np.ndarray, what: str, dtype: type[np.integer], shape: Shape) -> None:
    if array.dtype != dtype or array.shape != shape:
        wanted = f"{np.dtype(dtype)} {list(shape)}"
        raise ValueError(f"{what} are {array.dtype} {list(array.shape)}, not {wanted}")
