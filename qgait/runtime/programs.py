"""How a bundle's programs start on this machine: by themselves, or in an emulator when they are for another one."""

from __future__ import annotations

import signal
from pathlib import Path

from qgait.errors import QgaitError
from qgait.runtime.bundle import Bundle
from qgait.runtime.qemu import launcher
from qgait.targets.processor import machine_name, machine_of
from qgait.targets.processors import Target
from qgait.targets.qemu_system import emulator, system_command


def start(bundle: Bundle) -> list[str]:
    """What goes in front of the bundle's programs on this machine; QgaitError when they cannot run."""
    target = bundle.target
    if bundle.npu is not None:
        raise QgaitError(
            f"The bundle {bundle.path} needs an {bundle.target_name}, and there is none here.",
            f"link its {bundle.names.archive} into the board's firmware, or verify its streams on the runtime npu.",
        )
    loaded = [bundle.names.shared] if not target.bare_metal else []
    for name in (*loaded, bundle.gait_run.name):
        machine = machine_of(bundle.path / name)
        if machine != target.elf_machine:
            raise QgaitError(
                f"{name} in {bundle.path} is for {machine_name(machine)}, "
                f"its manifest says {machine_name(target.elf_machine)}.",
                "compile the bundle again.",
            )
    return before(target)


def invocation(bundle: Bundle, program: Path, *arguments: str) -> list[str]:
    """The command that runs one of the bundle's programs on this machine; QgaitError when that cannot be."""
    start(bundle)
    return command_of(bundle.target, program, *arguments)


def before(target: Target) -> list[str]:
    """What goes in front of a program for ``target`` on this machine; QgaitError when it cannot run here."""
    return launcher(target.elf_machine, target.qemu or ()) if not target.bare_metal else emulator(target)


def command_of(target: Target, program: Path, *arguments: str) -> list[str]:
    """The command that runs a program for ``target`` on this machine; QgaitError when that cannot be."""
    if not target.bare_metal:
        return [*before(target), str(program), *arguments]
    return system_command(before(target), program, arguments)


def reason(code: int, stderr: bytes) -> str:
    """A sentence for a program that ended with ``code``."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = ": this processor lacks instructions of the target" if name == "SIGILL" else ""
        return f"it was stopped by {name}{hint}."
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with code {code}."
