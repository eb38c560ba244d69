"""Compiling a graph, and at once proving of the bundle what can be proved on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.bundle import write
from qgait.compiler.options import CompileOptions
from qgait.compiler.selftest_clips import selftest_clips
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.progress import Progress, untold
from qgait.runtime.bundle import Bundle
from qgait.runtime.programs import start
from qgait.runtime.selftest import SelfTest, selftest

if TYPE_CHECKING:
    from qgait.compiler.npu.plan import NpuPlan
    from qgait.targets.accelerators import NpuTarget
    from qgait.verification.proof import Proof


@dataclass(frozen=True)
class ForProcessor:
    """A bundle for a processor, and its self-test: what it said, or why it could not be run on this machine."""

    bundle: Bundle
    selftest: SelfTest | QgaitError


@dataclass(frozen=True)
class ForNpu:
    """A bundle for an NPU and its host, what was decided, and what was proved."""

    bundle: Bundle
    plan: NpuPlan
    proof: Proof


def compile_proven(
    graph: Graph,
    target: str,
    out: Path,
    data: Path | Sequence[NDArray[np.uint8]] | None = None,
    options: CompileOptions = CompileOptions(),  # noqa: B008 - it is frozen
    progress: Progress = untold,
) -> ForProcessor | ForNpu:
    """Compiles ``graph`` for ``target``, a name of `qgait targets`, into the bundle ``out``; needs TVM and zig.

    ``data`` as in ``selftest_clips``. Names, options and ``out`` are checked before any work is done. QgaitError for
    what cannot be, ParityError when the self-test runs here and fails.
    """
    from qgait.targets.accelerators import find_npu

    options.check(target, out)
    clips = selftest_clips(graph, data, progress)
    accelerator = find_npu(target)
    if accelerator is not None:
        return _for_npu(graph, accelerator, out, clips, options, progress)
    bundle = write(graph, options.processor(target), out, clips, options.trace, progress, options.prefix)
    try:
        start(bundle)
    except QgaitError as why_not:
        return ForProcessor(bundle, why_not)
    return ForProcessor(bundle, selftest(bundle))


def _for_npu(
    graph: Graph,
    accelerator: NpuTarget,
    out: Path,
    clips: list[NDArray[np.uint8]],
    options: CompileOptions,
    progress: Progress,
) -> ForNpu:
    from qgait.compiler.npu.plan import plan
    from qgait.compiler.npu_bundle import write as write_beside
    from qgait.verification.proof import prove

    vela, core = options.beside(accelerator)
    made = plan(graph, accelerator, core, vela, options.sram_bytes, options.host_fallback, progress)
    bundle = write_beside(made, out, clips, progress, options.prefix)
    return ForNpu(bundle, made, prove(bundle, made, progress))
