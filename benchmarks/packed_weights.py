"""What packed weights save and cost: bytes and executed instructions of published networks, beside weights as int8.

    python benchmarks/packed_weights.py [--networks gaitset gaitbase] [--targets arm cortex-m55] [--bits w4a4 w3a3 ...]

Networks have the published widths and random weights, calibrated on two short walks; "w4a4 same" gives first and last
layers 4 bits too. Each is compiled twice, the second time as if every layer needed 8 bits. Both bundles pass their
self-test under QEMU, code by code, before a frame's instructions are counted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from qgait.calibration.calibrate import calibrate
from qgait.compiler.assembly import Assembly, assemble
from qgait.compiler.bundle import write_assembly
from qgait.data.walkers.dataset import sequence
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.operators import Weighted
from qgait.models.backbone import describe
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.runtime.benchmark import bench
from qgait.targets.processors import Target, find

PUBLISHED = {"gaitset": {"channels": (32, 64, 128), "embedding": 256}, "gaitbase": {}}
BITS = ("w8a8", "w4a4", "w3a3", "w2a2")
HARNESS = ("gait_run.c", "selftest.c", "clip_stream.c", "signature.c", "ed25519.zig")
COLUMNS = (
    "network",
    "target",
    "parameters x bits / 8",
    "weights",
    "code and weights",
    "arena",
    "M instructions a frame",
)


def graph_of(name: str, bits: str) -> Graph:
    """The integer graph of a published network; the same weights for all ``bits``."""
    torch.manual_seed(0)
    layers = describe(build(name, **PUBLISHED[name]).eval())
    walk = np.ascontiguousarray(sequence(1, 1, "nm-01", 90, 3)[:, :, 10:-10])
    recipe, _, same = bits.partition(" ")
    asked = replace(Recipe.parse(recipe), first_last="same") if same else Recipe.parse(recipe)
    return fold(calibrate(name, layers, [walk, walk[::-1]], asked, "minmax")[0])


@contextmanager
def as_int8() -> Iterator[None]:
    """Inside, every layer is compiled as if its weights needed 8 bits."""
    bits = Weighted.weight_bits
    Weighted.weight_bits = property(lambda op: 8)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Weighted.weight_bits = bits  # type: ignore[method-assign]


def weight_bytes(assembly: Assembly) -> int:
    """Bytes of the library that are weights: the largest constant of each kernel that has some."""
    weighted = {op.name for op in assembly.program.graph.ops if isinstance(op, Weighted)}
    kernels = [kernel for kernel in assembly.program.kernels if weighted & set(kernel.ops)]
    return sum(max(array.nbytes for array in kernel.constants) for kernel in kernels)


def measured(graph: Graph, target: Target, folder: Path) -> tuple[int, int, int, int]:
    """(bytes of weights, read-only bytes, bytes of the arena, instructions a frame)."""
    assembly = assemble(graph, target)
    height = graph.tensors[graph.input].shape[0]
    frames = np.ascontiguousarray(sequence(2, 2, "nm-02", 90, 3)[:, :height, 10:-10])
    bundle = write_assembly(assembly, folder, [frames[:1], frames[1:]], False, lambda: None, None, HARNESS)
    memory = bundle.manifest["memory"]
    count = bench(bundle, "qemu").instructions_per_frame
    return weight_bytes(assembly), memory["flash_bytes"], memory["arena_bytes"], count or 0


def main() -> None:
    """Prints a line a network, bit widths and target; in brackets the same as int8."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--targets", nargs="+", default=["arm", "cortex-m55"])
    parser.add_argument("--bits", nargs="+", default=list(BITS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in (COLUMNS, ["---"] * len(COLUMNS)):
        print(f"| {' | '.join(row)} |")
    for name in options.networks:
        for bits in options.bits:
            graph = graph_of(name, bits)
            ideal = sum(op.weight_bytes for op in graph.ops)
            for target in map(find, options.targets):
                roomy = replace(target, flash_bytes=None, ram_bytes=None)
                with tempfile.TemporaryDirectory() as work:
                    packed = measured(graph, roomy, Path(work) / "packed")
                    with as_int8():
                        plain = measured(graph, roomy, Path(work) / "plain")
                sizes = [f"{new:,} ({old:,})" for new, old in zip(packed[:3], plain[:3], strict=True)]
                change = f"{packed[3] / 1e6:.2f} ({plain[3] / 1e6:.2f}, {100 * (packed[3] / plain[3] - 1):+.1f} %)"
                print(f"| {' | '.join((f'{name} {bits}', target.name, f'{ideal:,}', *sizes, change))} |", flush=True)


if __name__ == "__main__":
    main()
