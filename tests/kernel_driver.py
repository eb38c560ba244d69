"""Runs compiled kernels one by one on given tensors: a small C program, on this machine or under QEMU."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.link import Linker
from qgait.compiler.tvm.emit import emit_object
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.targets.processors import Target
from qgait.targets.qemu_system import emulator, system_command

Codes = NDArray[np.int8]
GUARD = 64  # bytes behind every output that must keep their value
UNTOUCHED = 0x5A

HEAD = """#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
static FILE *data;
// memory that ends at a page which cannot be read
static void *take(size_t size, size_t alignment) {
    size_t page = 4096, used = (size + alignment - 1) / alignment * alignment, pages = (used + page - 1) / page * page;
    char *memory = mmap(NULL, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory + pages, page, PROT_NONE);
    memory += pages - used;
    if (fread(memory, 1, size, data) != size) exit(3);
    return memory;
}
static void *room(size_t size) { return memset(aligned_alloc(64, (size + 63) / 64 * 64), 0x5A, size); }
"""

# the same without an operating system; nothing guards the end of memory there
BARE_HEAD = """#include <stdint.h>
#include "system.h"
#define fwrite(bytes, size, count, file) put(bytes, count)
#define fclose(file) (close_streams(), 0)
static char memory[8 << 20], *used = memory;
static void *room(size_t size) {
    char *start = used;
    for (used += (size + 63) / 64 * 64; start < used; start++) *start = 0x5A;
    return used - (size + 63) / 64 * 64;
}
static void *fetch(size_t size) {
    void *start = room(size);
    if (take(start, size) != size) refuse("too little data");
    return start;
}
#define take(size, alignment) fetch(size)
"""


def build_driver(kernels: Sequence[Kernel], graph: Graph, target: Target, folder: Path) -> Path:
    """A static program: ``driver DATA OUTPUTS REPEATS`` calls every kernel REPEATS times and writes what it left."""
    bare = target.bare_metal
    lines = [BARE_HEAD if bare else HEAD, *(f"{kernel.prototype()};" for kernel in kernels)]
    lines += ["int main(int argc, char **argv) {", "int repeats = argv[3][0] - '0';"]
    if bare:
        lines.append("open_streams(argv[1], argv[2]);")
    else:
        lines += ['data = fopen(argv[1], "rb");', 'FILE *outputs = fopen(argv[2], "wb");']
    for kernel in kernels:
        inputs = [graph.tensors[name].size for name in kernel.inputs]
        size = graph.tensors[kernel.output].size
        take = [f"take({n}, 16)" for n in inputs] + [f"take({array.nbytes}, 64)" for array in kernel.constants]
        names = [f"p{i}" for i in range(len(take))]
        scratch = ["scratch"] if kernel.scratch_bytes else []
        lines.append("{" + "".join(f"void *{name} = {call};" for name, call in zip(names, take, strict=True)))
        lines.append(f"void *scratch = room({kernel.scratch_bytes + GUARD});")
        lines.append(f"int8_t *out = (int8_t *)room({size + GUARD + 16}) + 16;")  # outputs are 16-byte aligned
        call = f"{kernel.symbol}({', '.join([*names, *scratch, 'out'])})"
        lines.append(f"for (int i = 0; i < repeats; i++) {call};")
        lines.append(f"fwrite(out, 1, {size + GUARD}, outputs);")
        lines.append(f"fwrite((char *)scratch + {kernel.scratch_bytes}, 1, {GUARD}, outputs);" + "}")
    lines.append("return fclose(outputs); }")
    (folder / "driver.c").write_text("\n".join(lines))
    (folder / "kernels.o").write_bytes(emit_object(kernels, target))
    if bare:
        Linker(target, folder).bare_program([folder / "driver.c"], [folder / "kernels.o"], folder, folder / "driver")
        return folder / "driver"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target.zig_target, "-static", "-O1", "-w"]
    command += ["-o", "driver", "driver.c", "kernels.o"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "driver"


def driver_command(driver: Path, data: Path, target: Target, repeats: int) -> list[str | Path]:
    """Runs a driver in the folder that it is in; it writes ``outputs`` there."""
    words = [data.name, "outputs", str(repeats)]
    if target.bare_metal:
        return list(system_command(emulator(target), driver, words))
    return [*(target.qemu or ()), driver, *words]


def write_data(kernels: Sequence[Kernel], tensors: Mapping[str, Codes], path: Path) -> Path:
    """The inputs and constants of every kernel, in the order in which the driver takes them."""
    with path.open("wb") as file:
        for kernel in kernels:
            for array in (*(tensors[name] for name in kernel.inputs), *kernel.constants):
                file.write(np.ascontiguousarray(array).tobytes())
    return path


def run_kernels(
    kernels: Sequence[Kernel], graph: Graph, target: Target, tensors: Mapping[str, Codes]
) -> dict[str, Codes]:
    """Each kernel's output when its inputs are taken from ``tensors``; fails if it reads or writes past its memory."""
    with tempfile.TemporaryDirectory() as folder:
        driver = build_driver(kernels, graph, target, Path(folder))
        data = write_data(kernels, tensors, Path(folder) / "data")
        subprocess.run(driver_command(driver, data, target, 2), check=True, cwd=folder)
        written = np.fromfile(Path(folder) / "outputs", np.uint8)
    outputs = {}
    for kernel in kernels:
        tensor = graph.tensors[kernel.output]
        codes, guards, written = np.split(written, [tensor.size, tensor.size + 2 * GUARD])
        assert (guards == UNTOUCHED).all(), f"{kernel.symbol} writes past the end of its memory"
        outputs[kernel.output] = codes.view(np.int8).reshape(tensor.shape)
    return outputs
