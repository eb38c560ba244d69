"""QEMU's Cortex-M boards: their memory, and how a program runs there without an operating system."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from qgait.errors import QgaitError
from qgait.targets.processors import Target


@dataclass(frozen=True)
class Region:
    """``size`` bytes from ``start`` on."""

    start: int
    size: int


@dataclass(frozen=True)
class Board:
    """Where a program's parts lie. The processor starts in the secure state, which executes secure memory only.

    ``vectors``: where the processor looks for its stack and its first instruction. ``code`` must be secure.
    """

    vectors: Region
    code: Region
    data: Region


KB, MB = 1 << 10, 1 << 20
BOARDS = {
    # Arm's application notes AN547 and AN505; DDR4 at 0x7000_0000, PSRAM at 0x8000_0000
    "mps3-an547": Board(Region(0, KB), Region(0x70000000, 16 * MB), Region(0x71000000, 128 * MB)),
    "mps2-an505": Board(Region(0x10000000, KB), Region(0x10000400, 4 * MB - KB), Region(0x80000000, 16 * MB)),
}

SCRIPT = Template("""\
ENTRY(reset)
MEMORY {
    vectors (rx) : ORIGIN = $vectors, LENGTH = $vectors_size
    code (rx) : ORIGIN = $code, LENGTH = $code_size
    data (rw) : ORIGIN = $data, LENGTH = $data_size
}
SECTIONS {
    .vectors : { KEEP(*(.vectors)) } > vectors
    .text : { *(.text .text.*) } > code
    .rodata : { *(.rodata .rodata.*) } > data
    .data : { *(.data .data.*) } > data
    .bss (NOLOAD) : { bss_start = .; *(.bss .bss.* COMMON) . = ALIGN(8); bss_end = .; } > data
    .stack (NOLOAD) : { stack_limit = .; . += $stack; stack_top = .; } > data
    /DISCARD/ : { *(.ARM.exidx .ARM.exidx.*) *(.comment) }
}
""")
STACK = 64 * KB


def linker_script(board: str) -> str:
    """Puts a program into the memory of a board of `BOARDS`; it is loaded there, so nothing is copied at start."""
    places = BOARDS[board]
    numbers = {"stack": f"{STACK:#x}"}
    for name in ("vectors", "code", "data"):
        region: Region = getattr(places, name)
        numbers |= {name: f"{region.start:#x}", f"{name}_size": f"{region.size:#x}"}
    return SCRIPT.substitute(numbers)


def emulator(target: Target) -> list[str]:
    """The start of a command that emulates the board of ``target``; QgaitError when QEMU is not installed."""
    assert target.qemu is not None
    path = shutil.which(target.qemu[0])
    if path is None:
        raise QgaitError(
            f"This bundle is for a {target.name}; running it here needs {target.qemu[0]}, which is not installed.",
            "install the Debian package qemu-system-arm (apt install qemu-system-arm).",
        )
    return [path, *target.qemu[1:], "-nographic", "-monitor", "none", "-serial", "none"]


def system_command(before: Sequence[str], program: Path, arguments: Sequence[str]) -> list[str]:
    """Runs a bare-metal program on what `emulator` gives. ``arguments`` hold no spaces and commas."""
    words = ["arg=gait-run", *(f"arg={argument}" for argument in arguments)]
    assert not any({" ", ","} & set(word) for word in words)
    semihosting = ",".join(["enable=on", "target=native", *words])
    return [*before, "-semihosting-config", semihosting, "-kernel", str(program)]
