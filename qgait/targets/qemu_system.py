"""Runs a program that has no operating system: QEMU's system mode, with semihosting for its files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from qgait.errors import QgaitError
from qgait.targets.processors import Target


def emulator(target: Target) -> list[str]:
    """The start of a command that emulates a machine with ``target``; QgaitError when QEMU is not installed."""
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
