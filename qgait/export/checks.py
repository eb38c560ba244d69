"""Invariants of an integer graph. ``check_graph`` names every offence at once and refuses the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from qgait.errors import QgaitError
from qgait.export.accumulator_range import accumulator_range, raw_magnitude
from qgait.export.graph import Concat, Conv2d, FrameMax, Graph, MaxPool2d, Op, PartLinear, Requant, Table, Tensor
from qgait.export.shapes import output_shape
from qgait.fixedpoint import MAX_ACCUMULATOR, MAX_ADD_FACTOR, MAX_SHIFT, MIN_SHIFT

INT32 = 2**31


def check_graph(graph: Graph) -> None:
    """Raises QgaitError with one clause an offence when ``graph`` breaks a rule that runtimes rely on."""
    offences = list(_structure(graph))
    named = {graph.input, graph.output}.union(*((*op.inputs, op.output) for op in graph.ops))
    if named <= graph.tensors.keys():  # the other rules look tensors up
        offences += [offence for tensor in graph.tensors.values() for offence in _tensor(tensor)]
        offences += [offence for op in graph.ops for offence in _operator(graph, op)]
        offences += list(_ends(graph))
    if offences:
        count = f"{len(offences)} rule{'s' if len(offences) > 1 else ''} of the integer graph"
        raise QgaitError(
            f"The graph of {graph.model!r} breaks {count}: {'; '.join(offences)}.",
            "calibrate and export the model again; if it is unchanged, report this as a defect.",
        )


def _structure(graph: Graph) -> Iterator[str]:
    """Names: unique, defined, written once and before they are read; one output."""
    for name, count in Counter(op.name for op in graph.ops).items():
        if count > 1:
            yield f"{count} layers are called {name}"
    yield from (f"tensor {t.name} is listed as {key}" for key, t in graph.tensors.items() if t.name != key)
    written = {graph.input}
    for op in graph.ops:
        for name in op.inputs:
            if name not in graph.tensors:
                yield f"{op.name} reads {name}, which is not a tensor of the graph"
            elif name not in written:
                yield f"{op.name} reads {name} before it is written"
        if op.output not in graph.tensors:
            yield f"{op.name} writes {op.output}, which is not a tensor of the graph"
        if op.output in written:
            yield f"{op.name} writes {op.output} a second time"
        written.add(op.output)
    yield from (f"tensor {name} is never written" for name in graph.tensors if name not in written)
    read = {name for op in graph.ops for name in op.inputs}
    unread = sorted(written - read - {graph.output})
    if unread:
        yield f"nothing reads {', '.join(unread)}, and the output is {graph.output}"
    if graph.output not in written or not graph.ops:
        yield f"the output {graph.output} is not written"
    if graph.output in read:
        yield f"the output {graph.output} is read by another layer"
    if graph.input not in graph.tensors:
        yield f"the input {graph.input} is not a tensor of the graph"


def _ends(graph: Graph) -> Iterator[str]:
    """Silhouettes of one frame in, parts of one clip out."""
    source, result = graph.tensors[graph.input], graph.tensors[graph.output]
    if len(source.shape) != 3 or source.shape[2] != 1 or not source.per_frame:
        yield f"the input {source.name} is not one [H, W, 1] silhouette a frame"
    if (source.zero_point, source.lo, source.hi) != (-128, -128, 127) or source.scale != np.float32(1 / 255):
        yield f"the input {source.name} does not have scale 1/255, zero point -128 and codes -128..127"
    if len(result.shape) != 2 or result.per_frame:
        yield f"the output {result.name} is not one [P, C] embedding a clip"


def _tensor(tensor: Tensor) -> Iterator[str]:
    if not tensor.shape or min(tensor.shape) < 1 or len(tensor.shape) not in (2, 3):
        yield f"{tensor.name} has shape {list(tensor.shape)}, neither [H, W, C] nor [P, C]"
    if not -128 <= tensor.lo <= tensor.zero_point <= tensor.hi <= 127:
        numbers = f"lo {tensor.lo}, zero point {tensor.zero_point}, hi {tensor.hi}"
        yield f"{tensor.name} has {numbers}, which do not rise from -128 to 127"
    scale = np.asarray(tensor.scale)
    parts = tensor.shape[:1] if len(tensor.shape) == 2 else ()
    if scale.dtype != np.float32 or scale.shape != parts:
        yield f"{tensor.name} has a {scale.dtype} scale of shape {list(scale.shape)}, not float32 {list(parts)}"
    elif not np.all(np.isfinite(scale) & (scale > 0)):
        yield f"{tensor.name} has a scale that is not finite and positive"


def _operator(graph: Graph, op: Op) -> Iterator[str]:
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
    cut = {source.per_frame for source in sources}
    if len(cut) > 1:
        yield f"{op.name} joins a tensor of a frame with a tensor of a clip"
    elif result.per_frame != (cut == {True} and not isinstance(op, FrameMax)):
        yield f"{op.name} writes {result.name} on the wrong side of the cut between frame and clip"
    elif isinstance(op, FrameMax) and not sources[0].per_frame:
        yield f"{op.name} takes the maximum over frames of {sources[0].name}, which belongs to a clip"
    if isinstance(op, MaxPool2d | FrameMax | Concat):
        yield from _kept_codes(op, sources, result)
    if isinstance(op, Table) and not result.lo <= op.table.min() <= op.table.max() <= result.hi:
        yield f"{op.name} has entries outside {result.lo}..{result.hi}"
    if isinstance(op, Conv2d | PartLinear):
        if op.weight.min() < -127:
            yield f"{op.name} has a weight of -128"
        if raw_magnitude(op) >= INT32:
            yield f"{op.name} can leave int32 while it accumulates raw codes"
    factors = getattr(op, "factors", (1, 1))
    if not all(1 <= factor <= MAX_ADD_FACTOR for factor in factors):
        yield f"{op.name} has factors {factors} outside 1..{MAX_ADD_FACTOR}"
    requant = getattr(op, "requant", None)
    if requant is not None:
        yield from _requant(graph, op, requant)


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
