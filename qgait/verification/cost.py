"""What a proof is going to cost, in words, before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from qgait.export.graph import Graph
from qgait.verification.parity import Clip

# multiply-accumulates a second on one core of a server, measured on GaitSet and GaitBase of published size
SIMULATED = 3e9  # float32 and float64, one after the other
REFERENCE = 4e9
ONNX_RUNTIME = 1.5e9  # all four optimisation levels, one after the other
INTERPRETED = 0.6e9  # TOSA's reference model, and command streams of an NPU
NATIVE = 100e9
EMULATED = 1.2e9
COMPILING = 10  # seconds a target


def seconds(graph: Graph, clips: Sequence[Clip], runtimes: Sequence[str]) -> float:
    """An estimate, right within a factor of three on a machine that does nothing else."""
    macs = graph.frame_macs * sum(map(len, clips)) + graph.clip_macs * len(clips)
    own = macs / SIMULATED + macs / REFERENCE  # the codes that all others are compared with
    return own + sum(macs / _speed(name) + _before(name) for name in runtimes)


def in_words(cost: float) -> str:
    """``cost`` in seconds, as roughly as it is known."""
    if cost < 60:
        return "less than a minute"
    minutes = round(cost / 60)
    return f"about {minutes} minute{'s' if minutes > 1 else ''}" if minutes < 90 else f"about {cost / 3600:.0f} hours"


def _speed(name: str) -> float:
    from qgait.targets.accelerators import find_npu
    from qgait.targets.processors import find, host

    if name == "reference":
        return REFERENCE
    if name == "ort":
        return ONNX_RUNTIME
    if name in ("tosa", "npu") or find_npu(name) is not None:
        return INTERPRETED
    return NATIVE if find(name).elf_machine == host().elf_machine else EMULATED


def _before(name: str) -> float:
    return 0 if name in ("reference", "ort", "tosa") else COMPILING
