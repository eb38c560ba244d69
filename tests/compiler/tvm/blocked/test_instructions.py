"""The speed of ARM convolutions, as a figure that is exact and repeatable: executed instructions under QEMU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conv_cases import ConvCase
from kernel_driver import build_driver, driver_command, write_data

from qgait.compiler.tvm.blocked.dotprod import conv_kernel
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows import dsp as conv_dsp
from qgait.compiler.tvm.rows import mve as conv_mve
from qgait.export.graph import Graph
from qgait.runtime import qemu
from qgait.targets import processors as targets

Build = Callable[[Group, Graph, targets.Target], Kernel | None]

# (case, multiply-accumulates an instruction that it must reach); 16 would be dot products and nothing else.
# The figures are 2 % below what was measured; a load that lost its pair or a spill in the inner loop costs more.
SPEEDS = {
    "3 x 3, 64 channels, 32 x 22": (ConvCase((32, 22, 64), 64), 13.36),
    "3 x 3, stride 2": (ConvCase((32, 44, 32), 64, stride=(2, 2), padding=(1, 1, 0, 0)), 12.81),
    "3 x 3, table and pooling": (ConvCase((32, 22, 32), 32, table="monotone", pool=2), 12.8),
    "5 x 5, first layer": (ConvCase((64, 44, 1), 32, (5, 5), padding=(2, 2, 2, 2), table="monotone"), 5.31),
}


@pytest.mark.parametrize("name", SPEEDS)
def test_multiplies_an_instruction(name: str, tmp_path: Path) -> None:
    case, wanted = SPEEDS[name]
    graph, group, codes = case.build()
    target = targets.find("arm")
    assert target.qemu is not None
    kernel = conv_kernel(group, graph, target)
    assert kernel is not None
    driver = build_driver([kernel], graph, target, tmp_path)
    data = write_data([kernel], codes, tmp_path / "data")
    one, three = (
        qemu.count_instructions([*target.qemu, driver, data, tmp_path / "outputs", repeats]) for repeats in ("1", "3")
    )
    speed = group.op.macs(graph.tensors) / ((three - one) / 2)
    assert speed >= wanted, f"{speed:.2f} multiply-accumulates an instruction"
    assert speed < 16, "more than the processor can do: the kernel skips work"


@pytest.mark.parametrize(
    ("core", "build", "wanted"), [("cortex-m55", conv_mve.conv_kernel, 6.3), ("cortex-m33", conv_dsp.conv_kernel, 0.74)]
)
def test_multiplies_an_instruction_of_a_microcontroller(core: str, build: Build, wanted: float, tmp_path: Path) -> None:
    graph, group, codes = ConvCase((8, 22, 64), 32).build()
    target = targets.find(core)
    kernel = build(group, graph, target)
    assert kernel is not None
    driver = build_driver([kernel], graph, target, tmp_path)
    data = write_data([kernel], codes, tmp_path / "data")
    one, three = (qemu.count_instructions(driver_command(driver, data, target, n), tmp_path) for n in (1, 3))
    speed = group.op.macs(graph.tensors) / ((three - one) / 2)
    assert speed >= wanted, f"{speed:.2f} multiply-accumulates an instruction"
    assert speed < 16, "more than the processor can do: the kernel skips work"
