"""One network for one processor, compiled but not linked: what bundles, proofs and stand-ins for an NPU are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qgait.compiler.glue.library import Glue, glue
from qgait.compiler.memory_plan import MemoryPlan, plan
from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.program import Kernel, Program, Step
from qgait.export.graph import Graph
from qgait.runtime.bundle_names import DEFAULT_PREFIX
from qgait.targets.processors import Target


@dataclass(frozen=True, eq=False)
class Assembly:
    """``program`` with its memory, the C that runs it and ``kernels``, the object file with its functions.

    The functions of other files that it needs are memcpy and its like, and gait_npu_run where there is an NPU.
    """

    program: Program
    memory: MemoryPlan
    glue: Glue
    kernels: bytes
    prefix: str


def assemble(
    graph: Graph,
    target: Target,
    calls: Sequence[NpuCall] = (),
    prefix: str = DEFAULT_PREFIX,
    done: Callable[[], None] = lambda: None,
) -> Assembly:
    """Compiles ``graph`` for ``target``; ``calls`` are the runs of an NPU that computes a part of it. Needs TVM.

    Every global symbol begins with ``prefix`` (for the default one, kernels with ``qgait``), but for two weak ones of
    TVM. ``done`` is called when the kernels are lowered, and when they are compiled.
    """
    from qgait.compiler.tvm import emit, lowering

    program = _prefixed(lowering.lower(graph, target, calls), prefix)
    done()
    kernels = emit.emit_object(program.kernels, target)
    done()
    memory = plan(program)
    return Assembly(program, memory, glue(program, memory, prefix), kernels, prefix)


def _prefixed(program: Program, prefix: str) -> Program:
    """Kernels are global symbols of an archive, where two networks must not have the same."""
    if prefix == DEFAULT_PREFIX:
        return program

    def renamed(step: Step) -> Step:
        return replace(step, symbol=f"{prefix}_{step.symbol}") if isinstance(step, Kernel) else step

    return replace(program, frame=tuple(map(renamed, program.frame)), clip=tuple(map(renamed, program.clip)))
