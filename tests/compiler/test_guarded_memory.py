"""The library between guards, under sanitizers and under valgrind; and that each of these sees what it is there for.

`make sanitize` is the long form: every target, every example network, a million pushes.
"""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from compiled_bundles import graph
from graph_builder import GraphBuilder
from guarded_memory import Build, Edit, How, build

from qgait.compiler.assembly import Assembly, assemble
from qgait.compiler.tvm.emit import emit_object
from qgait.export.graph import Graph
from qgait.targets.processors import find, host

AVX2 = {"avx2", "fma", "bmi2"}  # what valgrind knows; AVX-512 it does not


@cache
def assembled(name: str, target: str) -> Assembly:
    return assemble(graph(name), host("x86_64", AVX2) if target == "avx2" else find(target))


def right(made: Build, **how: int) -> None:
    done = made.run(**how)
    assert done.returncode == 0 and "all walks are right" in done.stdout, (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["tiny", "temporal"])
def test_this_machine(name: str, tmp_path: Path) -> None:
    made = assembled(name, "host")
    right(build(made, tmp_path / "guards", pushes=20_000), shifts=64, interleaved=8, pushes=20_000)
    right(build(made, tmp_path / "front", tight_in_front=True), shifts=2)
    right(build(made, tmp_path / "ubsan", "ubsan"), shifts=4)


@pytest.mark.parametrize("target", ["arm", "arm64-v8", "armv7"])
def test_linux_on_arm(target: str, tmp_path: Path) -> None:
    right(build(assembled("tiny", target), tmp_path, "ubsan", pushes=200), shifts=4, pushes=200)


@pytest.mark.parametrize("target", ["cortex-m55", "cortex-m33"])
def test_a_protection_unit(target: str, tmp_path: Path) -> None:
    right(build(assembled("tiny", target), tmp_path, "ubsan", pushes=8), shifts=1, interleaved=2, pushes=8)


def test_sanitizers_of_addresses_and_of_undefined_behaviour(tmp_path: Path) -> None:
    right(build(assembled("tiny", "host"), tmp_path, "asan", pushes=1000), shifts=16, pushes=1000)


def test_valgrind(tmp_path: Path) -> None:
    right(build(assembled("tiny", "avx2"), tmp_path, "valgrind"), shifts=0, interleaved=1)


# What a detector is for, done on purpose. Each build with a defect has to be seen for what it is.


def edit(pattern: str, change: str) -> Edit:
    """Replaces ``pattern`` in the generated C wherever it is; no other white space than the C has."""
    return lambda text: re.sub(pattern, change, text, flags=re.DOTALL)


def in_push(statement: str) -> Edit:
    """Something that gait_push does first."""
    return edit(r"(int gait_push\([^)]*\)\n\{\n)", rf"\g<1>    {statement}\n")


NO_MAXIMA = edit(r"(void gait_reset.*?base_of\(arena\);\n).*?(    state_of\(base\)->frames = 0)", r"\1\2")
ONE_CODE_TOO_MANY = edit(r"i < GAIT_EMBEDDING_BYTES", "i <= GAIT_EMBEDDING_BYTES")
UNALIGNED = edit(r"\+ 64 - 1\) & ~\(uintptr_t\)\(64 - 1\)", ")")
PIXELS = "const volatile uint8_t *pixels = frame;"
FAULT = "fault"
DEFECTS: dict[str, tuple[Edit, str]] = {
    "a code too many is written": (ONE_CODE_TOO_MANY, FAULT),
    "a pixel behind the frame is read": (in_push(f"{PIXELS} (void)pixels[GAIT_FRAME_BYTES];"), FAULT),
    "a pixel before the frame is read": (in_push(f"{PIXELS} (void)pixels[-1];"), FAULT),
    "the frame is written": (in_push("*(volatile uint8_t *)(uintptr_t)frame = 0;"), FAULT),
    "a byte behind the arena is read": (in_push("(void)((volatile uint8_t *)arena)[GAIT_ARENA_BYTES];"), FAULT),
    "a byte before the arena is written": (in_push("((volatile uint8_t *)arena)[-1] = 0;"), FAULT),
    "a byte behind the arena is written": (in_push("((volatile uint8_t *)arena)[GAIT_ARENA_BYTES] = 0;"), "nobody"),
    "maxima are not reset": (NO_MAXIMA, "code 0 is"),
    "the arena is kept in a global": (
        edit(
            r"int8_t \*base = base_of\(arena\);\n(    if \(state_of\(base\)->check)",
            r"static int8_t *base;\n    base = base ? base : base_of(arena);\n\1",
        ),
        "answers 2",
    ),
}


def seen(made: Build, how: str, **runs: int) -> None:
    done = made.run(**runs)
    assert done.returncode != 0, "nothing was seen"
    if how == FAULT:
        assert done.returncode == -signal.SIGSEGV, (done.returncode, done.stderr)
    else:
        assert how in done.stderr, (done.returncode, done.stderr)


def defective(change: Edit, folder: Path, how: How = "guards", target: str = "host") -> Build:
    """The library with a defect, which must have changed the C."""
    assembly = assembled("tiny", target)
    texts = [assembly.glue.header, *assembly.glue.sources.values()]
    assert [change(text) for text in texts] != texts
    return build(assembly, folder, how, edit=change)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_seen(defect: str, tmp_path: Path) -> None:
    change, how = DEFECTS[defect]
    seen(defective(change, tmp_path), how)


def test_an_arena_that_is_too_small_is_seen(tmp_path: Path) -> None:
    assembly = assembled("tiny", "host")
    memory = assembly.memory
    used = max(place + assembly.program.graph.tensors[name].size for name, place in memory.tensors.items())
    used = max(
        [used, *(memory.scratch[k.symbol] + k.scratch_bytes for k in assembly.program.kernels if k.scratch_bytes)]
    )
    assert memory.size - used < 64  # nothing is planned without need
    short = memory.size - used + 16  # 16 bytes that are needed
    small = edit(rf"(#define GAIT_ARENA_BYTES ){memory.arena_bytes}\b", rf"\g<1>{memory.arena_bytes - short}")
    seen(defective(small, tmp_path), "belongs to nobody")


def test_kernels_that_leave_their_memory_are_seen(tmp_path: Path) -> None:
    """Kernels of a network for wider silhouettes, with the memory of the right one."""
    right_one, wider = (assemble(small_graph(width), find("host")) for width in (12, 14))
    assert [k.prototype() for k in right_one.program.kernels] == [k.prototype() for k in wider.program.kernels]
    right(build(right_one, tmp_path / "right"))
    seen(build(replace(right_one, kernels=wider.kernels), tmp_path / "wrong"), FAULT)
    swapped = {kernel.symbol: kernel for kernel in wider.program.kernels}
    for number, kernel in enumerate(right_one.program.kernels):
        if kernel.ops == () or number == 0:  # the first, which reads the silhouette
            one = [swapped[k.symbol] if k is kernel else k for k in right_one.program.kernels]
            kernels = emit_object(one, right_one.program.target)
            seen(build(replace(right_one, kernels=kernels), tmp_path / str(number)), FAULT)


def small_graph(width: int) -> Graph:
    b = GraphBuilder(0, 16, width)
    b.linear(b.strips(b.frame_max(b.conv(b.conv("silhouette", 8, 3), 16, 3)), (4, 2)), 12)
    return b.graph("small")


@pytest.mark.parametrize("tight_in_front", [False, True])
def test_constants_are_guarded(tight_in_front: bool, tmp_path: Path) -> None:
    assembly = assembled("tiny", "host")
    numbers = [int(found) for found in re.findall(r"gait_weights \+ (\d+)", assembly.glue.sources["glue.c"])]
    first, last = min(numbers), max(numbers)
    moved = (first, f"gait_weights + {first} - 64") if tight_in_front else (last, f"gait_weights + {last} + 64")
    change = edit(rf"gait_weights \+ {moved[0]}\b", moved[1])
    seen(build(assembly, tmp_path, tight_in_front=tight_in_front, edit=change), FAULT)


@pytest.mark.parametrize("target", ["cortex-m55", "arm"])
@pytest.mark.parametrize("defect", ["a byte behind the arena is read", "the frame is written"])
def test_guards_on_other_processors_see_it(defect: str, target: str, tmp_path: Path) -> None:
    done = defective(DEFECTS[defect][0], tmp_path, target=target).run(shifts=1, interleaved=0)
    if target == "arm":
        assert done.returncode == -signal.SIGSEGV
    else:
        assert (done.returncode, "stopped with exception 3" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("target", ["host", "armv7", "cortex-m33"])
def test_undefined_behaviour_is_seen(target: str, tmp_path: Path) -> None:
    shifted = "static volatile int one = 1; (void)(one << ({} + one));"
    right(defective(in_push(shifted.format(29)), tmp_path / "fine", "ubsan", target), shifts=1, interleaved=0)
    for number, change in enumerate((in_push(shifted.format(31)), UNALIGNED)):
        done = defective(change, tmp_path / str(number), "ubsan", target).run(shifts=3, interleaved=0)
        if target == "cortex-m33":
            assert (done.returncode, "stopped with exception 3" in done.stderr) == (2, True), done.stderr
        else:
            assert done.returncode in (-signal.SIGILL, -signal.SIGTRAP), (done.returncode, done.stderr)


def test_the_sanitizer_sees_it(tmp_path: Path) -> None:
    seen(defective(ONE_CODE_TOO_MANY, tmp_path / "codes", "asan"), "heap-buffer-overflow")
    seen(defective(UNALIGNED, tmp_path / "alignment", "asan"), "misaligned address")
    right_one, wider = (assemble(small_graph(width), find("host")) for width in (12, 14))
    mixed = replace(right_one, program=replace(right_one.program, frame=wider.program.frame))
    seen(build(replace(mixed, glue=right_one.glue), tmp_path / "kernel", "asan"), "in qgait_")


def test_valgrind_sees_it(tmp_path: Path) -> None:
    done = defective(NO_MAXIMA, tmp_path / "maxima", "valgrind", "avx2").run(shifts=0, interleaved=0)
    assert done.returncode == 99 and "uninitialised" in done.stderr
    done = defective(ONE_CODE_TOO_MANY, tmp_path / "codes", "valgrind", "avx2").run(shifts=0, interleaved=0)
    assert done.returncode == 99 and "Invalid write of size 1" in done.stderr
