"""Runs compiled kernels on given memory: kernel_driver.c, on this machine or under QEMU.

`run_kernels` runs kernels one by one; ``program_driver`` runs whole programs with the same C.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.device import DEVICE
from qgait.compiler.link import Linker, zig_command
from qgait.compiler.tvm.emit import emit_object
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.targets.processors import Target
from qgait.targets.qemu_system import emulator, system_command

Codes = NDArray[np.int8]
MOST_ARGUMENTS = 16
ANYTHING = b"\x33"  # what memory holds before it is written
DRIVER = Path(__file__).with_suffix(".c")


def build_driver(kernels: Sequence[Kernel], target: Target, folder: Path) -> Path:
    """A static program: ``driver DATA OUTPUTS REPEATS`` makes the calls of `Calls.file`, each REPEATS times."""
    kernel_object, driver = folder / "kernels.o", folder / "driver"
    names = ", ".join(kernel.symbol for kernel in kernels)
    (folder / "kernels.h").write_text(f"extern kernel {names};\nstatic kernel *const kernels[] = {{{names}}};\n")
    kernel_object.write_bytes(emit_object(kernels, target))
    if target.bare_metal:
        Linker(target, folder).bare_program([DRIVER], [kernel_object], folder, driver)
    else:
        words = [*zig_command(), "cc", "-target", target.zig_target, "-static", "-O1", f"-I{DEVICE}", f"-I{folder}"]
        sources = [DRIVER, DEVICE / "system_posix.c", kernel_object]
        subprocess.run([*words, *map(str, sources), "-o", str(driver)], check=True)
    return driver


def driver_command(driver: Path, data: Path, target: Target, repeats: int, *moved: str) -> list[str | Path]:
    """Runs a driver in the folder that it is in; it writes ``outputs`` there. "moved": see kernel_driver.c."""
    words = [data.name, "outputs", str(repeats), *moved]
    if target.bare_metal:
        return list(system_command(emulator(target), driver, words))
    return [*(target.qemu or ()), driver, *words]


class Calls:
    """Buffers by name and the calls of kernels that use them."""

    def __init__(self) -> None:
        self.buffers: dict[str, tuple[bytes, int]] = {}
        self.calls: list[tuple[int, Sequence[str]]] = []

    def given(self, name: str, data: bytes, alignment: int = 16) -> None:
        """A buffer that is only read; not a byte may be read behind it, but for those up to its alignment."""
        self.buffers[name] = data, _rounded(len(data), alignment)

    def written(self, name: str, data: bytes) -> None:
        """A tensor that some kernel writes, aligned to 16 bytes and to no more."""
        room = _rounded(len(data) + 1, 16)
        self.buffers[name] = data, room if room % 64 else room + 16

    def scratch(self, name: str, size: int) -> None:
        """Working memory of a kernel."""
        self.buffers[name] = ANYTHING * size, _rounded(size, 64) + 64

    def call(self, kernel: int, arguments: Sequence[str]) -> None:
        """Kernel number ``kernel`` of the driver; the last argument is its output."""
        assert len(arguments) <= MOST_ARGUMENTS
        self.calls.append((kernel, arguments))

    def file(self) -> bytes:
        """The driver's input."""
        numbers = {name: number for number, name in enumerate(self.buffers)}
        parts = [_words(len(self.buffers))]
        for data, room in self.buffers.values():
            parts += [_words(len(data), room), data]
        parts.append(_words(len(self.calls)))
        for kernel, arguments in self.calls:
            parts.append(_words(kernel, len(arguments), *(numbers[name] for name in arguments)))
        return b"".join(parts)


def run(driver: Path, calls: Calls, target: Target, repeats: int = 1) -> Codes:
    """The outputs of all calls, one behind the other; fails where a kernel leaves its memory."""
    data = driver.with_name("data")
    data.write_bytes(calls.file())
    command = driver_command(driver, data, target, repeats, "moved")
    done = subprocess.run(command, capture_output=True, text=True, cwd=driver.parent)
    assert done.returncode == 0, f"the driver ended with {done.returncode}: {done.stderr}"
    return np.fromfile(driver.with_name("outputs"), np.int8)


def calls_of(kernels: Sequence[Kernel], graph: Graph, tensors: Mapping[str, Codes]) -> Calls:
    """One call of every kernel, each with buffers of its own that hold its inputs from ``tensors``."""
    calls = Calls()
    for number, kernel in enumerate(kernels):
        inputs = [f"{number} in {i}" for i in range(len(kernel.inputs))]
        constants = [f"{number} constant {i}" for i in range(len(kernel.constants))]
        scratch = {f"{number} {name}": size for name, (_, size) in kernel.working.items()}
        for name, tensor in zip(inputs, kernel.inputs, strict=True):
            calls.given(name, tensors[tensor].tobytes())
        for name, array in zip(constants, kernel.constants, strict=True):
            calls.given(name, array.tobytes(), 64)
        for name, size in scratch.items():
            calls.scratch(name, size)
        calls.written(f"{number} out", ANYTHING * graph.tensors[kernel.output].size)
        calls.call(number, [*inputs, *constants, *scratch, f"{number} out"])
    return calls


def run_kernels(
    kernels: Sequence[Kernel], graph: Graph, target: Target, tensors: Mapping[str, Codes]
) -> dict[str, Codes]:
    """Each kernel's output when its inputs are taken from ``tensors``; fails if it reads or writes past its memory."""
    with tempfile.TemporaryDirectory() as folder:
        driver = build_driver(kernels, target, Path(folder))
        written = run(driver, calls_of(kernels, graph, tensors), target, repeats=2)
    outputs, start = {}, 0
    for kernel in kernels:
        tensor = graph.tensors[kernel.output]
        outputs[kernel.output] = written[start : start + tensor.size].reshape(tensor.shape)
        start += tensor.size
    assert start == len(written)
    return outputs


def _rounded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _words(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()
