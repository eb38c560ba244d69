"""Where every tensor lives in the caller's arena: tensors that are never needed at the same time share bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from qgait.export.graph import FrameMax, Graph
from qgait.runtime.schedule import Schedule, schedule
from qgait.runtime.tvm.program import SILHOUETTE, Kernel, Program
from qgait.runtime.views import ALIGNMENT

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

    ``tensors`` has every tensor that kernels read or write, ``scratch`` the working memory of a kernel by its symbol.
    The header comes first, then the first frames at ``frames_at`` where a short clip is repeated, then what is kept
    from frame to frame: the running maxima (``state``) and the rings, in which a value takes ``rings[tensor]`` bytes.
    That ends at ``state_end``. Where an embedding runs steps of its own, a copy of what is kept follows, ``copy``
    bytes further on (0: no copy). What frame and clip kernels share is last, up to ``size``.
    The arena that a caller gives is ``ALIGNMENT - 1`` bytes larger, so that it may start anywhere.
    """

    tensors: dict[str, int]
    scratch: dict[str, int]
    state: tuple[str, ...]
    state_end: int
    size: int
    schedule: Schedule
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


def aligned(size: int) -> int:
    """``size`` rounded up to ``ALIGNMENT``."""
    return -(-size // ALIGNMENT) * ALIGNMENT


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

    Frame and clip kernels never run at the same time and pass nothing but the running maxima on, so both use the
    same bytes behind what is kept.
    """
    times = schedule(program.graph)
    tensors, kept_at, state_end = _kept(program.graph, times)
    state = tuple(name for name in tensors if name not in times.rings)
    rings = {name: aligned(program.graph.tensors[name].size) for name in times.rings}
    scratch: dict[str, int] = {}
    copy = state_end - kept_at if times.needs_copy else 0
    shared = size = state_end + copy
    for kernels in (program.frame, program.clip):
        buffers, shares = _buffers(program, kernels, {*state, *rings})
        offsets, used = pack(buffers)
        for kernel in kernels:
            if kernel.scratch_bytes:
                scratch[kernel.symbol] = shared + offsets[_scratch(kernel)]
        for name, owner in shares.items():
            tensors[name] = shared + offsets[owner]
        size = max(size, shared + used)
    for name, view in program.views.items():
        tensors[name] = tensors[view.base] + view.offset
    return MemoryPlan(tensors, scratch, state, state_end, size, times, rings, HEADER_BYTES, kept_at, copy)


def state_bytes(graph: Graph) -> int:
    """What a compiled ``graph`` remembers from one call to the next, on every target; needs no compiler."""
    return _kept(graph, schedule(graph))[2]


def _kept(graph: Graph, times: Schedule) -> tuple[dict[str, int], int, int]:
    """Offsets of the maxima in the order in which a frame updates them, and of the rings; where they begin and end."""
    begin = end = HEADER_BYTES + aligned(times.stored_frames * graph.tensors[graph.input].size)
    offsets: dict[str, int] = {}
    maxima = {op.output: 1 for op in graph.ops if isinstance(op, FrameMax)}
    for name, depth in {**maxima, **times.rings}.items():
        offsets[name] = end
        end += depth * aligned(graph.tensors[name].size)
    return offsets, begin, end


def _scratch(kernel: Kernel) -> str:
    return f"scratch of {kernel.symbol}"


def _buffers(program: Program, kernels: tuple[Kernel, ...], kept: set[str]) -> tuple[list[Buffer], dict[str, str]]:
    """The buffers of one phase, and for every tensor but those that are kept the buffer that it lives in."""
    owner = program.owner
    last = {owner(name): step for step, kernel in enumerate(kernels) for name in kernel.inputs}
    last[owner(program.graph.output)] = len(kernels)  # the embedding is copied to the caller after the last kernel
    shares: dict[str, str] = {}
    buffers: dict[str, Buffer] = {}
    for step, kernel in enumerate(kernels):
        name = owner(kernel.output)
        if name not in kept and name not in shares:
            size, end = program.graph.tensors[name].size, last.get(name, step)
            over = _overwritten(program, kernel, last, step)
            place = None if over is None else shares.get(over)
            if place is None or buffers[place].size < size:
                shares[name] = name
                buffers[name] = Buffer(name, size, step, end)
            else:
                shares[name] = place
                buffers[place] = Buffer(place, buffers[place].size, buffers[place].first, max(end, step))
        if kernel.scratch_bytes:
            buffers[_scratch(kernel)] = Buffer(_scratch(kernel), kernel.scratch_bytes, step, step)
    read = {owner(name) for kernel in kernels for name in kernel.inputs}
    missing = read - shares.keys() - kept - {SILHOUETTE}
    if missing:
        raise ValueError(f"no kernel writes {', '.join(sorted(missing))}")
    return list(buffers.values()), shares


def _overwritten(program: Program, kernel: Kernel, last: dict[str, int], step: int) -> str | None:
    """The input whose memory the result may take: nobody reads it later, and the kernel itself reads it only once.

    A convolution whose shortcut is its own input still reads the neighbours of what it has written.
    """
    over = kernel.in_place
    if over is None or {over, kernel.output} & program.views.keys():
        return None
    once = [program.owner(name) for name in kernel.inputs].count(over) == 1
    return over if once and last[over] == step else None
