"""Executed instructions of convolutions on Cortex-M cores under QEMU, beside the portable kernel in the same run.

    python benchmarks/cortex_m_instructions.py [LAYER...]

Every result is compared with the reference before it counts. Instructions are no cycles: a Cortex-M55 takes two for one
of its vector instructions, and overlaps a load with a multiplication.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from conv_cases import ConvCase
from kernel_driver import build_driver, driver_command, write_data

from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_sets import instruction_set
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows import dsp as conv_dsp
from qgait.compiler.tvm.rows import mve as conv_mve
from qgait.compiler.tvm.rows import portable as conv_portable
from qgait.runtime import qemu
from qgait.targets.processors import Target, find

LAYERS = {
    "3 x 3, 64 -> 64, 16 x 44": ConvCase((16, 44, 64), 64),
    "3 x 3, 32 -> 32, 64 x 44, table, pool": ConvCase((64, 44, 32), 32, table="monotone", pool=2),
    "1 x 1, 64 -> 128, 32 x 22": ConvCase((32, 22, 64), 128, (1, 1), padding=(0, 0, 0, 0)),
    "5 x 5, 1 -> 32, 64 x 44, table": ConvCase((64, 44, 1), 32, (5, 5), padding=(2, 2, 2, 2), table="monotone"),
}
KERNELS = {"cortex-m55": conv_mve.conv_kernel, "cortex-m33": conv_dsp.conv_kernel}


def instructions(case: ConvCase, target: Target, build: object) -> int:
    """Of one run of the layer; the difference of three runs and one, halved."""
    graph, group, codes = case.build()
    assert isinstance(group, Group)
    kernel: Kernel = build(group, graph, instruction_set(target))  # type: ignore[operator]
    wanted = codes[kernel.output]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = build_driver([kernel], graph, target, folder)
        data = write_data([kernel], codes, folder / "data")
        one, three = (qemu.count_instructions(driver_command(driver, data, target, n), folder) for n in (1, 3))
        found = np.fromfile(folder / "outputs", np.int8)[: wanted.size].reshape(wanted.shape)
    np.testing.assert_array_equal(found, wanted)
    return (three - one) // 2


def main(chosen: list[str]) -> None:
    """Prints a line a layer and core."""
    for name, case in LAYERS.items():
        if chosen and not any(word in name for word in chosen):
            continue
        graph, group, _ = case.build()
        macs = group.op.macs(graph.tensors)
        print(f"{name}: {macs / 1e6:.2f} MMAC")
        for core, build in KERNELS.items():
            ours, portable = (instructions(case, find(core), kernel) for kernel in (build, conv_portable.conv_kernel))
            print(
                f"  {core}: {ours / 1e6:8.3f} M instructions, {macs / ours:5.2f} MAC each; "
                f"portable {portable / 1e6:8.3f} M, {macs / portable:5.2f}: {portable / ours:.1f} times fewer"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
