"""Programs for another processor on this machine: QEMU's user mode, and the count of what they execute."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qgait.errors import QgaitError
from qgait.files import replace_file, work_folder
from qgait.targets.processor import machine_name, this_machine

PLUGIN = Path(__file__).with_name("count_instructions.c")


def launcher(machine: int, qemu: Sequence[str]) -> list[str]:
    """What goes in front of a program for ELF ``machine``: nothing on its own processor, else ``qemu``.

    QgaitError when there is no emulator for it or it is not installed.
    """
    if machine == this_machine():
        return []
    if not qemu:
        raise QgaitError(
            f"This bundle is for {machine_name(machine)} and this machine is {machine_name(this_machine())}.",
            "compile it for this machine (`target=host`), or measure it on the other one (`device=ssh://user@host`).",
        )
    path = shutil.which(qemu[0])
    if path is None:
        raise QgaitError(
            f"This bundle is for {machine_name(machine)}; running it here needs {qemu[0]}, which is not installed.",
            "install the Debian package qemu-user (apt install qemu-user).",
        )
    return [path, *qemu[1:]]


def count_instructions(command: Sequence[str | Path], folder: Path | None = None) -> int:
    """Executed guest instructions of one run, start-up included.

    ``command`` begins with the emulator and runs in ``folder``.
    """
    return int(_counted(command, folder, r"^instructions (\d+)$")[0])


def count_by_function(command: Sequence[str | Path], folder: Path | None = None) -> dict[str, int]:
    """The same by the name of the function, of a program that has a symbol table."""
    found = _counted(command, folder, r"^function (\S+) (\d+)$")
    return {name: int(count) for name, count in found}


def _counted(command: Sequence[str | Path], folder: Path | None, pattern: str) -> list[Any]:
    """What the plugin printed in the form of ``pattern`` when ``command`` ended."""
    emulator = str(command[0])
    plugin = build_plugin(emulator)
    with work_folder() as work:
        log = work / "counts.log"
        done = subprocess.run(
            [emulator, "-plugin", str(plugin), "-d", "plugin", "-D", str(log), *map(str, command[1:])],
            capture_output=True,
            text=True,
            cwd=folder,
        )
        printed = log.read_text() if log.exists() else ""
    found = re.findall(pattern, printed, re.MULTILINE)
    if done.returncode != 0 or not found or "too many blocks" in printed:
        said = (done.stderr.strip() or "it printed no count").splitlines()[-1]
        raise QgaitError(
            f"{emulator} could not count instructions: {said}",
            "install a QEMU with plugins (Debian's qemu-user has them, qemu-user-static has not).",
        )
    return found


def build_plugin(emulator: str) -> Path:
    """The counting plugin for the installed QEMU; compiled with this machine's cc on first use."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qgait"
    api = plugin_api(emulator)
    version = hashlib.sha256(PLUGIN.read_bytes()).hexdigest()[:12]
    plugin = folder / f"count_instructions-{version}-api{api}.so"
    if plugin.exists():
        return plugin
    compiler = shutil.which("cc")
    if compiler is None:
        raise QgaitError("Counting instructions needs a C compiler, and there is no cc.", "apt install gcc.")
    folder.mkdir(parents=True, exist_ok=True)
    with work_folder() as work:
        partial = work / "plugin.so"
        flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden", f"-DQEMU_PLUGIN_API={api}"]
        done = subprocess.run([compiler, *flags, str(PLUGIN), "-o", str(partial)], capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr.strip() or "no message").splitlines()[-1]
            raise QgaitError(f"cc could not build the instruction counter: {said}", "apt install gcc libc6-dev.")
        replace_file(plugin, partial.read_bytes())
    return plugin


def plugin_api(emulator: str) -> int:
    """The plugin API version to ask for: 1 until QEMU 8, 2 since QEMU 9, which refuses 1."""
    version = subprocess.run([emulator, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)", version)
    return 2 if found is not None and int(found[1]) >= 9 else 1
