"""Whether a network fits into a microcontroller: flash for code and weights, RAM for the arena.

A firmware adds its own code, stack and data to both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from qgait.errors import QgaitError
from qgait.targets.processors import Target

KB, MB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Part:
    """A microcontroller with the memory on its chip; of the RAM the largest piece, for an arena is one piece."""

    name: str
    flash: int
    ram: int


# what is assumed where nothing else is said: a common large part with each processor
PARTS = {
    "cortex-m55": Part("Alif Ensemble E7", 5 * MB + MB // 2, 4 * MB),
    "cortex-m85": Part("Renesas RA8M1", 2 * MB, 896 * KB),
    "cortex-m33": Part("ST STM32U5A9", 4 * MB, 2496 * KB),
}


def with_memory(target: Target, flash: str | None, ram: str | None) -> Target:
    """``target`` with the memory of a part: as given ("4M", "512k" or bytes), else that of `PARTS`.

    QgaitError for a text that is no amount, and for a target with an operating system.
    """
    if target.board is None:
        for option, given in (("--flash", flash), ("--ram", ram)):
            if given is not None:
                raise QgaitError(
                    f"{option} is for a Cortex-M, and {target.name} has an operating system.", f"leave {option} out."
                )
        return target
    part = PARTS[target.name]
    return replace(
        target,
        part=part.name if flash is None and ram is None else "the part",
        flash_bytes=part.flash if flash is None else amount("--flash", flash),
        ram_bytes=part.ram if ram is None else amount("--ram", ram),
    )


def amount(option: str, text: str) -> int:
    """Bytes of "4M", "512k" or "65536"; QgaitError when it is none of these."""
    match = re.fullmatch(r"(\d+)([km]?)", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise QgaitError(f"{option} {text} is no amount of memory.", "give bytes, or 512k, or 4M.")
    return int(match[1]) * {"": 1, "k": KB, "m": MB}[match[2]]


def check(target: Target, flash: int, ram: int) -> None:
    """QgaitError with the sums when code and weights, or the arena, are larger than the part's memory."""
    for what, needed, there in (
        ("flash for code and weights", flash, target.flash_bytes),
        ("RAM for the arena", ram, target.ram_bytes),
    ):
        if there is not None and needed > there:
            raise QgaitError(
                f"The network needs {needed:,} bytes of {what}, {needed - there:,} more than {target.part} has "
                f"({there:,}); in all it needs {flash:,} of flash and {ram:,} of RAM.",
                "take a smaller network or fewer channels, or name the memory of your part with --flash and --ram.",
            )


def share(needed: int, there: int | None) -> str:
    """For a table: "1,234 kB of 5,767 kB"."""
    return f"{needed / 1000:,.0f} kB" + ("" if there is None else f" of {there / 1000:,.0f} kB")
