"""The bundle of a network for an NPU and its host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.bundle import HARNESS, check_replaceable, check_selftest, write_program
from qgait.compiler.npu.bundle_segments import write_segments
from qgait.compiler.npu.call import NpuCall, driver, npu_call
from qgait.compiler.npu.plan import NpuPlan
from qgait.runtime.bundle import Bundle

STEPS = 4  # lowered, compiled, linked, self-test written


def write(
    plan: NpuPlan,
    out: Path,
    clips: Sequence[NDArray[np.uint8]],
    progress: Callable[[str, int, int], None] | None = None,
) -> Bundle:
    """Compiles what ``plan`` leaves to the host and writes the bundle to the folder ``out``.

    ``clips`` and ``progress`` as in `Bundle.write`. What is proved about it, ``proof.prove`` tells. gait-run is there
    where Linux drives the NPU; without an operating system it would need the board's driver.
    """
    steps = iter(range(1, STEPS + 1))

    def say() -> None:
        if progress is not None:
            progress(f"compiling for the {plan.host.name} beside {plan.accelerator.name}", next(steps), STEPS)

    check_replaceable(out)
    check_selftest(plan.graph, clips)
    from qgait.compiler.tvm import emit, lowering

    program = lowering.lower(plan.graph, plan.host, calls(plan))
    say()
    kernels = emit.emit_object(program.kernels, plan.host)
    say()
    harness = () if plan.host.bare_metal else (*HARNESS, driver(plan.host))

    def segments(folder: Path) -> dict[str, Any]:
        return write_segments(plan, folder)

    return write_program(program, kernels, out, clips, False, say, segments, harness)


def calls(plan: NpuPlan) -> list[NpuCall]:
    """The runs of the NPU."""
    return [npu_call(plan.graph, segment, plan.compiled[segment.name]) for segment in plan.partition.segments]
