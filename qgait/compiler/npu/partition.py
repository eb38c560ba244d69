"""Cuts the integer graph into segments for the NPU and operators for the host core.

Operators may share a segment when they run at the same moments: in the same steps of a stream, or once an embedding.
Every operator has a *depth*: 0 where nothing is in front of it, that of its inputs where they are of its own kind
(same place, same moments), one more where they are not. What has one depth, place and moments is one segment. Depths
never fall from an input to its reader and rise wherever one unit hands over to another, so units in the order of their
depths find their inputs made, and no two segments wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from qgait.compiler.npu.ethosu.limits import Stay, stays
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax, Op
from qgait.export.schedule import output_tensor
from qgait.export.segments import Segment, segment_of
from qgait.export.timing import Series
from qgait.targets.accelerators import NpuTarget

Place = Literal["npu", "host"]
Unit = Segment | Op

ALONE = Stay(
    "between windows it would be a command stream without multiply-accumulates",
    "leave it there: handing its tensors over would cost more than the work.",
)
MAXIMUM = Stay(
    "the host takes the running maximum faster, by the estimates", "`host_fallback=False` brings it to the NPU."
)
HEAD = Stay("the host computes the head faster, by the estimates", "`host_fallback=False` brings it to the NPU.")


@dataclass(frozen=True, eq=False)
class Partition:
    """``frame`` runs in the steps of a stream, ``clip`` once an embedding, both in this order.

    ``host`` says for every operator that is no part of a segment why, by its name.
    """

    frame: tuple[Unit, ...]
    clip: tuple[Unit, ...]
    host: Mapping[str, Stay]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What the NPU runs."""
        return tuple(unit for unit in (*self.frame, *self.clip) if isinstance(unit, Segment))


def partition(
    graph: Graph,
    accelerator: NpuTarget,
    maximum: Place = "npu",
    head: Place = "npu",
    left: Mapping[str, Stay] | None = None,
) -> Partition:
    """The segments of ``graph``. Running maxima and what runs once an embedding go to where they are told to go.

    Operators that are ``left`` to the host, by name, stay there for the reason given. So does a segment of a frame that
    has no multiply-accumulate.
    """
    host = {op.name: why for op in graph.ops if (why := stays(graph, op, accelerator)) is not None}
    host |= left or {}
    if maximum == "host":
        host |= {op.name: MAXIMUM for op in graph.ops if isinstance(op, FrameMax)}
    if head == "host":
        host = {op.name: HEAD for op in graph.clip_ops()} | host
    while True:
        frame = _units(graph, list(graph.frame_ops()), host, "frame")
        alone = [op.name for unit in frame if isinstance(unit, Segment) and _idle(graph, unit) for op in unit.ops]
        if not alone:
            break
        host |= dict.fromkeys(alone, ALONE)
    clip = _units(graph, list(graph.clip_ops()), host, "head")
    made = Partition(frame, clip, host)
    _check(graph, made)
    return made


def _idle(graph: Graph, segment: Segment) -> bool:
    return not any(op.macs(graph.tensors) for op in segment.ops)


def _units(graph: Graph, ops: list[Op], host: Mapping[str, Stay], name: str) -> tuple[Unit, ...]:
    """The operators of one phase as segments and single operators, in an order in which they can run."""
    times = graph.series
    kinds: dict[str, tuple[Place, Series | None]] = {}
    depths: dict[str, int] = {}
    groups: dict[tuple[int, Place, Series | None], list[Op]] = {}
    for op in ops:
        place: Place = "host" if op.name in host else "npu"
        kind = (place, times.get(output_tensor(op)))
        above = [depths[source] + (kinds[source] != kind) for source in op.inputs if source in depths]
        kinds[op.output], depths[op.output] = kind, max(above, default=0)
        groups.setdefault((depths[op.output], *kind), []).append(op)
    units: list[Unit] = []
    for (_, where, _), members in sorted(groups.items(), key=lambda group: group[0][0]):
        if where == "npu":
            number = sum(isinstance(unit, Segment) for unit in units) + 1
            units.append(segment_of(graph, tuple(members), name if number == 1 else f"{name}{number}"))
        else:
            units += members
    return tuple(units)


def _check(graph: Graph, made: Partition) -> None:
    """ValueError unless every operator is there once and everything is made before it is read."""
    ops: list[Op] = []
    known = {graph.input}
    for unit in (*made.frame, *made.clip):
        missing = set(unit.inputs) - known
        if missing:
            raise ValueError(f"{unit.name} reads {sorted(missing)[0]} before it is made")
        inside = unit.ops if isinstance(unit, Segment) else (unit,)
        known |= {op.output for op in inside}
        ops += inside
    if sorted(map(id, ops)) != sorted(map(id, graph.ops)):
        raise ValueError("the parts of the graph are not the graph")


def staying(graph: Graph, made: Partition) -> Iterator[tuple[Op, Stay]]:
    """The operators that stay on the host, in the order of the graph."""
    return ((op, made.host[op.name]) for op in graph.ops if op.name in made.host)
