"""Executed instructions of every convolution of a trunk on 64-bit ARM, under QEMU: where the time of a frame goes.

    python benchmarks/arm_instructions.py [gaitbase|gaitset] [--target arm]

Weights are random; the count does not depend on them. `qgait bench BUNDLE --device qemu` counts a whole frame.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from example_graphs import gaitbase_graph, gaitset_graph, silhouettes
from kernel_driver import build_driver, write_data

from qgait.commands.output import table
from qgait.export.graph import Graph
from qgait.runtime import qemu, reference, targets
from qgait.runtime.targets import Target
from qgait.runtime.tvm.lowering import lower

GRAPHS = {"gaitbase": gaitbase_graph, "gaitset": gaitset_graph}


def rows(graph: Graph, target: Target) -> list[tuple[str, int, int]]:
    """(layers, multiply-accumulates, instructions) of every kernel that runs once a frame."""
    assert target.qemu is not None, "the target runs without QEMU"
    tensors = {name: codes[0] for name, codes in reference.trace(graph, silhouettes(1)).items()}
    macs = {op.name: graph.macs_of(op) for op in graph.ops}
    found = []
    for kernel in lower(graph, target).frame:
        if not sum(macs.get(name, 0) for name in kernel.ops):
            continue
        with tempfile.TemporaryDirectory() as folder:
            driver = build_driver([kernel], graph, target, Path(folder))
            data = write_data([kernel], tensors, Path(folder) / "data")
            program = [driver, data, Path(folder) / "outputs"]
            one, three = (qemu.count_instructions(target.qemu, [*program, repeats]) for repeats in ("1", "3"))
        found.append((" + ".join(kernel.ops), sum(macs[name] for name in kernel.ops), (three - one) // 2))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=GRAPHS, nargs="?", default="gaitbase")
    parser.add_argument("--target", default="arm")
    options = parser.parse_args()
    found = rows(GRAPHS[options.model](), targets.find(options.target))
    found.append(("all", sum(macs for _, macs, _ in found), sum(count for *_, count in found)))
    lines = [(name, f"{macs / 1e6:.2f}", f"{count / 1e6:.3f}", f"{macs / count:.2f}") for name, macs, count in found]
    table(f"{options.model} on {options.target}", ("layers", "MMAC", "M instructions", "MAC an instruction"), lines)


if __name__ == "__main__":
    main()
