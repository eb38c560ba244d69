"""What the core beside an NPU needs for work that it could hand over: rough figures, for choices between the two."""

from __future__ import annotations

from dataclasses import dataclass

from qgait.targets.processors import Target


@dataclass(frozen=True)
class HostSpeed:
    """``macs`` and ``bytes`` a cycle: multiply-accumulates of a layer, int8 codes copied or compared.

    ``clock`` in Hz; None where core and NPU share one, as a Cortex-M and an Ethos-U55 mostly do.
    """

    macs: float
    bytes: float
    clock: float | None = None

    def milliseconds(self, npu_clock: float, macs: int = 0, moved: int = 0) -> float:
        """Time for ``macs`` multiply-accumulates and ``moved`` codes."""
        return 1e3 * (macs / self.macs + moved / self.bytes) / (self.clock or npu_clock)


CORES = {
    "cortex-m33": HostSpeed(macs=0.5, bytes=0.5),  # one or two products an instruction, codes one by one
    "cortex-m55": HostSpeed(macs=2, bytes=2),  # 16 codes in two loads, a maximum and a store, two cycles each
    "cortex-m85": HostSpeed(macs=4, bytes=4),
}
LINUX = HostSpeed(macs=8, bytes=4, clock=1.7e9)  # a Cortex-A55 of an i.MX 93 with dot products


def host_speed(core: Target) -> HostSpeed:
    """The figures of ``core``; those of a Cortex-A55 for everything that runs Linux."""
    return CORES.get(core.name, LINUX)
