"""Runs whole compiled programs in a small static program, under QEMU where they are for another processor.

``trace`` is the compiled twin of ``qgait.runtime.reference.trace``: every tensor of one clip, to be compared code by
code. ``kernel_driver`` runs kernels one by one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.tvm.emit import emit_object
from qgait.compiler.tvm.program import SILHOUETTE, Kernel, Program
from qgait.export.operators import FrameMax

Codes = NDArray[np.int8]
MOST_ARGUMENTS = 12

# Input file, 32-bit words and bytes: number of buffers, then size and bytes of each; number of calls, then for each of
# them the kernel, the number of arguments and the arguments as buffer numbers. The last argument's buffer goes to the
# output file after the call. Buffers are 64-byte aligned and end in guard bytes that must survive.
DRIVER = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef void kernel(char *, char *, char *, char *, char *, char *, char *, char *, char *, char *, char *, char *);
extern kernel %(symbols)s;
static kernel *const kernels[] = {%(symbols)s};
static uint32_t *read_words(FILE *file, uint32_t count) {
    uint32_t *words = malloc(4 * (count + 1));
    if (fread(words, 4, count, file) != count) exit(3);
    return words;
}
static uint32_t guarded(uint32_t size) { return (size + 127) / 64 * 64; }
int main(int argc, char **argv) {
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    uint32_t buffers = *read_words(in, 1), *size = malloc(4 * buffers);
    char **memory = malloc(sizeof(char *) * buffers);
    for (uint32_t i = 0; i < buffers; i++) {
        size[i] = *read_words(in, 1);
        memory[i] = memset(aligned_alloc(64, guarded(size[i])), 0x5a, guarded(size[i]));
        if (fread(memory[i], 1, size[i], in) != size[i]) return 3;
    }
    for (uint32_t calls = *read_words(in, 1); calls > 0; calls--) {
        uint32_t *head = read_words(in, 2), *argument = read_words(in, head[1]), last = argument[head[1] - 1];
        char *a[12] = {0};
        for (uint32_t i = 0; i < head[1]; i++) a[i] = memory[argument[i]];
        kernels[head[0]](a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
        fwrite(memory[last], 1, size[last], out);
    }
    for (uint32_t i = 0; i < buffers; i++)
        for (uint32_t k = size[i]; k < guarded(size[i]); k++)
            if (memory[i][k] != 0x5a) return fprintf(stderr, "buffer %%u overrun\\n", i), 4;
    return fclose(out);
}
"""


class Calls:
    """Buffers by name and the kernel calls that use them.

    With ``in_place`` an output takes the memory of an input where the kernel allows it and nobody else reads it.
    """

    def __init__(self, program: Program, in_place: bool = False) -> None:
        self.program, self.in_place = program, in_place
        self.moved: dict[str, str] = {}
        self.symbols = [kernel.symbol for kernel in (*program.frame, *program.clip)]
        self.states = {op.output for op in program.graph.ops if isinstance(op, FrameMax)}
        self.buffers: dict[str, bytes] = {}
        self.calls: list[tuple[int, list[str]]] = []
        self.made: list[str] = []

    def _place(self, tensor: str, frame: int) -> str:
        per_frame = tensor == SILHOUETTE or self.program.graph.tensors[tensor].per_frame
        name = f"{tensor} {frame}" if per_frame else tensor
        return self.moved.get(name, name)

    def _shares(self, kernel: Kernel) -> bool:
        if not self.in_place or kernel.in_place is None or kernel.in_place in self.states:
            return False
        return all(op.name in kernel.ops for op in self.program.graph.readers(kernel.in_place))

    def frame(self, pixels: NDArray[np.uint8], number: int) -> None:
        """Everything that runs for one silhouette."""
        self.buffers[self._place(SILHOUETTE, number)] = pixels.tobytes()
        for kernel in self.program.frame:
            self._call(kernel, number)

    def clip(self) -> None:
        """Everything that runs for an embedding."""
        for kernel in self.program.clip:
            self._call(kernel, 0)

    def _call(self, kernel: Kernel, frame: int) -> None:
        size = self.program.graph.tensors[kernel.output].size
        constants = {f"{kernel.symbol} constant {i}": array.tobytes() for i, array in enumerate(kernel.constants)}
        scratch = {f"{kernel.symbol} scratch": b"\x33" * kernel.scratch_bytes} if kernel.scratch_bytes else {}
        output = self._place(kernel.output, frame)
        if kernel.in_place is not None and self._shares(kernel):
            self.moved[output] = output = self._place(kernel.in_place, frame)
        self.buffers |= constants | scratch
        self.buffers.setdefault(output, (b"\x80" if kernel.output in self.states else b"\x33") * size)
        arguments = [*(self._place(name, frame) for name in kernel.inputs), *constants, *scratch, output]
        assert len(arguments) <= MOST_ARGUMENTS
        self.calls.append((self.symbols.index(kernel.symbol), arguments))
        self.made.append(kernel.output)

    def file(self) -> bytes:
        """The driver's input file."""
        numbers = {name: number for number, name in enumerate(self.buffers)}
        parts = [_words(len(self.buffers))]
        for data in self.buffers.values():
            parts += [_words(len(data)), data]
        parts.append(_words(len(self.calls)))
        for symbol, arguments in self.calls:
            parts.append(_words(symbol, len(arguments), *(numbers[name] for name in arguments)))
        return b"".join(parts)


def _words(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


def build(program: Program, folder: Path) -> Path:
    """The driver with every kernel of ``program``."""
    kernels = [*program.frame, *program.clip]
    (folder / "kernels.o").write_bytes(emit_object(kernels, program.target))
    (folder / "driver.c").write_text(DRIVER % {"symbols": ", ".join(kernel.symbol for kernel in kernels)})
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", program.target.zig_target, "-static", "-O1"]
    subprocess.run([*zig, "driver.c", "kernels.o", "-o", "driver"], cwd=folder, check=True)
    return folder / "driver"


def run(driver: Path, calls: Calls, qemu_options: tuple[str, ...] = ()) -> NDArray[np.int8]:
    """The outputs of all calls, one behind the other."""
    given, made = driver.with_name("calls.bin"), driver.with_name("results.bin")
    given.write_bytes(calls.file())
    emulator = calls.program.target.qemu
    command = [*emulator, *qemu_options] if emulator else []
    done = subprocess.run([*command, str(driver), str(given), str(made)], capture_output=True, text=True)
    assert done.returncode == 0, f"the driver ended with {done.returncode}: {done.stderr}"
    return np.fromfile(made, np.int8)


def trace(program: Program, clip: NDArray[np.uint8], folder: Path, in_place: bool = False) -> dict[str, Codes]:
    """Every tensor that a kernel writes: frame tensors [frames, ...], clip tensors [1, ...] with all frames seen."""
    calls = Calls(program, in_place)
    for number, pixels in enumerate(clip):
        calls.frame(pixels, number)
    calls.clip()
    codes, start = run(build(program, folder), calls), 0
    tensors: dict[str, list[Codes]] = {}
    for name in calls.made:
        tensor = program.graph.tensors[name]
        shaped = codes[start : start + tensor.size].reshape(tensor.shape)
        tensors[name] = [*(tensors.get(name, []) if tensor.per_frame else []), shaped]
        start += tensor.size
    assert start == len(codes)
    return {name: np.stack(seen) for name, seen in tensors.items()}
