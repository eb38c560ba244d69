"""What every kernel of a bundle costs: a second program is linked from its libgait.a, in which kernels have names.

Under QEMU the instructions of every function are counted, exactly and repeatably; on this machine's own processor the
linker leads calls of kernels past a clock.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qgait.compiler.link import Linker
from qgait.errors import QgaitError
from qgait.files import work_folder
from qgait.runtime import qemu
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import AGAIN
from qgait.runtime.programs import command_of, reason, start

SOURCES = ("kernel_costs.c", "selftest.c", "clip_stream.c")
TIMED = 40  # frames, and embeddings, of one run
RUNS = 5  # the fastest counts: a machine that does something else makes a kernel slower, never faster


@dataclass(frozen=True)
class KernelCosts:
    """Cost by the kernel's symbol: of a frame, the mean over a long walk, or of an embedding.

    ``unit`` is "instructions", executed, or "ms" of this machine, the fastest mean of a few runs, one thread.
    """

    unit: Literal["instructions", "ms"]
    of: Mapping[str, float]


def kernel_costs(bundle: Bundle) -> KernelCosts:
    """Measures every kernel of ``bundle``; needs zig. QgaitError where this machine can neither run nor emulate it."""
    emulated = bool(start(bundle))
    phases = {kernel["symbol"]: kernel["phase"] for kernel in bundle.manifest["kernels"]}
    timing = bundle.manifest["timing"]
    first, more = timing["delay"] + 1, timing["stride"] * (2 if emulated else TIMED)
    embeddings = 1 if emulated else TIMED
    with work_folder() as folder:
        shutil.copytree(bundle.path / "selftest", folder / "selftest")
        program = _build(bundle, folder, () if emulated else list(phases))
        measure = _instructions if emulated else _milliseconds
        # start-up and the first frames, for which some kernels do not run yet, are in all runs
        short, long, asked = (
            measure(command_of(bundle.target, program, str(frames), str(wanted)), folder)
            for frames, wanted in ((first, 0), (first + more, 0), (first, embeddings))
        )
    costs = {
        symbol: (long.get(symbol, 0) - short.get(symbol, 0)) / more
        if phase == "frame"
        else asked.get(symbol, 0) / embeddings
        for symbol, phase in phases.items()
    }
    return KernelCosts("instructions" if emulated else "ms", costs)


def _build(bundle: Bundle, folder: Path, timed: Sequence[str]) -> Path:
    """The program; it puts a clock around the kernels ``timed``."""
    linker = Linker(bundle.target, folder, bundle.names.prefix, symbols=not timed)
    if timed:
        (folder / "kernels.h").write_text("".join(f"KERNEL({symbol})\n" for symbol in timed))
        wrapped = (f"-Wl,--wrap={symbol}" for symbol in timed)
        linker.flags = (*linker.flags, f"-I{folder}", '-DKERNELS="kernels.h"', *wrapped)
    program = folder / "kernel-costs"
    linker.program(SOURCES, bundle.path.absolute(), program)
    return program


def _instructions(command: Sequence[str], folder: Path) -> Mapping[str, float]:
    return qemu.count_by_function(command, folder)


def _milliseconds(command: Sequence[str], folder: Path) -> Mapping[str, float]:
    runs = [_timed(command, folder) for _ in range(RUNS)]
    return {symbol: min(run[symbol] for run in runs) for symbol in runs[0]}


def _timed(command: Sequence[str], folder: Path) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        raise QgaitError(f"The kernels could not be timed: {reason(done.returncode, done.stderr.encode())}", AGAIN)
    return {symbol: int(value) / 1e6 for symbol, value in map(str.split, done.stdout.splitlines())}
