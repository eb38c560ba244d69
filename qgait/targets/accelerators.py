"""The Ethos-U parts that qgait compiles for, under the names that Vela gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["u55", "u65", "u85"]


@dataclass(frozen=True)
class NpuTarget:
    """One NPU: ``name`` is Vela's --accelerator-config, ``macs`` are the multiply-accumulates of a cycle.

    ``clock`` in Hz, ``system_config`` and ``memory_mode`` are what Vela takes by default, so that figures compare with
    those that others print; both can be chosen. ``host`` is the processor beside it, a target of qgait.
    """

    name: str
    family: Family
    macs: int
    clock: float
    system_config: str
    memory_mode: str
    host: str


def _u55(macs: int) -> NpuTarget:
    config, mode = "Ethos_U55_High_End_Embedded", "Shared_Sram"
    return NpuTarget(f"ethos-u55-{macs}", "u55", macs, 500e6, config, mode, "cortex-m55")


def _u65(macs: int) -> NpuTarget:
    config, mode = "Ethos_U65_Client_Server", "Dedicated_Sram_384KB"
    return NpuTarget(f"ethos-u65-{macs}", "u65", macs, 1e9, config, mode, "imx93")


def _u85(macs: int) -> NpuTarget:
    config, mode = "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"
    return NpuTarget(f"ethos-u85-{macs}", "u85", macs, 1e9, config, mode, "cortex-m85")


NPU_TARGETS = (*map(_u55, (32, 64, 128, 256)), *map(_u65, (256, 512)), *map(_u85, (128, 256, 512, 1024, 2048)))


def find_npu(name: str) -> NpuTarget | None:
    """The NPU called ``name``, or None."""
    return next((target for target in NPU_TARGETS if target.name == name), None)
