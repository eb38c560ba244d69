"""How fast a processor beside an NPU does work that it could hand over: rough figures, for choices between the two."""

from __future__ import annotations

from dataclasses import dataclass


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
