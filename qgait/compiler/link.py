"""From the object with the kernels and the generated C to libgait and gait-run, for any target, with zig's clang."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from qgait.compiler.assembly import Assembly
from qgait.compiler.device import DEVICE, c_source
from qgait.errors import QgaitError
from qgait.files.space import NEARLY_FULL, free_space
from qgait.runtime.bundle_names import DEFAULT_PREFIX, Names
from qgait.targets import elf
from qgait.targets.processor import machine_name, machine_of
from qgait.targets.processors import Target, microcontroller
from qgait.targets.qemu_machines import linker_script

STAND_IN = "gait_npu_stand_in"
CRYPTOGRAPHY = "ed25519.zig"  # of device/, among the sources of a program that checks signatures
# -g0: line tables would name folders of the machine that compiles, and the sources that they tell of are in no bundle
C_FLAGS = ("-std=gnu23", "-O2", "-g0", "-fno-sanitize=all", "-fno-stack-protector", "-fvisibility=hidden")
LINUX_FLAGS = ("-fPIC",)
# every function and constant in a section of its own, which a firmware can place; nothing that an unwinder would need
BARE_FLAGS = ("-fno-pic", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables")

_compiled_cryptography: dict[tuple[str, ...], bytes] = {}
# what programs are linked with besides this package; `versions` in the manifest has that of ziglang
FOREIGN_PARTS = {False: "musl, compiler-rt and std.crypto of ziglang", True: "compiler-rt and std.crypto of ziglang"}


class Linker:
    """Builds in the folder ``work`` for one target; every call writes one file and raises QgaitError if it cannot.

    The same network always gives the same bytes. With ``symbols`` programs keep the names of their functions.
    """

    def __init__(self, target: Target, work: Path, prefix: str = DEFAULT_PREFIX, symbols: bool = False) -> None:
        self.target = target
        self.work = work
        self.strip = () if symbols else ("-s",)
        self.names = Names(prefix)
        self.flags = (*C_FLAGS, *(BARE_FLAGS if target.bare_metal else LINUX_FLAGS))

    def archive(self, assembly: Assembly, out: Path, trace: bool = False) -> None:
        """Writes header and libgait.a into ``out``; with ``trace`` it calls gait_trace after every kernel."""
        glue = assembly.glue
        for name, text in {self.names.header: glue.header, **glue.sources}.items():
            (self.work / name).write_text(text)
        (self.work / "weights.bin").write_bytes(glue.weights)
        (self.work / "kernels.o").write_bytes(assembly.kernels)
        self._compile("glue.c", *(["-DGAIT_TRACE"] if trace else []))
        self._compile("weights.c")
        self._compile("description.c")
        (out / self.names.header).write_text(glue.header)
        self._zig("ar", "rcsD", out / self.names.archive, *self._objects(), self._description)

    def read_only_bytes(self) -> int:
        """Code and weights of the library that the last `archive` wrote; nobody has to link its description."""
        return sum(elf.read_only_bytes(file.read_bytes()) for file in self._objects())

    def shared(self, out: Path, npu: str | None = None) -> None:
        """Writes libgait.so into ``out`` from what the last `archive` compiled; it exports the C API alone.

        ``npu`` is a C file of ``device/`` that stands in for an NPU, and also exports how it is told what to do.
        """
        exports = self.work / "exports.map"
        names = (*self.names.calls, self.names.description, *([STAND_IN] if npu else []))
        exports.write_text(f"{{ global: {' '.join(f'{name};' for name in names)} local: *; }};\n")
        memory = self._compile(self._source("memory.c"), "-fno-builtin")
        soname = f"-Wl,-soname,{self.names.shared}"
        flags = ["-shared", "-nostdlib", "-Wl,-z,defs", soname, f"-Wl,--version-script={exports}"]
        doubles = [self._compile(self._source(npu))] if npu else []
        self._link(out / self.names.shared, *flags, *self._objects(), self._description, *doubles, memory)

    def program(self, sources: Sequence[str], library: Path, out: Path) -> None:
        """Links C files of ``device/`` with the libgait.a of the folder ``library`` into a static executable.

        It has the C library, or without an operating system start-up code and the memory of QEMU's machine.
        """
        archive = library / self.names.archive
        files = [self.work / self._source(name) for name in sources if name != CRYPTOGRAPHY]
        objects = [archive]
        if CRYPTOGRAPHY in sources:
            objects.append(self._cryptography())
        if self.target.bare_metal:
            self.bare_program(files, objects, library, out)
            return
        files.append(self.work / self._source("system_posix.c"))
        self._link(out, "-static", *self.flags, f"-I{library.absolute()}", f"-I{DEVICE}", *files, *objects)
        out.chmod(0o755)

    def bare_program(self, sources: Sequence[Path], objects: Sequence[Path], headers: Path, out: Path) -> None:
        """Links C files and objects with start-up code, for QEMU's machine without an operating system."""
        script = self.work / "machine.ld"
        script.write_text(linker_script(microcontroller(self.target).machine))
        files = [*sources, self.work / self._source("system_semihosting.c")]
        compiled = [self._compile(file, f"-I{headers.absolute()}") for file in files]
        memory = self._compile(self._source("memory.c"), "-fno-builtin")
        # nothing is paged in here, so the file needs no gaps
        flags = ["-nostdlib", f"-Wl,-T,{script}", "-Wl,-z,max-page-size=64", "-Wl,--gc-sections"]
        self._link(out, *flags, *compiled, *objects, memory)

    def _objects(self) -> list[Path]:
        return [self.work / name for name in ("glue.o", "kernels.o", "weights.o")]

    @property
    def _description(self) -> Path:
        return self.work / "description.o"

    def _source(self, name: str) -> str:
        """A file of ``device/``, with the prefix of this library, in the folder ``work``."""
        (self.work / name).write_text(c_source(name, self.names.prefix))
        return name

    def _compile(self, source: str | Path, *flags: str) -> Path:
        out = self.work / f"{Path(source).stem}.o"
        self._zig("cc", *self.target.zig_flags, *self.flags, f"-I{DEVICE}", *flags, "-c", source, "-o", out)
        return out

    def _cryptography(self) -> Path:
        """Zig's Ed25519 and SHA-256 for this processor; where nothing else brings them, with 64-bit shifts.

        Every network has the same, so a process compiles it once.
        """
        out = self.work / "cryptography.o"
        if self.target.zig_flags in _compiled_cryptography:
            out.write_bytes(_compiled_cryptography[self.target.zig_flags])
            return out
        bare = self.target.bare_metal
        flags = ["-fno-PIC", "-fcompiler-rt", "-ffunction-sections", "-fdata-sections"] if bare else ["-fPIC"]
        small = ["-OReleaseSmall", "-fstrip", "-fno-unwind-tables", "-fsingle-threaded"]
        self._zig("build-obj", *self.target.zig_flags, *small, *flags, DEVICE / CRYPTOGRAPHY, f"-femit-bin={out.name}")
        _compiled_cryptography[self.target.zig_flags] = out.read_bytes()
        return out

    def _link(self, out: Path, *arguments: str | Path) -> None:
        # -O2 also chooses which build of zig's C library is taken: one for all calls
        self._zig("cc", *self.target.zig_flags, "-O2", *self.strip, *arguments, "-o", out)
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
            for path in (self.work / "zig", *(argument for argument in arguments if isinstance(argument, Path))):
                free = free_space(path.parent)
                if free is not None and free < NEARLY_FULL:
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
