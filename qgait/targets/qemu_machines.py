"""The machines with a Cortex-M that QEMU emulates: where a program's parts lie in their memory."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from qgait.targets.memory import KIB, MIB


@dataclass(frozen=True)
class Region:
    """``size`` bytes from ``start`` on."""

    start: int
    size: int


@dataclass(frozen=True)
class QemuMachine:
    """``name`` is QEMU's -M. The processor starts in the secure state, which executes secure memory only.

    ``vectors``: where the processor looks for its stack and its first instruction. ``code`` must be secure.
    """

    name: str
    vectors: Region
    code: Region
    data: Region


# Arm's application notes AN547 and AN505; DDR4 at 0x7000_0000, PSRAM at 0x8000_0000
MPS3_AN547 = QemuMachine("mps3-an547", Region(0, KIB), Region(0x70000000, 16 * MIB), Region(0x71000000, 128 * MIB))
MPS2_AN505 = QemuMachine(
    "mps2-an505", Region(0x10000000, KIB), Region(0x10000400, 4 * MIB - KIB), Region(0x80000000, 16 * MIB)
)

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
STACK = 64 * KIB


def linker_script(machine: QemuMachine) -> str:
    """Puts a program into the memory of ``machine``; it is loaded there, so nothing is copied at start."""
    numbers = {"stack": f"{STACK:#x}"}
    for name in ("vectors", "code", "data"):
        region: Region = getattr(machine, name)
        numbers |= {name: f"{region.start:#x}", f"{name}_size": f"{region.size:#x}"}
    return SCRIPT.substitute(numbers)
