"""The integer graph as boxes in execution order, and the edges that do not simply lead to the next box."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from qgait.export.graph import Add, Concat, Conv2d, FrameMax, Graph, MaxPool2d, Op, PartLinear, StripPool, Table


@dataclass(frozen=True)
class Box:
    """One layer: an operator, with the table behind it where it has one. ``inputs`` are box numbers, -1 the silhouette.

    ``scale`` is [smallest, largest] over the parts; ``weight_bits`` is None where there are no weights.
    """

    name: str
    what: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    bits: int
    weight_bits: int | None
    scale: tuple[float, float]
    zero_point: int
    macs: int
    weights: int
    per_frame: bool
    is_state: bool


def boxes(graph: Graph, weight_bits: dict[str, int]) -> list[Box]:
    """The layers of ``graph`` in the order in which they run: those of a frame, then those of an embedding."""
    order = [*graph.frame_ops(), *graph.clip_ops()]
    number: dict[str, int] = {graph.input: -1}
    result: list[Box] = []
    for op in order:
        if isinstance(op, Table) and op.inputs[0] in number and _is_tail(graph, op):
            number[op.output] = number[op.inputs[0]]
            continue
        number[op.output] = len(result)
        tail = next((table for table in graph.readers(op.output) if isinstance(table, Table)), None)
        merged = tail is not None and _is_tail(graph, tail)
        out = graph.tensors[tail.output if tail is not None and merged else op.output]
        scale = [float(out.scale.min()), float(out.scale.max())]
        result.append(
            Box(
                name=op.name,
                what=_what(op) + (f", {_function(tail)}" if tail is not None and merged else ""),
                inputs=tuple(number[name] for name in op.inputs),
                shape=out.shape,
                bits=math.ceil(math.log2(out.hi - out.lo + 1)),
                weight_bits=weight_bits.get(op.name),
                scale=(scale[0], scale[1]),
                zero_point=out.zero_point,
                macs=graph.macs_of(op),
                weights=op.weight.size if isinstance(op, (Conv2d, PartLinear)) else 0,
                per_frame=graph.tensors[op.inputs[0]].per_frame,
                is_state=isinstance(op, FrameMax),
            )
        )
    return result


def describe(graph: Graph, weight_bits: dict[str, int]) -> dict[str, Any]:
    """The network as plain data: its boxes and what it costs."""
    frame_macs, clip_macs = graph.macs()
    source = graph.tensors[graph.input]
    return {
        "model": graph.model,
        "bits": graph.bits,
        "operators": len(graph.ops),
        "parameters": graph.parameters(),
        "macs_per_frame": frame_macs,
        "macs_per_embedding": clip_macs,
        "input": {"shape": list(source.shape), "scale": float(source.scale), "zero_point": source.zero_point},
        "boxes": [asdict(box) for box in boxes(graph, weight_bits)],
    }


def _is_tail(graph: Graph, table: Table) -> bool:
    """Whether ``table`` alone reads the result of an operator that computes."""
    source = table.inputs[0]
    return source != graph.input and graph.readers(source) == [table]


def _function(table: Table | None) -> str:
    return table.name.rsplit(".", 1)[-1].replace("_", " ") if table is not None else ""


def _what(op: Op) -> str:
    match op:
        case Conv2d():
            outputs, kh, kw, inputs = op.weight.shape
            stride = "" if op.stride == (1, 1) else f", stride {op.stride[0]}"
            return f"{kh}×{kw} convolution, {inputs} → {outputs}{stride}"
        case Table():
            return f"table of {_function(op)}"
        case MaxPool2d():
            return f"{op.kernel}×{op.kernel} max pool"
        case Add():
            return "sum of two branches"
        case FrameMax():
            return "running max over the frames"
        case StripPool():
            return f"{' + '.join(map(str, op.bins))} strips, mean + max"
        case PartLinear():
            parts, inputs, outputs = op.weight.shape
            return f"{parts} matrices, {inputs} → {outputs}"
        case Concat():
            return "join of parts"
    return type(op).__name__
