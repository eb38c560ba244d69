"""Executed instructions of convolutions on Cortex-M cores under QEMU, beside the portable kernel in the same run.

    python benchmarks/cortex_m_instructions.py [LAYER...]

Every result is compared with the reference before it counts. Instructions are no cycles: a Cortex-M55 takes two for one
of its vector instructions, and overlaps a load with a multiplication.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from conv_cases import ConvCase
from kernel_instructions import instructions

from qgait.compiler.tvm.instruction_sets import instruction_set
from qgait.compiler.tvm.rows import dsp as conv_dsp
from qgait.compiler.tvm.rows import mve as conv_mve
from qgait.compiler.tvm.rows import portable as conv_portable
from qgait.targets.processors import find

LAYERS = {
    "3 x 3, 64 -> 64, 16 x 44": ConvCase((16, 44, 64), 64),
    "3 x 3, 32 -> 32, 64 x 44, table, pool": ConvCase((64, 44, 32), 32, table="monotone", pool=2),
    "1 x 1, 64 -> 128, 32 x 22": ConvCase((32, 22, 64), 128, (1, 1), padding=(0, 0, 0, 0)),
    "5 x 5, 1 -> 32, 64 x 44, table": ConvCase((64, 44, 1), 32, (5, 5), padding=(2, 2, 2, 2), table="monotone"),
}
KERNELS = {"cortex-m55": conv_mve.conv_kernel, "cortex-m33": conv_dsp.conv_kernel}


def main(chosen: list[str]) -> None:
    """Prints a line a layer and core."""
    for name, case in LAYERS.items():
        if chosen and not any(word in name for word in chosen):
            continue
        graph, group, codes = case.build()
        macs = group.op.macs(graph.tensors)
        print(f"{name}: {macs / 1e6:.2f} MMAC")
        for core, build in KERNELS.items():
            target = find(core)
            kernels = [make(group, graph, instruction_set(target)) for make in (build, conv_portable.conv_kernel)]
            ours, portable = (instructions(kernel, graph, target, codes) for kernel in kernels)
            print(
                f"  {core}: {ours / 1e6:8.3f} M instructions, {macs / ours:5.2f} MAC each; "
                f"portable {portable / 1e6:8.3f} M, {macs / portable:5.2f}: {portable / ours:.1f} times fewer"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
