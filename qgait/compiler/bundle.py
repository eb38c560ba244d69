"""Compiling a graph into a bundle folder: assemble, link, add the self-test, sign, move into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.assembly import Assembly, assemble
from qgait.compiler.device import c_source
from qgait.compiler.glue.calls import plain
from qgait.compiler.link import CRYPTOGRAPHY, FOREIGN_PARTS, Linker
from qgait.compiler.manifest import manifest
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.files import check_new_folder, replacing_folder, require_space, require_work_space, work_folder
from qgait.progress import Progress
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import read_manifest, refuse_strangers, sign
from qgait.runtime.bundle_names import DEFAULT_PREFIX, Names, names_for
from qgait.runtime.reference import Reference
from qgait.targets import fit
from qgait.targets.processors import Target
from qgait.version import __version__

Clips = Sequence[NDArray[np.uint8]]
HARNESS = ("gait_run.c", "selftest.c", "clip_stream.c", "signature.c", CRYPTOGRAPHY)
COPIES = 4  # of weights and kernels in a bundle: archive, shared library, gait-run, and gait-trace
KERNELS = 2 << 20  # bytes, and the C library beside them
WORK = 32 << 20  # bytes of zig's cache
STEPS = 4  # lowered, compiled, linked, self-test written


def write(
    graph: Graph,
    target: Target,
    out: str | os.PathLike[str],
    selftest_clips: Clips,
    trace: bool = False,
    progress: Progress | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> Bundle:
    """Compiles ``graph`` for ``target`` into the folder ``out``; needs TVM and zig.

    ``selftest_clips``: at least two clips uint8 [frames, H, W] of different length; the numpy reference makes
    their expected codes. ``trace`` adds debug/gait-trace, which `Compiled.trace` needs.
    ``progress(what, done, total)`` is told every step. Files, C functions and constants begin with ``prefix``, so that
    one program can link several bundles. An older bundle at ``out`` is replaced, anything else there is refused;
    nothing half-written stays behind.
    """
    say = steps(f"compiling for {target.name}", progress)
    names_for(prefix)
    check_out(Path(out), graph)
    check_selftest(graph, selftest_clips)
    return write_assembly(assemble(graph, target, (), prefix, say), Path(out), selftest_clips, trace, say)


def steps(what: str, progress: Progress | None) -> Callable[[], None]:
    """Tells ``progress`` one step of writing a bundle after the other."""
    numbers = iter(range(1, STEPS + 1))

    def say() -> None:
        if progress is not None:
            progress(what, next(numbers), STEPS)

    return say


def write_assembly(
    assembly: Assembly,
    out: Path,
    clips: Clips,
    trace: bool,
    say: Callable[[], None],
    npu: Callable[[Path], dict[str, Any]] | None = None,
    harness: Sequence[str] = HARNESS,
) -> Bundle:
    """The part of `write` behind the compiler.

    Beside an NPU ``npu(folder)`` writes what belongs to the NPU and answers what the manifest says of it. ``harness``
    are the C files of gait-run; without any there is no such program.
    """
    try:
        with replacing_folder(out, lambda: check_replaceable(out)) as folder:
            _fill(folder, assembly, clips, trace, say, npu, harness)
    except OSError as error:
        raise _write_error(out, error) from error
    return Bundle.open(out)


def _fill(
    folder: Path,
    assembly: Assembly,
    clips: Clips,
    trace: bool,
    say: Callable[[], None],
    npu: Callable[[Path], dict[str, Any]] | None,
    harness: Sequence[str],
) -> None:
    program, names = assembly.program, Names(assembly.prefix)
    with work_folder() as work:
        linker = Linker(program.target, work, assembly.prefix)
        linker.archive(assembly, folder)
        flash = linker.read_only_bytes()
        fit.check(program.target, flash, assembly.memory.arena_bytes)
        beside = {} if npu is None else {"npu": npu(folder)}
        if not program.target.bare_metal and npu is None:
            linker.shared(folder)
        if harness:
            linker.program(harness, folder, folder / names.program(program.target))
        if trace:
            traced = work / "traced"
            traced.mkdir()
            linker.archive(assembly, traced, trace=True)
            (folder / names.tracer).parent.mkdir()
            linker.program(["gait_trace.c", "clip_stream.c"], traced, folder / names.tracer)
    (folder / names.pkg_config).write_text(_pkg_config(assembly))
    say()
    _write_selftest(program.graph, clips, folder / "selftest")
    say()
    described = manifest(assembly, flash, [len(clip) for clip in clips])
    if harness:
        described["provenance"]["program"] = f"with {FOREIGN_PARTS[program.target.bare_metal]}"
    sign(folder, described | beside)


def _pkg_config(assembly: Assembly) -> str:
    program = assembly.program
    title = plain(f"Gait embeddings by {program.graph.model} {program.graph.bits} for the target {program.target_name}")
    return c_source("gait.pc.in", assembly.prefix, title=title, version=__version__, name=assembly.prefix)


def check_selftest(graph: Graph, clips: Clips) -> None:
    """QgaitError unless there are two clips uint8 [frames, H, W] of different length."""
    shape = graph.tensors[graph.input].shape[:2]
    for clip in clips:
        if clip.dtype != np.uint8 or clip.ndim != 3 or clip.shape[1:] != shape or len(clip) == 0:
            raise QgaitError(
                f"Self-test clips must be uint8 [frames, {shape[0]}, {shape[1]}], not {clip.dtype} {list(clip.shape)}.",
                "give silhouettes of the model's size.",
            )
    if len({len(clip) for clip in clips}) < 2:
        raise QgaitError("A self-test needs two clips of different length.", "give more clips.")


def _write_selftest(graph: Graph, clips: Clips, folder: Path) -> None:
    folder.mkdir()
    answers = Reference(graph).embed_many(clips)
    if all(codes.min() == codes.max() for codes in answers):
        raise QgaitError(
            "Every code of every self-test embedding is the same, so the self-test would prove nothing.",
            "look at the quantization of this model: its ranges are wrong.",
        )
    for number, (clip, codes) in enumerate(zip(clips, answers, strict=True)):
        (folder / f"clip{number}.frames").write_bytes(np.ascontiguousarray(clip).tobytes())
        (folder / f"clip{number}.codes").write_bytes(codes.tobytes())


def check_out(out: Path, graph: Graph) -> None:
    """QgaitError where ``check_replaceable`` raises it, and without space for a bundle of ``graph`` and its making."""
    check_replaceable(out)
    needed = COPIES * (graph.parameters + KERNELS)
    require_space(check_new_folder(out), needed, str(out))
    require_work_space(needed + WORK)


def check_replaceable(out: Path) -> None:
    """QgaitError unless ``out`` is free, an empty folder, or a bundle without files of somebody else."""
    check_new_folder(out)
    if not out.exists() and not out.is_symlink():
        return
    refuse = QgaitError(f"{out} exists and is not a bundle.", "choose another `out`, or remove it yourself.")
    if not out.is_dir() or out.is_symlink():
        raise refuse
    if all(file.is_dir() for file in out.rglob("*")):
        return
    try:
        manifest = read_manifest(out)
    except QgaitError:
        raise refuse from None
    refuse_strangers(out, manifest, "choose another `out`, or move that file away.")


def _write_error(out: Path, error: OSError) -> QgaitError:
    if error.errno == errno.ENOSPC:
        return QgaitError(f"{out} cannot be written: the disk is full.", "free some space and compile again.")
    return QgaitError(f"{out} cannot be written: {error.strerror or error}.", "choose another `out`.")
