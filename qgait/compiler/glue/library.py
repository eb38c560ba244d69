"""The C around the kernels: the header, the four calls that run all steps in order, and the bytes of all constants.

What is the same for every network is C in ``qgait/compiler/device``; here are the tables and calls that fill it in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.alignment import ALIGNMENT, aligned
from qgait.compiler.device import c_source
from qgait.compiler.glue.calls import Calls, plain
from qgait.compiler.glue.streaming import streaming
from qgait.compiler.memory_plan import MemoryPlan
from qgait.compiler.npu.call import driver
from qgait.compiler.tvm.program import Program
from qgait.runtime.bundle_names import DEFAULT_PREFIX


@dataclass(frozen=True, eq=False)
class StoredConstant:
    """An array of the kernel that computes ``layers``, at ``offset`` of the library's constants."""

    layers: tuple[str, ...]
    offset: int
    array: NDArray[np.generic]


@dataclass(frozen=True)
class Glue:
    """The generated sources of one library: its header, C files by name, and the bytes of all constants."""

    header: str
    sources: dict[str, str]
    weights: bytes
    constants: tuple[StoredConstant, ...] = ()

    def constant_at(self, offset: int) -> StoredConstant | None:
        """The constant that holds a byte of ``weights``; None for one between two of them."""
        inside = (one for one in self.constants if one.offset <= offset < one.offset + one.array.nbytes)
        return next(inside, None)


def glue(program: Program, plan: MemoryPlan, prefix: str = DEFAULT_PREFIX) -> Glue:
    """Everything that the kernels of ``program`` need to become a library with the memory of ``plan``."""
    offsets, weights = _pack_constants(program)
    places = {name: f"t{i}_{re.sub(r'[^0-9A-Za-z_]', '_', name)}" for i, name in enumerate(plan.tensors)}
    sources = {
        "glue.c": _calls(Calls(program, offsets, prefix), plan, places, prefix),
        "arena.h": c_source("arena.h.in", prefix, alignment=ALIGNMENT, maxima=_maxima(program, plan, places)),
        "weights.c": c_source("weights.c", prefix),
        "description.c": c_source("description.c", prefix),
    }
    stored = tuple(
        StoredConstant(tuple(step.ops), offset, array)
        for step in program.steps
        for offset, array in zip(offsets[step.symbol], step.constants, strict=True)
    )
    return Glue(header(program, plan, prefix), sources, weights, stored)


def header(program: Program, plan: MemoryPlan, prefix: str = DEFAULT_PREFIX) -> str:
    """The text of gait.h."""
    graph, target = program.graph, program.target_name
    height, width, _ = graph.tensors[graph.input].shape
    embedding = graph.tensors[graph.output]
    parts, channels = embedding.shape
    scales = np.broadcast_to(embedding.scale, (parts,))
    return c_source(
        "gait.h.in",
        prefix,
        title=plain(f"Gait embeddings by {graph.model} {graph.bits} for the target {target}, compiled by qgait."),
        model=plain(graph.model),
        bits=plain(graph.bits),
        target=plain(target),
        height=height,
        width=width,
        parts=parts,
        channels=channels,
        zero_point=embedding.zero_point,
        scales=" \\\n".join(f"        {float(scale):.9e}f," for scale in scales) + " \\",
        arena_bytes=plan.arena_bytes,
        frame_macs=graph.frame_macs,
        embedding_macs=graph.clip_macs,
        npu=_npu_header(program, prefix),
    )


def _npu_header(program: Program, prefix: str) -> str:
    """What the header says of the NPU, where there is one."""
    if not program.calls:
        return ""
    return c_source(
        "gait_npu.h.in",
        prefix,
        driver=driver(program.target),
        scratch=max(call.scratch_bytes for call in program.calls),
        fast=max(call.fast_bytes for call in program.calls),
    )


def _pack_constants(program: Program) -> tuple[dict[str, list[int]], bytes]:
    """Offsets of every step's constants by its symbol, and the bytes; equal constants are stored once."""
    blob = bytearray()
    known: dict[bytes, int] = {}
    offsets: dict[str, list[int]] = {}
    for step in program.steps:
        offsets[step.symbol] = []
        for array in step.constants:
            data = np.ascontiguousarray(array).tobytes()
            if data not in known:
                known[data] = len(blob)
                blob += data.ljust(aligned(len(data)), b"\0")
            offsets[step.symbol].append(known[data])
    return offsets, bytes(blob) or bytes(ALIGNMENT)


def _calls(calls: Calls, plan: MemoryPlan, places: dict[str, str], prefix: str) -> str:
    """The text of glue.c."""
    program = calls.program
    if program.graph.schedule.is_plain:
        template = "glue_frames.c.in"
        steps: dict[str, object] = {
            "frame_steps": calls.of(program.frame, lambda name: f"base + {places[name]}"),
            "clip_steps": calls.of(program.clip, lambda name: f"base + {places[name]}"),
        }
    else:
        template, steps = "glue_streams.c.in", streaming(calls, plan, places)
    return c_source(
        template,
        prefix,
        title=plain(f"{program.graph.model} {program.graph.bits} for {program.target_name}"),
        network="\n".join([*_network(program, plan, places, prefix), *calls.streams()]),
        embedding=places[program.graph.output],
        **steps,
    )


def _network(program: Program, plan: MemoryPlan, places: dict[str, str], prefix: str) -> list[str]:
    """What glue.c says of the network first: where its tensors are, and its kernels."""
    lines = [f"#define MAGIC {_magic(program)}u", f"#define NPU_RUNS {len(program.calls)}", ""]
    lines += ["/* Bytes from the aligned start of the arena. Tensors that never meet share memory. */", "enum {"]
    lines += [f"    {places[name]} = {offset}," for name, offset in plan.tensors.items()]
    lines += [f"    scratch_{symbol} = {offset}," for symbol, offset in plan.scratch.items()]
    lines += ["};", "", f"extern const unsigned char {prefix}_weights[];"]
    return lines + [f"{kernel.prototype()};" for kernel in program.kernels]


def _maxima(program: Program, plan: MemoryPlan, places: dict[str, str]) -> str:
    """Sets the running maxima to what is there before the first frame."""
    lines = []
    for name in plan.state:
        lines += [f"    for (size_t i = 0; i < {program.graph.tensors[name].size}; i++)"]
        lines += [f"        base[{places[name]} + i] = -128;"]
    return "\n".join(lines)


def _magic(program: Program) -> str:
    """Tells the arena of one model from that of another."""
    digest = hashlib.sha256(f"{program.graph.model} {program.graph.bits}".encode())
    for step in program.steps:
        digest.update(step.symbol.encode())
    return f"0x{digest.hexdigest()[:8]}"
