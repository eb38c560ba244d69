"""From the object with the kernels and the generated C to libgait and gait-run, for any target, with zig's clang."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from qgait.compiler.glue.library import DEVICE, Glue
from qgait.errors import QgaitError
from qgait.targets import elf
from qgait.targets.processor import machine_name, machine_of
from qgait.targets.processors import Target, microcontroller
from qgait.targets.qemu_machines import linker_script

API = ("gait_arena_size", "gait_reset", "gait_push", "gait_embedding")
STAND_IN = "gait_npu_stand_in"
C_FLAGS = ("-std=gnu23", "-O2", "-fno-sanitize=all", "-fno-stack-protector", "-fvisibility=hidden")
LINUX_FLAGS = ("-fPIC",)
# every function and constant in a section of its own, which a firmware can place; nothing that an unwinder would need
BARE_FLAGS = ("-fno-pic", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables")

NEARLY_FULL = 32 << 20  # bytes; when zig fails with less free, the disk is why


class Linker:
    """Builds in the folder ``work`` for one target; every call writes one file and raises QgaitError if it cannot."""

    def __init__(self, target: Target, work: Path) -> None:
        self.target = target
        self.work = work
        self.flags = (*C_FLAGS, *(BARE_FLAGS if target.bare_metal else LINUX_FLAGS))

    def archive(self, glue: Glue, kernels: bytes, out: Path, trace: bool = False) -> None:
        """Writes gait.h and libgait.a into ``out``; with ``trace`` it calls gait_trace after every kernel."""
        names = {"gait.h": glue.header, "glue.c": glue.source, "weights.c": glue.weights_source}
        for name, text in names.items():
            (self.work / name).write_text(text)
        (self.work / "weights.bin").write_bytes(glue.weights)
        (self.work / "kernels.o").write_bytes(kernels)
        self._compile(self.work / "glue.c", f"-I{DEVICE}", *(["-DGAIT_TRACE"] if trace else []))
        self._compile(self.work / "weights.c")
        (out / "gait.h").write_text(glue.header)
        self._zig("ar", "rcsD", out / "libgait.a", *self._objects())

    def read_only_bytes(self) -> int:
        """Code and weights of the library that the last `archive` wrote."""
        return sum(elf.read_only_bytes(file.read_bytes()) for file in self._objects())

    def shared(self, out: Path, npu: str | None = None) -> None:
        """Writes libgait.so into ``out`` from what the last `archive` compiled; it exports the four calls only.

        ``npu`` is a C file of ``device/`` that stands in for an NPU, and also exports how it is told what to do.
        """
        exports = self.work / "exports.map"
        names = (*API, STAND_IN) if npu else API
        exports.write_text(f"{{ global: {' '.join(f'{name};' for name in names)} local: *; }};\n")
        memory = self._compile(DEVICE / "memory.c", "-fno-builtin")
        flags = ["-shared", "-nostdlib", "-Wl,-z,defs", "-Wl,-soname,libgait.so", f"-Wl,--version-script={exports}"]
        doubles = [self._compile(DEVICE / npu)] if npu else []
        self._link(out / "libgait.so", *flags, *self._objects(), *doubles, memory)

    def program(self, sources: Sequence[str], library: Path, out: Path) -> None:
        """Links C files of ``device/`` with libgait.a into a static executable.

        It has the C library, or without an operating system start-up code and the memory of QEMU's machine.
        """
        files = [DEVICE / name for name in sources]
        if self.target.bare_metal:
            self.bare_program(files, [library / "libgait.a"], library, out)
            return
        files.append(DEVICE / "system_posix.c")
        self._link(out, "-static", *self.flags, f"-I{library.absolute()}", *files, library / "libgait.a")
        out.chmod(0o755)

    def bare_program(self, sources: Sequence[Path], objects: Sequence[Path], headers: Path, out: Path) -> None:
        """Links C files and objects with start-up code, for QEMU's machine without an operating system."""
        script = self.work / "machine.ld"
        script.write_text(linker_script(microcontroller(self.target).machine))
        files = [*sources, DEVICE / "system_semihosting.c"]
        compiled = [self._compile(file, f"-I{headers.absolute()}", f"-I{DEVICE}") for file in files]
        memory = self._compile(DEVICE / "memory.c", "-fno-builtin")
        # nothing is paged in here, so the file needs no gaps
        flags = ["-nostdlib", f"-Wl,-T,{script}", "-Wl,-z,max-page-size=64"]
        self._link(out, *flags, *compiled, *objects, memory)

    def _objects(self) -> list[Path]:
        return [self.work / name for name in ("glue.o", "kernels.o", "weights.o")]

    def _compile(self, source: Path, *flags: str) -> Path:
        out = self.work / f"{source.stem}.o"
        self._zig("cc", *self.target.zig_flags, *self.flags, *flags, "-c", source, "-o", out)
        return out

    def _link(self, out: Path, *arguments: str | Path) -> None:
        # -O2 also chooses which build of zig's C library is taken: one for all calls
        self._zig("cc", *self.target.zig_flags, "-O2", "-s", *arguments, "-o", out)
        machine = machine_of(out)
        if machine != self.target.elf_machine:
            wanted = machine_name(self.target.elf_machine)
            raise QgaitError(
                f"{out.name} was linked for {machine_name(machine)}, but the target {self.target.name} is {wanted}.",
                "report this: the description of the target is wrong.",
            )

    def _zig(self, *arguments: str | Path) -> None:
        # what zig keeps for the next call is its C library; our objects go away with the work folder
        environment = os.environ | {"ZIG_LOCAL_CACHE_DIR": str(self.work / "zig-cache")}
        words = [str(word.absolute()) if isinstance(word, Path) else word for word in arguments]
        command = [*zig_command(), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.work, env=environment)
        if done.returncode != 0:
            for path in (argument for argument in arguments if isinstance(argument, Path)):
                if shutil.disk_usage(path.parent).free < NEARLY_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
            raise QgaitError(
                f"zig {arguments[0]} failed for {self.target.name}: {' / '.join(said[:3]) or done.returncode}",
                "this is a defect of qgait or of the machine: report it with this line.",
            )


def zig_command() -> list[str]:
    """How to start zig; QgaitError when the package is missing."""
    if importlib.util.find_spec("ziglang") is None:
        raise QgaitError("Compiling needs zig, which is not installed.", "pip install 'qgait[compile]'.")
    return [sys.executable, "-m", "ziglang"]
