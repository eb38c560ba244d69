"""Invariants of an integer graph. ``check_graph`` names the first offences, counts all and refuses the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

import numpy as np

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operator_checks import operator_offences
from qgait.export.operators import Tensor
from qgait.network_limits import LARGEST, LONGEST
from qgait.shown import listed, short


def check_graph(graph: Graph) -> None:
    """Raises QgaitError with clauses for what offends when ``graph`` breaks a rule that runtimes rely on."""
    offences = list(_structure(graph))
    named = {graph.input, graph.output}.union(*((*op.inputs, op.output) for op in graph.ops))
    if named <= graph.tensors.keys():  # the other rules look tensors up
        wrong = {name: list(_tensor(tensor)) for name, tensor in graph.tensors.items()}
        offences += [offence for found in wrong.values() for offence in found]
        for op in graph.ops:
            if not any(wrong[name] for name in (*op.inputs, op.output)):  # they rely on sound tensors
                offences += operator_offences(op, graph.tensors)
        offences += list(_ends(graph))
    if not offences:  # windows that are out of range have no times
        offences += list(_time(graph))
    if offences:
        count = f"{len(offences)} rule{'s' if len(offences) > 1 else ''} of the integer graph"
        raise QgaitError(
            f"The graph of {short(graph.model, 40)!r} breaks {count}: {listed(offences)}.",
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
    if graph.output not in written or not graph.ops:
        yield f"the output {graph.output} is not written"
    yield from (f"tensor {name} is never written" for name in graph.tensors if name not in written)
    read = {name for op in graph.ops for name in op.inputs}
    unread = sorted(written - read - {graph.output})
    if unread:
        yield f"nothing reads {', '.join(unread)}, and the output is {graph.output}"
    if graph.output in read:
        yield f"the output {graph.output} is read by another layer"
    if graph.input not in graph.tensors:
        yield f"the input {graph.input} is not a tensor of the graph"


def _ends(graph: Graph) -> Iterator[str]:
    """Silhouettes of one frame in, parts of one clip out."""
    source, result = graph.tensors[graph.input], graph.tensors[graph.output]
    if len(source.shape) != 3 or source.shape[2] != 1 or not source.per_frame:
        yield f"the input {source.name} is not one [H, W, 1] silhouette a frame"
    if (source.zero_point, source.lo, source.hi) != (-128, -128, 127) or np.any(source.scale != np.float32(1 / 255)):
        yield f"the input {source.name} does not have scale 1/255, zero point -128 and codes -128..127"
    if len(result.shape) != 2 or result.per_frame:
        yield f"the output {result.name} is not one [P, C] embedding a clip"


def _tensor(tensor: Tensor) -> Iterator[str]:
    if not tensor.shape or min(tensor.shape) < 1 or len(tensor.shape) not in (2, 3):
        yield f"{tensor.name} has shape {list(tensor.shape)}, neither [H, W, C] nor [P, C]"
    elif prod(tensor.shape) > LARGEST:
        yield f"{tensor.name} has {prod(tensor.shape):,} codes, more than {LARGEST:,}"
    if not -128 <= tensor.lo <= tensor.zero_point <= tensor.hi <= 127:
        numbers = f"lo {tensor.lo}, zero point {tensor.zero_point}, hi {tensor.hi}"
        yield f"{tensor.name} has {numbers}, which do not rise from -128 to 127"
    scale = np.asarray(tensor.scale)
    parts = tensor.shape[:1] if len(tensor.shape) == 2 else ()
    if scale.dtype != np.float32 or scale.shape != parts:
        yield f"{tensor.name} has a {scale.dtype} scale of shape {list(scale.shape)}, not float32 {list(parts)}"
    elif not np.all(np.isfinite(scale) & (scale > 0)):
        yield f"{tensor.name} has a scale that is not finite and positive"


def _time(graph: Graph) -> Iterator[str]:
    """Values that are joined exist in equal numbers, and every clip makes at least one of each."""
    if graph.min_frames < 1:
        yield f"a clip of {graph.min_frames} frames is not possible"
        return
    if graph.min_frames > LONGEST:
        yield f"clips are repeated to {graph.min_frames:,} frames, more than {LONGEST:,}"
        return
    try:
        found = graph.series
    except ValueError as error:
        yield str(error)
        return
    for name, values in found.items():
        if values.length(graph.min_frames) < 1:
            yield f"{name} has no value in a clip of {graph.min_frames} frames, the fewest that are computed"
            return
    try:
        graph.schedule  # noqa: B018 (says whether there is one)
    except ValueError as error:
        yield str(error)
