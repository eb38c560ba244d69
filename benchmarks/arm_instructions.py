"""Executed instructions of a frame on 64-bit ARM, under QEMU: beside other runtimes, and layer by layer.

    python benchmarks/arm_instructions.py [--without-peers]                whole trunks, qgait, ONNX Runtime, LiteRT
    python benchmarks/arm_instructions.py gaitbase|gaitset [--target arm]  every convolution: where a frame's time goes

Weights are random; the count does not depend on them. `qgait bench BUNDLE --device qemu` counts a whole frame.
The peers need root on an x86-64 Debian, the extra `bench`, and the first time a network: see arm64_python.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from example_graphs import gaitbase_graph, gaitset_graph, silhouettes
from kernel_instructions import instructions

from qgait.commands.output import table
from qgait.compiler.tvm.lowering import lower
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.runtime import reference
from qgait.targets import processors as targets
from qgait.targets.processors import Target

GRAPHS = {"gaitbase": gaitbase_graph, "gaitset": gaitset_graph}


def rows(graph: Graph, target: Target) -> list[tuple[str, int, int]]:
    """(layers, multiply-accumulates, instructions) of every kernel that runs once a frame."""
    tensors = {name: codes[0] for name, codes in reference.trace(graph, silhouettes(1)).items()}
    macs = {op.name: op.macs(graph.tensors) for op in graph.ops}
    found = []
    for kernel in lower(graph, target).frame:
        if not sum(macs.get(name, 0) for name in kernel.ops):
            continue
        count = instructions(kernel, graph, target, tensors)
        found.append((" + ".join(kernel.ops), sum(macs[name] for name in kernel.ops), count))
    return found


def print_layers(model: str, target: str) -> None:
    """Prints the table of one backbone's convolutions on ``target``."""
    found = rows(GRAPHS[model](), targets.find(target))
    found.append(("all", sum(macs for _, macs, _ in found), sum(count for *_, count in found)))
    lines = [(name, f"{macs / 1e6:.2f}", f"{count / 1e6:.3f}", f"{macs / count:.2f}") for name, macs, count in found]
    table(f"{model} on {target}", ("layers", "MMAC", "M instructions", "MAC an instruction"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=GRAPHS, nargs="?", help="count its convolutions one by one")
    parser.add_argument("--target", default="arm", help="of the layers")
    parser.add_argument("--without-peers", action="store_true", help="qgait alone: needs neither root nor Debian")
    options = parser.parse_args()
    try:
        if options.model:
            print_layers(options.model, options.target)
        else:
            from arm_trunks import print_trunks

            print_trunks(not options.without_peers)
    except QgaitError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
