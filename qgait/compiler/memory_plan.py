"""Where every tensor lives in the caller's arena: tensors that are never needed at the same time share bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from qgait.compiler.alignment import ALIGNMENT, aligned
from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.program import SILHOUETTE, Program, Step
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax
from qgait.export.schedule import Schedule

HEADER_BYTES = 64  # what the library itself remembers between calls
SHUFFLES = 400


@dataclass(frozen=True)
class Buffer:
    """``size`` bytes that are needed from step ``first`` to step ``last``, both included."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """Whether both are needed at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets in bytes from the aligned start of the arena, all multiples of ``ALIGNMENT``.

    ``tensors`` has every tensor that steps read or write, ``scratch`` the working memory of a step by its symbol.
    The header comes first, then the first frames at ``frames_at`` where a short clip is repeated, then what is kept
    from frame to frame: the running maxima (``state``) and the rings, in which a value takes ``rings[tensor]`` bytes.
    That ends at ``state_end``. Where an embedding runs steps of its own, a copy of what is kept follows, ``copy``
    bytes further on (0: no copy). What frame and clip steps share is last, up to ``size``.
    The arena that a caller gives is ``ALIGNMENT - 1`` bytes larger, so that it may start anywhere.
    """

    tensors: dict[str, int]
    scratch: dict[str, int]
    state: tuple[str, ...]
    state_end: int
    size: int
    rings: dict[str, int]
    frames_at: int
    kept_at: int
    copy: int

    @property
    def arena_bytes(self) -> int:
        """What ``gait_arena_size()`` answers."""
        return self.size + ALIGNMENT - 1

    @property
    def state_bytes(self) -> int:
        """What has to survive from one call to the next, the header included."""
        return self.state_end


def pack(buffers: Sequence[Buffer]) -> tuple[dict[str, int], int]:
    """Offsets by name, and the bytes in use, of buffers that may share memory when they never meet.

    Largest first at the lowest free offset is nearly always optimal here; shuffled orders (always the same ones) are
    tried while the result is above the lower bound, the largest sum of what is needed at one step.
    """
    steps = {buffer.first for buffer in buffers}
    bound = max((sum(aligned(b.size) for b in buffers if b.first <= step <= b.last) for step in steps), default=0)
    order = sorted(buffers, key=lambda buffer: (-buffer.size, buffer.first))
    offsets, size = _place(order)
    shuffle = random.Random(0).shuffle
    for _ in range(SHUFFLES):
        if size == bound:
            break
        shuffle(order)
        candidate, candidate_size = _place(order)
        if candidate_size < size:
            offsets, size = candidate, candidate_size
    return offsets, size


def _place(order: Sequence[Buffer]) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    placed: list[Buffer] = []
    end = 0
    for buffer in order:
        size = aligned(buffer.size)
        offset = 0
        for other in sorted((p for p in placed if p.meets(buffer)), key=lambda p: offsets[p.name]):
            if offset + size <= offsets[other.name]:
                break
            offset = max(offset, offsets[other.name] + aligned(other.size))
        offsets[buffer.name] = offset
        placed.append(buffer)
        end = max(end, offset + size)
    return offsets, end


def plan(program: Program) -> MemoryPlan:
    """Places the tensors and the scratch memory of ``program``.

    Frame and clip steps never run at the same time and pass nothing but the running maxima on, so both use the
    same bytes behind what is kept.
    """
    times = program.graph.schedule
    tensors, kept_at, state_end = _kept(program.graph, times)
    state = tuple(name for name in tensors if name not in times.rings)
    rings = {name: aligned(program.graph.tensors[name].size) for name in times.rings}
    scratch: dict[str, int] = {}
    copy = state_end - kept_at if times.needs_copy else 0
    shared = size = state_end + copy
    for steps in (program.frame, program.clip):
        buffers, shares = _buffers(program, steps, {*state, *rings})
        offsets, used = pack(buffers)
        for step in steps:
            if step.scratch_bytes:
                scratch[step.symbol] = shared + offsets[_scratch(step)]
        for name, owner in shares.items():
            tensors[name] = shared + offsets[owner]
        size = max(size, shared + used)
    for name, view in program.views.items():
        tensors[name] = (scratch if view.base in scratch else tensors)[view.base] + view.offset
    return MemoryPlan(tensors, scratch, state, state_end, size, rings, HEADER_BYTES, kept_at, copy)


def state_bytes(graph: Graph) -> int:
    """What a compiled ``graph`` remembers from one call to the next, on every target; needs no compiler."""
    return _kept(graph, graph.schedule)[2]


def _kept(graph: Graph, times: Schedule) -> tuple[dict[str, int], int, int]:
    """Offsets of the maxima in the order in which a frame updates them, and of the rings; where they begin and end."""
    begin = end = HEADER_BYTES + aligned(times.stored_frames * graph.tensors[graph.input].size)
    offsets: dict[str, int] = {}
    maxima = {op.output: 1 for op in graph.ops if isinstance(op, FrameMax)}
    for name, depth in {**maxima, **times.rings}.items():
        offsets[name] = end
        end += depth * aligned(graph.tensors[name].size)
    return offsets, begin, end


def _scratch(step: Step) -> str:
    return f"scratch of {step.symbol}"


def _buffers(program: Program, steps: tuple[Step, ...], kept: set[str]) -> tuple[list[Buffer], dict[str, str]]:
    """The buffers of one phase, and for every tensor with memory of its own the buffer that it lives in."""
    owner = program.owner
    last = {owner(name): at for at, step in enumerate(steps) for name in step.inputs}
    last[owner(program.graph.output)] = len(steps)  # the embedding is copied to the caller after the last step
    elsewhere = kept | {call.symbol for call in program.calls}
    shares: dict[str, str] = {}
    buffers: dict[str, Buffer] = {}
    for at, step in enumerate(steps):
        for name in map(owner, step.outputs):
            if name in elsewhere or name in shares:
                continue
            size, end = program.graph.tensors[name].size, last.get(name, at)
            over = _overwritten(program, step, last, at)
            place = None if over is None else shares.get(over)
            if place is None or buffers[place].size < size:
                shares[name] = name
                buffers[name] = Buffer(name, size, at, end)
            else:
                shares[name] = place
                buffers[place] = Buffer(place, buffers[place].size, buffers[place].first, max(end, at))
        if step.scratch_bytes:
            # tensors that lie in the scratch memory of an NPU's run are written before it or read after it
            inside = [early for early in range(at) if step.symbol in map(owner, steps[early].outputs)]
            first, end = min(inside, default=at), max(at, last.get(step.symbol, at))
            buffers[_scratch(step)] = Buffer(_scratch(step), step.scratch_bytes, first, end)
    read = {owner(name) for step in steps for name in step.inputs}
    missing = read - shares.keys() - elsewhere - {SILHOUETTE}
    if missing:
        raise ValueError(f"no kernel writes {', '.join(sorted(missing))}")
    return list(buffers.values()), shares


def _overwritten(program: Program, step: Step, last: dict[str, int], at: int) -> str | None:
    """The input whose memory the result may take: nobody reads it later, and the kernel itself reads it only once.

    A convolution whose shortcut is its own input still reads the neighbours of what it has written.
    """
    if isinstance(step, NpuCall) or step.in_place is None or {step.in_place, step.output} & program.views.keys():
        return None
    once = [program.owner(name) for name in step.inputs].count(step.in_place) == 1
    return step.in_place if once and last[step.in_place] == at else None
