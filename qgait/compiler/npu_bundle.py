"""The bundle of a network for an NPU and its host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qgait.compiler.assembly import Assembly, assemble
from qgait.compiler.bundle import HARNESS, Clips, check_out, check_selftest, steps, write_assembly
from qgait.compiler.npu.call import NpuCall, driver, npu_call
from qgait.compiler.npu.plan import NpuPlan
from qgait.compiler.npu_segments import write_segments
from qgait.progress import Progress
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_names import DEFAULT_PREFIX, names_for


def write(
    plan: NpuPlan,
    out: Path,
    clips: Clips,
    progress: Progress | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> Bundle:
    """Compiles what ``plan`` leaves to the host and writes the bundle to the folder ``out``.

    ``clips``, ``progress`` and ``prefix`` as in `qgait.compiler.bundle.write`. What is proved about it, ``proof.prove``
    tells. gait-run is there where Linux drives the NPU; without an operating system it would need the board's driver.
    """
    say = steps(f"compiling for the {plan.host.name} beside {plan.accelerator.name}", progress)
    names_for(prefix)
    check_out(out, plan.graph)
    check_selftest(plan.graph, clips)
    return write_assembled(plan, assemble(plan.graph, plan.host, calls(plan), prefix, say), out, clips, say)


def write_assembled(plan: NpuPlan, assembly: Assembly, out: Path, clips: Clips, say: Callable[[], None]) -> Bundle:
    """The part of `write` behind the compiler."""
    harness = () if plan.host.bare_metal else (*HARNESS, driver(plan.host))
    return write_assembly(assembly, out, clips, False, say, partial(write_segments, plan), harness)


def calls(plan: NpuPlan) -> list[NpuCall]:
    """The runs of the NPU."""
    return [npu_call(plan.graph, segment, plan.compiled[segment.name]) for segment in plan.partition.segments]
