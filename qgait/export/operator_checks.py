"""What every operator must keep to: shapes, sides of the cut, meaning of codes that are kept, then its own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from qgait.export.operators import Op, Tensor


def operator_offences(op: Op, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """One clause for every rule that ``op`` breaks; its tensors must be among ``tensors``."""
    sources, result = op.sources(tensors), tensors[op.output]
    if not sources or (op.arity is not None and len(sources) != op.arity):
        yield f"{op.name}: takes {op.arity or 'one or more'} inputs, not {len(sources)}"
        return
    try:
        shape = op.output_shape(tensors)
    except ValueError as error:
        yield f"{op.name}: {error}"
        return
    if shape != result.shape:
        yield f"{op.name} makes {list(shape)}, but {result.name} is {list(result.shape)}"
        return
    yield from _cut(op, sources, result)
    if op.keeps_codes:
        yield from _kept_codes(op, sources, result)
    yield from op.offences(tensors)


def _cut(op: Op, sources: list[Tensor], result: Tensor) -> Iterator[str]:
    """What belongs to a frame and what to a clip meet in maxima over frames only."""
    cut = {source.per_frame for source in sources}
    if len(cut) > 1:
        yield f"{op.name} joins a tensor of a frame with a tensor of a clip"
    elif result.per_frame != (cut == {True} and not op.ends_frames):
        yield f"{op.name} writes {result.name} on the wrong side of the cut between frame and clip"
    elif op.ends_frames and not sources[0].per_frame:
        yield f"{op.name} takes the maximum over frames of {sources[0].name}, which belongs to a clip"
    elif op.window is not None and not sources[0].per_frame:
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
