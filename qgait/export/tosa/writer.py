"""Integer graphs as TOSA 1.0 (profile PRO-INT): a segment on one value for an NPU, or a whole clip."""

from __future__ import annotations

from collections.abc import Sequence

from qgait.export.graph import Graph
from qgait.export.operators import Op
from qgait.export.segments import BEFORE, Segment
from qgait.export.timing import repeated
from qgait.export.tosa.builder import TosaBuilder
from qgait.export.tosa.flatbuffer import to_bytes
from qgait.export.tosa.forms import AS_IT_STANDS, COLUMNS, PLAIN, TURNED, Form, formed


def segment_bytes(graph: Graph, segment: Segment, form: Form = AS_IT_STANDS) -> bytes:
    """A TOSA file of one value: int8 [1, H, W, C] and [1, P, C], under the names of the graph's tensors.

    Inputs are the segment's inputs, and behind them the running maxima so far (``NAME_before``). ``form`` chooses
    between equal ways to write what is inside; inputs and outputs, and all codes, are the same in each.
    Raises QgaitError when tosa-tools is missing, or an addition scales by less than TOSA can (see docs/integers.md).
    """
    b = TosaBuilder()
    for name in segment.inputs:
        b.input(name, (1, *graph.tensors[name].shape))
    for name in segment.state:
        b.input(name + BEFORE, (1, *graph.tensors[name].shape))
    for op in segment.ops:
        b.layer = op.name
        inputs = [_laid(b, graph, name, form.input_layout(op)) for name in op.inputs]
        before = [op.output + BEFORE] if op.ends_frames else []
        _layer(b, graph, op, [*before, *inputs], form)
    for name in segment.outputs:
        _laid(b, graph, name, PLAIN)
    b.block.outputs += segment.outputs
    return to_bytes(b.block)


def clip_bytes(graph: Graph, frames: int, outputs: Sequence[str] = ()) -> bytes:
    """A TOSA file of a clip: int8 [frames, H, W, 1] silhouette codes -> int8 [1, P, C] embedding codes.

    ``outputs`` are tensors that operators make, to give in place of the embedding: whole series [values, ...] of a
    tensor of a frame, [1, ...] of a tensor of a clip. Raises QgaitError like ``segment_bytes``.
    """
    b = TosaBuilder()
    b.layer = "clip"
    clip = b.input(graph.input, (frames, *graph.tensors[graph.input].shape))
    whole = b.concat([clip] * (repeated(frames, graph.min_frames) // frames), axis=0)
    for op in graph.ops:
        _layer(b, graph, op, [whole if name == graph.input else name for name in op.inputs])
    b.block.outputs += outputs or [graph.output]
    return to_bytes(b.block)


def _laid(b: TosaBuilder, graph: Graph, name: str, layout: str) -> str:
    """The tensor ``name`` in a layout, made of another one when it is not there."""
    wanted = name + layout
    if wanted not in b.block.values:
        if name + COLUMNS in b.block.values:
            made = b.reshape(name + COLUMNS, (1, *graph.tensors[name].shape))
        else:
            made = b.exchanged(name + (TURNED if layout == PLAIN else PLAIN))
        b.name(made, wanted)
    return wanted


def _layer(b: TosaBuilder, graph: Graph, op: Op, inputs: list[str], form: Form = AS_IT_STANDS) -> None:
    """Adds ``op`` on the tensors ``inputs``; a FrameMax takes the maximum so far first, or all values at once."""
    b.layer = op.name
    b.name(formed(b, graph, op, inputs, form), op.output + form.layout(op))
