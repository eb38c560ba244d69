"""The processors that qgait compiles for, under the names people use."""

from __future__ import annotations

import difflib
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from qgait.errors import QgaitError
from qgait.targets.accelerators import NPU_TARGETS, find_npu
from qgait.targets.host_speed import HostSpeed
from qgait.targets.parts import ENSEMBLE_E7, RA8M1, STM32U5A9, Part
from qgait.targets.qemu_machines import MPS2_AN505, MPS3_AN547, QemuMachine

Isa = Literal["dotprod", "v8", "armv7", "vnni", "generic", "mve", "dsp"]

EM_ARM, EM_X86_64, EM_AARCH64 = 40, 62, 183  # e_machine of the ELF specification


@dataclass(frozen=True)
class Target:
    """One processor: what LLVM, the linker and an emulator call it. A bundle's manifest has exactly this of it.

    ``isa`` names its instruction set. ``zig_target`` is a static Linux ABI, ``qemu`` the command in front of a program
    that runs it on another host (None where the code runs on this machine).
    ``board`` is the machine of QEMU that programs are linked for; only a target without an operating system has one.
    ``flash_bytes`` and ``ram_bytes`` of a ``part`` are what a network has to fit into (fit.py); None: anything.
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
    def bare_metal(self) -> bool:
        """Whether its programs run without an operating system."""
        return self.board is not None

    @property
    def zig_flags(self) -> tuple[str, ...]:
        """The processor as zig's compiler is told."""
        return ("-target", self.zig_target, *((f"-mcpu={self.zig_cpu}",) if self.zig_cpu else ()))


@dataclass(frozen=True)
class Microcontroller:
    """``part``, a common large one, is assumed where no memory is named; QEMU's ``machine`` stands in for it."""

    part: Part
    machine: QemuMachine


LINUX = HostSpeed(macs=8, bytes=4, clock=1.7e9)  # a Cortex-A55 of an i.MX 93 with dot products


@dataclass(frozen=True)
class Processor:
    """A target, and what bundles do not say of it: ``speed`` beside an NPU, and the chip if it has no Linux."""

    target: Target
    speed: HostSpeed = LINUX
    chip: Microcontroller | None = None


def _aarch64(
    name: str, description: str, isa: Isa, mattr: tuple[str, ...], mcpu: str | None = None, cpu: str = "neoverse-n1"
) -> Processor:
    qemu = ("qemu-aarch64", "-cpu", cpu)
    abi = "aarch64-linux-musl"
    return Processor(Target(name, description, "aarch64-linux-gnu", mattr, mcpu, isa, abi, EM_AARCH64, qemu))


def _dotprod(name: str, description: str, mcpu: str | None = None) -> Processor:
    return _aarch64(name, description, "dotprod", ("+neon", "+dotprod"), mcpu)


def _v8(name: str, description: str, mcpu: str | None = None) -> Processor:
    return _aarch64(name, description, "v8", ("+neon",), mcpu, "cortex-a72")


def _cortex_m(
    number: int, description: str, architecture: str, isa: Isa, speed: HostSpeed, part: Part, machine: QemuMachine
) -> Processor:
    target = Target(
        name=f"cortex-m{number}",
        description=f"Cortex-M{number} with {description}, no operating system",
        mtriple=f"{architecture}-none-eabihf",
        mattr=(f"+{isa}",),
        mcpu=f"cortex-m{number}",
        isa=isa,
        zig_target="thumb-freestanding-eabihf",
        elf_machine=EM_ARM,
        qemu=("qemu-system-arm", "-M", machine.name),
        zig_cpu=f"cortex_m{number}+fp_armv8d16sp",  # or zig assumes a core without floating point
        board=machine.name,
    )
    return Processor(target, speed, Microcontroller(part, machine))


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

PROCESSORS = (
    _dotprod("arm", "any 64-bit ARM with dot products (ARMv8.2 and later)"),
    _v8("arm64-v8", "any 64-bit ARM (ARMv8.0, no dot products)"),
    _dotprod("arm-i8mm", "64-bit ARM with int8 matrix products; runs the dot-product code for now"),
    Processor(_ARMV7),
    _v8("rpi3", "Raspberry Pi 3, 64-bit (Cortex-A53)", "cortex-a53"),
    _v8("rpi4", "Raspberry Pi 4, 64-bit (Cortex-A72)", "cortex-a72"),
    _dotprod("rpi5", "Raspberry Pi 5 (Cortex-A76)", "cortex-a76"),
    _dotprod("rk3588", "Rockchip RK3588 (Cortex-A76 and A55)", "cortex-a76"),
    _dotprod("imx93", "NXP i.MX 93 (Cortex-A55)", "cortex-a55"),
    # 16 codes in two loads, a maximum and a store, two cycles each
    _cortex_m(55, "MVE", "thumbv8.1m.main", "mve", HostSpeed(macs=2, bytes=2), ENSEMBLE_E7, MPS3_AN547),
    # the emulator has no Cortex-M85; its code uses the instructions of a Cortex-M55
    _cortex_m(85, "MVE", "thumbv8.1m.main", "mve", HostSpeed(macs=4, bytes=4), RA8M1, MPS3_AN547),
    # one or two products an instruction, codes one by one
    _cortex_m(33, "DSP", "thumbv8m.main", "dsp", HostSpeed(macs=0.5, bytes=0.5), STM32U5A9, MPS2_AN505),
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
    return [host(), *(known.target for known in PROCESSORS)]


def find(name: str) -> Target:
    """The processor called ``name``; QgaitError names the nearest target."""
    if name == "host":
        return host()
    for known in PROCESSORS:
        if known.target.name == name:
            return known.target
    accelerator = find_npu(name)
    if accelerator is not None:
        raise QgaitError(
            f"{name} is an NPU, and this takes a processor.", f"name the one beside it, such as {accelerator.host}."
        )
    names = ["host", *(known.target.name for known in PROCESSORS), *(target.name for target in NPU_TARGETS)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    raise QgaitError(
        f"There is no target called '{name}'.", f"did you mean '{near}'? `qgait targets` lists every target."
    )


def processor(target: Target) -> Processor:
    """What is known of ``target`` beside its description; QgaitError for this machine and others without an entry."""
    for known in PROCESSORS:
        if known.target.name == target.name:
            return known
    raise QgaitError(
        f"qgait does not know the speed and the memory of a processor called '{target.name}'.",
        "name an ARM target of `qgait targets`.",
    )


def microcontroller(target: Target) -> Microcontroller:
    """The chip of a ``target`` without an operating system; QgaitError for any other."""
    chip = processor(target).chip
    if chip is None:
        raise QgaitError(f"{target.name} has an operating system and is no microcontroller.", "name a Cortex-M.")
    return chip
