"""Microcontrollers with the memory on their chips."""

from __future__ import annotations

from dataclasses import dataclass

from qgait.targets.memory import KIB, MIB


@dataclass(frozen=True)
class Part:
    """``flash`` and ``ram`` in bytes; of the RAM the largest piece, for an arena is one piece."""

    name: str
    flash: int
    ram: int


ENSEMBLE_E7 = Part("Alif Ensemble E7", 5 * MIB + MIB // 2, 4 * MIB)
RA8M1 = Part("Renesas RA8M1", 2 * MIB, 896 * KIB)
STM32U5A9 = Part("ST STM32U5A9", 4 * MIB, 2496 * KIB)
