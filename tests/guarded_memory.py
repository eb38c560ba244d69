"""Libraries linked with guarded/walks.c: guards around arena, frame, codes and constants, on any processor.

``build`` links what `assemble` made, as it is or under a sanitizer; ``Build.run`` runs it here or under QEMU.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Literal

import numpy as np
from example_graphs import silhouettes

from qgait.compiler.assembly import Assembly
from qgait.compiler.device import DEVICE
from qgait.compiler.link import C_FLAGS, Linker, zig_command
from qgait.compiler.tvm.emit import llvm_text
from qgait.export.graph import Graph
from qgait.runtime.programs import command_of
from qgait.runtime.reference import Reference
from qgait.targets.processors import Target, microcontroller

SOURCES = Path(__file__).parent / "guarded"
PAGE, MPU_GRANULE = 4096, 32
LONG_PERIOD = 4  # frames that are pushed again and again

# "guards": pages or a protection unit. "ubsan": with clang's checks of undefined behaviour in all C besides.
# "asan": on a heap, gcc's checks of addresses and of undefined behaviour in all C, LLVM's of addresses in the kernels.
# "valgrind": on a heap, a plain program for valgrind. Both are for this machine.
How = Literal["guards", "ubsan", "asan", "valgrind"]
Edit = Callable[[str], str]

UBSAN = ("-fsanitize=undefined", "-fsanitize-trap=undefined")
GCC_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--exit-on-first-error=yes", "--undef-value-errors=yes")


@dataclass(frozen=True)
class Build:
    """A program in ``folder`` for ``target``; the clips that it walks lie beside it."""

    program: Path
    target: Target
    how: How

    def run(
        self, shifts: int = 8, interleaved: int = 2, pushes: int = 0, wait: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Arenas at ``shifts`` shifts from each guard, rounds of walkers in turn, pushes as `cases` was told."""
        words = ["cases", str(shifts), str(interleaved), str(pushes)]
        command = command_of(self.target, self.program, *words)
        if self.how == "valgrind":
            command = [*VALGRIND, *command]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.program.parent, timeout=wait)


def build(
    assembly: Assembly,
    folder: Path,
    how: How = "guards",
    pushes: int = 0,
    tight_in_front: bool = False,
    edit: Edit = lambda text: text,
) -> Build:
    """Links ``assembly``; ``edit`` changes glue.c, header and arena.h first, as a defect would.

    ``pushes``: how often `Build.run` will push frames on one arena. ``tight_in_front``: the constants begin at their
    guard instead of ending there.
    """
    target, glue = assembly.program.target, assembly.glue
    clips = cases(assembly.program.graph, pushes)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"gait.h": glue.header, **glue.sources}.items():
        (folder / name).write_text(edit(text))
    (folder / "weights.bin").write_bytes(glue.weights)
    (folder / "kernels.o").write_bytes(assembly.kernels)
    (folder / "cases").write_bytes(clips)
    (folder / "sizes.h").write_text(_sizes(assembly, len(clips), tight_in_front))
    (folder / "guards.S").write_text((SOURCES / "guards.S").read_text())  # beside weights.bin, which it includes
    program, kernels = folder / "walks", folder / "kernels.o"
    sources = [SOURCES / "walks.c", folder / "glue.c", folder / "guards.S"]
    if target.bare_metal:
        linker = Linker(target, folder)
        linker.flags = (*_checked(linker.flags, how), f"-I{SOURCES}")
        sources += [SOURCES / "memory_guarded.c", SOURCES / "memory_mpu.c"]
        linker.bare_program(sources, [kernels], folder, program)
        return Build(program, target, how)
    sources.append(DEVICE / "system_posix.c")
    if how in ("guards", "ubsan"):
        sources += [SOURCES / "memory_guarded.c", SOURCES / "memory_pages.c"]
        compiler = [*zig_command(), "cc", *target.zig_flags, *_checked(C_FLAGS, how), "-static"]
    else:
        sources.append(SOURCES / "memory_heap.c")
        compiler = ["gcc", "-std=gnu2x", "-O1", "-g", *(GCC_SANITIZERS if how == "asan" else ())]
        if how == "asan":
            kernels = _with_address_checks(assembly, folder)
    include = [f"-I{folder}", f"-I{SOURCES}", f"-I{DEVICE}"]
    _run([*compiler, *include, *map(str, [*sources, kernels]), "-o", str(program)], folder)
    return Build(program, target, how)


def _checked(flags: Sequence[str], how: How) -> Sequence[str]:
    """For zig, which heeds no flag for a sanitizer beside one that switches all of them off."""
    return flags if how == "guards" else [*(flag for flag in flags if flag != "-fno-sanitize=all"), *UBSAN]


def _with_address_checks(assembly: Assembly, folder: Path) -> Path:
    """The kernels again, with a check before every load and store; gcc's runtime has the same calls as clang's."""
    program = assembly.program
    text = llvm_text(program.kernels, program.target).replace("define dllexport", "define")
    text, found = re.subn(r"^(define void @.*local_unnamed_addr) (#\d+)", r"\1 sanitize_address \2", text, flags=re.M)
    assert found == len(program.kernels)
    (folder / "kernels.ll").write_text(text)
    out = folder / "kernels-checked.o"
    with_gcc = program.target.zig_target.replace("musl", "gnu")
    flags = ["-target", with_gcc, "-O0", "-fPIC", "-fsanitize=address", "-Wno-override-module"]
    _run([*zig_command(), "cc", *flags, "-c", "kernels.ll", "-o", str(out)], folder)
    return out


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr


def cases(graph: Graph, pushes: int) -> bytes:
    """What walks.c reads: clips with their embeddings, and the frames that are pushed again and again."""
    height, width, _ = graph.tensors[graph.input].shape
    needed = graph.min_frames
    clips = [silhouettes(frames, 40 + frames, height, width) for frames in {1, max(needed - 1, 1), needed + 1, 5}]
    clips.append(np.where(np.arange(needed + 3)[:, None, None] % 2, 255, np.zeros((height, width), np.uint8)))
    clips = [clip.astype(np.uint8) for clip in clips]
    again = silhouettes(LONG_PERIOD, 3, height, width)
    # a long clip has every neighbourhood of frames that a longer one of the same remainder has, and no other
    period = lcm(LONG_PERIOD, graph.schedule.stride)
    same = pushes if pushes < 8 * period else pushes % period + 6 * period
    reference = Reference(graph)
    parts = [struct.pack("<I", len(clips))]
    for clip in clips:
        parts += [struct.pack("<I", len(clip)), clip.tobytes(), reference.embed(clip).tobytes()]
    codes = reference.embed(again[np.arange(max(same, 1)) % LONG_PERIOD])
    return b"".join([*parts, struct.pack("<I", LONG_PERIOD), again.tobytes(), codes.tobytes()])


def _sizes(assembly: Assembly, case_bytes: int, tight_in_front: bool) -> str:
    target, graph = assembly.program.target, assembly.program.graph
    arena = assembly.memory.arena_bytes
    largest = max(arena, graph.tensors[graph.input].size, graph.tensors[graph.output].size)
    granule = MPU_GRANULE if target.bare_metal else PAGE
    values = {
        "CASES_BYTES": case_bytes,
        "MOST_CLIPS": 8,
        "ARENA_ZONE_BYTES": _pages(2 * arena + 128),
        "OTHER_ZONE_BYTES": _pages(largest + 64),
        "GUARD_BYTES": PAGE,
        "GUARD_GRANULE": granule,
        "CONSTANTS_SHIFT": 0 if tight_in_front else -len(assembly.glue.weights) % granule,
    }
    if target.bare_metal:
        machine = microcontroller(target).machine
        for name in ("vectors", "code", "data"):
            region = getattr(machine, name)
            values |= {f"{name.upper()}_START": region.start, f"{name.upper()}_END": region.start + region.size}
    return "".join(f"#define {name} {value}\n" for name, value in values.items())


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
