"""What every operator must keep to: shapes, codes that are kept, tables, and accumulators within the integer rule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qgait.export.accumulator_range import accumulator_range, raw_magnitude
from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    FrameWindow,
    Graph,
    MaxPool2d,
    Op,
    PartLinear,
    PowerPool,
    Requant,
    RowSlice,
    Table,
    Tensor,
    WindowMax,
)
from qgait.export.shapes import output_shape
from qgait.export.timing import window_of
from qgait.fixedpoint import MAX_ACCUMULATOR, MAX_ADD_FACTOR, MAX_SHIFT, MIN_SHIFT

INT32, FLOAT64 = 2**31, 2**53  # ONNX Runtime sums int64 in float64
KEEPS_CODES = (MaxPool2d, FrameMax, Concat, RowSlice, FrameWindow, WindowMax)


def operator_offences(graph: Graph, op: Op) -> Iterator[str]:
    """One clause for every rule that ``op`` breaks; its tensors must be in the graph."""
    sources = [graph.tensors[name] for name in op.inputs]
    result = graph.tensors[op.output]
    try:
        shape = output_shape(op, sources)
    except ValueError as error:
        yield f"{op.name}: {error}"
        return
    if shape != result.shape:
        yield f"{op.name} makes {list(shape)}, but {result.name} is {list(result.shape)}"
        return
    yield from _cut(op, sources, result)
    if isinstance(op, KEEPS_CODES):
        yield from _kept_codes(op, sources, result)
    if isinstance(op, Table) and not result.lo <= op.table.min() <= op.table.max() <= result.hi:
        yield f"{op.name} has entries outside {result.lo}..{result.hi}"
    if isinstance(op, Conv2d | PartLinear):
        if op.weight.min() < -127:
            yield f"{op.name} has a weight of -128"
        if raw_magnitude(op) >= INT32:
            yield f"{op.name} can leave int32 while it accumulates raw codes"
    if isinstance(op, Add):
        yield from _add(op, sources, result)
    if isinstance(op, PowerPool):
        yield from _power_pool(graph, op, result)
    requant = getattr(op, "requant", None)
    if requant is not None:
        yield from _requant(graph, op, requant)


def _cut(op: Op, sources: list[Tensor], result: Tensor) -> Iterator[str]:
    """What belongs to a frame and what to a clip meet in maxima over frames only."""
    cut = {source.per_frame for source in sources}
    if len(cut) > 1:
        yield f"{op.name} joins a tensor of a frame with a tensor of a clip"
    elif result.per_frame != (cut == {True} and not isinstance(op, FrameMax)):
        yield f"{op.name} writes {result.name} on the wrong side of the cut between frame and clip"
    elif isinstance(op, FrameMax) and not sources[0].per_frame:
        yield f"{op.name} takes the maximum over frames of {sources[0].name}, which belongs to a clip"
    elif window_of(op) is not None and not sources[0].per_frame:
        yield f"{op.name} looks along the frames of {sources[0].name}, which belongs to a clip"


def _kept_codes(op: Op, sources: list[Tensor], result: Tensor) -> Iterator[str]:
    """An operator that keeps codes keeps their meaning too."""
    for source in sources:
        if source.zero_point != result.zero_point:
            yield f"{op.name} keeps codes, but {source.name} and {result.name} have different zero points"
        if source.lo < result.lo or source.hi > result.hi:
            yield f"{op.name} keeps codes, but {source.name} exceeds the range of {result.name}"
    joined = [np.asarray(source.scale) for source in sources]
    expected = np.concatenate(joined) if np.ndim(result.scale) else np.stack(joined)
    if np.ndim(result.scale) and not np.array_equal(expected, result.scale):
        yield f"{op.name} keeps codes, but the scales of {result.name} are not those of its inputs in order"
    if not np.ndim(result.scale) and np.any(expected != result.scale):
        yield f"{op.name} keeps codes, but its inputs and {result.name} do not share one scale"


def _add(op: Add, sources: list[Tensor], result: Tensor) -> Iterator[str]:
    if not all(1 <= factor <= MAX_ADD_FACTOR for factor in op.factors):
        yield f"{op.name} has factors {op.factors} outside 1..{MAX_ADD_FACTOR}"
    for tensor in (*sources, result):  # two factors and one multiplier serve all parts
        if np.unique(tensor.scale).size > 1:
            yield f"{op.name} adds parts, but the parts of {tensor.name} do not share one scale"


def _power_pool(graph: Graph, op: PowerPool, result: Tensor) -> Iterator[str]:
    if op.thresholds.shape[1] != result.hi - result.lo:
        yield (
            f"{op.name} has {op.thresholds.shape[1]} thresholds, "
            f"but {result.name} has the codes {result.lo}..{result.hi}"
        )
    if op.powers.min() < 0:
        yield f"{op.name} has a negative power"
    if op.thresholds.size and (op.thresholds.min() < 0 or np.any(np.diff(op.thresholds, axis=1) < 0)):
        yield f"{op.name} has thresholds that are negative or do not ascend"
    bounds = accumulator_range(graph, op)
    if bounds is not None and bounds[1].max() >= FLOAT64:
        worst = int(bounds[1].argmax())
        yield f"{op.name} can reach a sum of {bounds[1].max()} in region {worst}, the limit is {FLOAT64}"


def _requant(graph: Graph, op: Op, requant: Requant) -> Iterator[str]:
    bounds = accumulator_range(graph, op)
    if bounds is None:
        raise TypeError(f"no accumulator range for {type(op).__name__}")
    magnitude = np.maximum(np.abs(bounds[0]), np.abs(bounds[1]))
    m, s = requant.multiplier, requant.shift
    if m.dtype != np.int32 or s.dtype != np.int8 or m.shape != magnitude.shape or s.shape != magnitude.shape:
        found = f"{m.dtype} {list(m.shape)} and {s.dtype} {list(s.shape)}"
        yield f"{op.name} has multipliers and shifts of {found}, not int32 and int8 {list(magnitude.shape)}"
        return
    if m.min() < 2**30:  # an int32 is below 2**31 by itself
        yield f"{op.name} has a multiplier of {m.min()}, below 2**30"
    if s.min() < MIN_SHIFT or s.max() > MAX_SHIFT:
        yield f"{op.name} has a shift outside {MIN_SHIFT}..{MAX_SHIFT}"
        return
    limit = np.minimum(np.int64(1) << (s.astype(np.int64) - 1), MAX_ACCUMULATOR)
    if np.any(magnitude >= limit):
        worst = np.unravel_index(np.argmax(magnitude / limit), magnitude.shape)
        where = list(map(int, worst))
        yield f"{op.name} can reach an accumulator of {magnitude[worst]} at output {where}, the limit is {limit[worst]}"
