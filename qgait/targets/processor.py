"""Which processor an ELF file is for, and which one this is."""

from __future__ import annotations

import platform
from pathlib import Path

from qgait.errors import QgaitError
from qgait.targets import elf
from qgait.targets.processors import EM_AARCH64, EM_ARM, EM_X86_64

_NAMES = {EM_ARM: "32-bit ARM", EM_X86_64: "x86-64", EM_AARCH64: "64-bit ARM"}
_KERNEL_NAMES = {
    "x86_64": EM_X86_64,
    "AMD64": EM_X86_64,
    "aarch64": EM_AARCH64,
    "arm64": EM_AARCH64,
    "armv7l": EM_ARM,
    "armv8l": EM_ARM,
}


def machine_of(path: Path) -> int:
    """The e_machine number of an ELF file; QgaitError if it is not one."""
    with path.open("rb") as file:
        head = file.read(20)
    try:
        return elf.machine(head.ljust(20, b"\0"))
    except ValueError:
        raise QgaitError(f"{path} is not an ELF file.", "compile the bundle again.") from None


def this_machine() -> int:
    """The e_machine number of the processor that runs this program, 0 when qgait does not know it."""
    return _KERNEL_NAMES.get(platform.machine(), 0)


def machine_name(machine: int) -> str:
    """For sentences: "64-bit ARM"."""
    return _NAMES.get(machine, f"ELF machine {machine}")
