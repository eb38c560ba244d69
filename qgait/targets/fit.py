"""Whether a network fits into a microcontroller: flash for code and weights, RAM for the arena.

A firmware adds its own code, stack and data to both.
"""

from __future__ import annotations

from dataclasses import replace

from qgait.errors import QgaitError
from qgait.targets.processors import Target, microcontroller


def with_memory(target: Target, flash: int | None = None, ram: int | None = None) -> Target:
    """``target`` with the memory of a part, in bytes: as given, else that of the part that is assumed for it.

    QgaitError when memory is given for a target with an operating system.
    """
    if not target.bare_metal:
        for what, given in (("flash", flash), ("ram", ram)):
            if given is not None:
                raise QgaitError(
                    f"`{what}` is for a Cortex-M, and {target.name} has an operating system.", f"leave `{what}` out."
                )
        return target
    part = microcontroller(target).part
    return replace(
        target,
        part=part.name if flash is None and ram is None else "the part",
        flash_bytes=part.flash if flash is None else flash,
        ram_bytes=part.ram if ram is None else ram,
    )


def check(target: Target, flash: int, ram: int) -> None:
    """QgaitError with the sums when code and weights, or the arena, take more bytes than the part's memory has."""
    for what, needed, there in (
        ("flash for code and weights", flash, target.flash_bytes),
        ("RAM for the arena", ram, target.ram_bytes),
    ):
        if there is not None and needed > there:
            raise QgaitError(
                f"The network needs {needed:,} bytes of {what}, {needed - there:,} more than {target.part} has "
                f"({there:,}); in all it needs {flash:,} of flash and {ram:,} of RAM.",
                "take a smaller network or fewer channels, or name the memory of your part with `flash` and `ram`.",
            )
