"""The processors that qgait compiles for, under the names people use."""

from __future__ import annotations

import difflib
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from qgait.errors import QgaitError
from qgait.targets.accelerators import NPU_TARGETS, find_npu

Isa = Literal["dotprod", "v8", "armv7", "vnni", "generic", "mve", "dsp"]

EM_ARM, EM_X86_64, EM_AARCH64 = 40, 62, 183  # e_machine of the ELF specification


@dataclass(frozen=True)
class Target:
    """One processor: what LLVM, the linker and an emulator call it.

    ``isa`` names the convolution kernels. ``zig_target`` is a static Linux ABI, ``qemu`` the command in front of a
    program that runs it on another host (None where the code runs on this machine).
    A target with a ``board`` has no operating system: its programs are for that board of qemu_boards.py, which QEMU has.
    ``flash_bytes`` and ``ram_bytes`` of a ``part`` are what a network has to fit into (parts.py); None: anything.
    """

    name: str
    description: str
    mtriple: str
    mattr: tuple[str, ...]
    mcpu: str | None
    isa: Isa
    zig_target: str
    elf_machine: int
    qemu: tuple[str, ...] | None
    zig_cpu: str | None = None
    board: str | None = None
    part: str | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    @property
    def zig_flags(self) -> tuple[str, ...]:
        """The processor as zig's compiler is told."""
        return ("-target", self.zig_target, *((f"-mcpu={self.zig_cpu}",) if self.zig_cpu else ()))


def _aarch64(
    name: str, description: str, isa: Isa, mattr: tuple[str, ...], mcpu: str | None = None, cpu: str = "neoverse-n1"
) -> Target:
    qemu = ("qemu-aarch64", "-cpu", cpu)
    return Target(name, description, "aarch64-linux-gnu", mattr, mcpu, isa, "aarch64-linux-musl", EM_AARCH64, qemu)


def _dotprod(name: str, description: str, mcpu: str | None = None) -> Target:
    return _aarch64(name, description, "dotprod", ("+neon", "+dotprod"), mcpu)


def _v8(name: str, description: str, mcpu: str | None = None) -> Target:
    return _aarch64(name, description, "v8", ("+neon",), mcpu, "cortex-a72")


def _cortex_m(number: int, description: str, triple: str, mattr: tuple[str, ...], isa: Isa, board: str) -> Target:
    return Target(
        name=f"cortex-m{number}",
        description=description,
        mtriple=f"{triple}-none-eabihf",
        mattr=mattr,
        mcpu=f"cortex-m{number}",
        isa=isa,
        zig_target="thumb-freestanding-eabihf",
        elf_machine=EM_ARM,
        qemu=("qemu-system-arm", "-M", board),
        zig_cpu=f"cortex_m{number}+fp_armv8d16sp",  # or zig assumes a core without floating point
        board=board,
    )


_ARMV7 = Target(
    name="armv7",
    description="32-bit ARMv7-A with NEON, hard float",
    mtriple="armv7a-linux-gnueabihf",
    mattr=("+neon", "+vfp4", "+thumb2"),
    mcpu="cortex-a7",
    isa="armv7",
    zig_target="arm-linux-musleabihf",
    elf_machine=EM_ARM,
    qemu=("qemu-arm", "-cpu", "cortex-a15"),
)

_BOARDS = (
    _dotprod("arm", "any 64-bit ARM with dot products (ARMv8.2 and later)"),
    _v8("arm64-v8", "any 64-bit ARM (ARMv8.0, no dot products)"),
    _dotprod("arm-i8mm", "64-bit ARM with int8 matrix products; runs the dot-product code for now"),
    _ARMV7,
    _v8("rpi3", "Raspberry Pi 3, 64-bit (Cortex-A53)", "cortex-a53"),
    _v8("rpi4", "Raspberry Pi 4, 64-bit (Cortex-A72)", "cortex-a72"),
    _dotprod("rpi5", "Raspberry Pi 5 (Cortex-A76)", "cortex-a76"),
    _dotprod("rk3588", "Rockchip RK3588 (Cortex-A76 and A55)", "cortex-a76"),
    _dotprod("imx93", "NXP i.MX 93 (Cortex-A55)", "cortex-a55"),
    _cortex_m(55, "Cortex-M55 with MVE, no operating system", "thumbv8.1m.main", ("+mve",), "mve", "mps3-an547"),
    # the emulator has no Cortex-M85; its code uses the instructions of a Cortex-M55
    _cortex_m(85, "Cortex-M85 with MVE, no operating system", "thumbv8.1m.main", ("+mve",), "mve", "mps3-an547"),
    _cortex_m(33, "Cortex-M33 with DSP, no operating system", "thumbv8m.main", ("+dsp",), "dsp", "mps2-an505"),
)


def cpu_features() -> set[str]:
    """The flags of this machine's first processor as the Linux kernel names them; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))), set())


def host(machine: str | None = None, features: set[str] | None = None) -> Target:
    """The target of this machine: the fastest code that its processor runs."""
    machine = machine or platform.machine()
    features = cpu_features() if features is None else features
    if machine in ("aarch64", "arm64"):
        like = find("arm" if "asimddp" in features else "arm64-v8")
        return replace(like, name="host", description=f"this machine: {like.description}", qemu=None)
    if machine not in ("x86_64", "AMD64"):
        raise QgaitError(f"This machine is a {machine}, and qgait compiles for x86-64 and ARM.", "name an ARM target.")
    mattr: tuple[str, ...] = ()
    isa: Isa = "generic"
    if {"avx512_vnni", "avx512bw", "avx512vl", "avx512dq", "avx512cd"} <= features:
        mcpu, mattr, isa, what = "x86-64-v4", ("+avx512vnni",), "vnni", "AVX-512 VNNI"
        if "avx512vbmi" in features:  # table look-ups in registers
            mattr += ("+avx512vbmi",)
    elif {"avx2", "fma", "bmi2"} <= features:
        mcpu, what = "x86-64-v3", "AVX2"
    else:
        mcpu, what = "x86-64", "SSE2"
    return Target(
        name="host",
        description=f"this machine: x86-64 with {what}",
        mtriple="x86_64-linux-gnu",
        mattr=mattr,
        mcpu=mcpu,
        isa=isa,
        zig_target="x86_64-linux-musl",
        elf_machine=EM_X86_64,
        qemu=None,
    )


def all_targets() -> list[Target]:
    """Every target, ``host`` first."""
    return [host(), *_BOARDS]


def find(name: str) -> Target:
    """The processor called ``name``; QgaitError names the nearest target."""
    if name == "host":
        return host()
    for target in _BOARDS:
        if target.name == name:
            return target
    accelerator = find_npu(name)
    if accelerator is not None:
        raise QgaitError(
            f"{name} is an NPU, and this takes a processor.", f"name the one beside it, such as {accelerator.host}."
        )
    known = ["host", *(target.name for target in _BOARDS), *(target.name for target in NPU_TARGETS)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    raise QgaitError(
        f"There is no target called '{name}'.", f"did you mean '{near}'? `qgait targets` lists every target."
    )
