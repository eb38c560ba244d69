"""The integer graph as boxes in execution order, and the edges that do not simply lead to the next box."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from qgait.compiler.memory_plan import state_bytes
from qgait.export.graph import Graph
from qgait.export.operators import (
    Table,
)


@dataclass(frozen=True)
class Box:
    """One layer: an operator, with the table behind it where it has one. ``inputs`` are box numbers, -1 the silhouette.

    ``scale`` is [smallest, largest] over the parts; ``weight_bits`` is None where there are no weights. ``macs`` are
    those of a frame (the mean over a long clip) or of an embedding. ``every``: it makes one value in so many frames;
    ``kept``: so many of its values are kept from one frame to the next.
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
    every: int
    kept: int


def boxes(graph: Graph, weight_bits: dict[str, int]) -> list[Box]:
    """The layers of ``graph`` in the order in which they run: those of a frame, then those of an embedding."""
    order = [*graph.frame_ops(), *graph.clip_ops()]
    times = graph.schedule
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
        every = times.series[out.name].stride if out.name in times.series else 1
        scale = [float(out.scale.min()), float(out.scale.max())]
        result.append(
            Box(
                name=op.name,
                what=op.words + (f", {tail.function}" if tail is not None and merged else ""),
                inputs=tuple(number[name] for name in op.inputs),
                shape=out.shape,
                bits=math.ceil(math.log2(out.hi - out.lo + 1)),
                weight_bits=weight_bits.get(op.name),
                scale=(scale[0], scale[1]),
                zero_point=out.zero_point,
                macs=op.macs(graph.tensors) // every,
                weights=op.parameters,
                per_frame=graph.tensors[op.inputs[0]].per_frame,
                every=every,
                kept=1 if op.ends_frames else times.rings.get(out.name, 0),
            )
        )
    return result


def describe(graph: Graph, weight_bits: dict[str, int]) -> dict[str, Any]:
    """The network as plain data: its boxes, what it costs, and what it keeps from one frame to the next."""
    source, times = graph.tensors[graph.input], graph.schedule
    return {
        "model": graph.model,
        "bits": graph.bits,
        "operators": len(graph.ops),
        "parameters": graph.parameters,
        "macs_per_frame": graph.frame_macs,
        "macs_per_embedding": graph.clip_macs,
        "state_bytes": state_bytes(graph),
        "delay": times.delay,
        "min_frames": graph.min_frames,
        "input": {
            "shape": list(source.shape),
            "scale": float(source.scale),
            "zero_point": source.zero_point,
            "kept": times.rings.get(graph.input, 0),
        },
        "boxes": [asdict(box) for box in boxes(graph, weight_bits)],
    }


def _is_tail(graph: Graph, table: Table) -> bool:
    """Whether ``table`` alone reads the result of an operator that computes."""
    source = table.inputs[0]
    return source != graph.input and graph.readers(source) == [table]
