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
    ``micro_blocks``: the (rows, columns) of outputs that it can compute at once. ``exchange``: cycles a byte that
    exchanging the rows and columns of a map takes, by rule of thumb.
    """

    name: str
    family: Family
    macs: int
    clock: float
    system_config: str
    memory_mode: str
    host: str
    micro_blocks: tuple[tuple[int, int], ...]
    exchange: float


def _u55(macs: int, *blocks: tuple[int, int]) -> NpuTarget:
    config, mode = "Ethos_U55_High_End_Embedded", "Shared_Sram"
    return NpuTarget(f"ethos-u55-{macs}", "u55", macs, 500e6, config, mode, "cortex-m55", blocks, 3 / 8)


def _u65(macs: int, *blocks: tuple[int, int]) -> NpuTarget:
    config, mode = "Ethos_U65_Client_Server", "Dedicated_Sram_384KB"
    return NpuTarget(f"ethos-u65-{macs}", "u65", macs, 1e9, config, mode, "imx93", blocks, 1.0)


def _u85(macs: int, *blocks: tuple[int, int]) -> NpuTarget:
    config, mode = "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"
    return NpuTarget(f"ethos-u85-{macs}", "u85", macs, 1e9, config, mode, "cortex-m85", blocks, 3 / 4)


NPU_TARGETS = (
    _u55(32, (1, 1)),
    _u55(64, (1, 1)),
    _u55(128, (1, 2)),
    _u55(256, (2, 2)),
    _u65(256, (2, 2)),
    _u65(512, (2, 2)),
    _u85(128, (1, 2), (1, 1)),
    _u85(256, (1, 2), (1, 4), (2, 2)),
    _u85(512, (2, 2), (1, 4)),
    _u85(1024, (2, 2), (1, 4), (2, 4)),
    _u85(2048, (2, 2), (1, 4), (4, 4)),
)


def find_npu(name: str) -> NpuTarget | None:
    """The NPU called ``name``, or None."""
    return next((target for target in NPU_TARGETS if target.name == name), None)
