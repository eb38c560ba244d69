"""The speed of convolutions on ARM without dot products: executed instructions under QEMU, exact and repeatable."""

from __future__ import annotations

from pathlib import Path

import pytest
from conv_cases import ConvCase
from kernel_driver import build_driver, write_data

from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.lowering import lower
from qgait.runtime import qemu
from qgait.targets import processors as targets

# (target, case, multiply-accumulates of the plain convolution for one instruction), 3 % below what was measured
SPEEDS = {
    "arm64-v8, Winograd": ("arm64-v8", ConvCase((32, 22, 64), 64), 9.34),
    "arm64-v8, Winograd, two sums": ("arm64-v8", ConvCase((16, 11, 256), 128), 9.46),
    "arm64-v8, table and pooling": ("arm64-v8", ConvCase((32, 22, 32), 32, table="monotone", pool=2), 7.39),
    "arm64-v8, stride 2": ("arm64-v8", ConvCase((32, 44, 64), 64, stride=(2, 2), padding=(1, 1, 0, 0)), 3.72),
    "armv7, Winograd": ("armv7", ConvCase((16, 11, 64), 64), 3.45),
}


@pytest.mark.parametrize("name", SPEEDS)
def test_multiplies_an_instruction(name: str, tmp_path: Path) -> None:
    target_name, case, wanted = SPEEDS[name]
    target = targets.find(target_name)
    assert target.qemu is not None
    graph, group, codes = case.build()
    assert isinstance(group, Group) and group.conv is not None
    kernel = lower(graph, target).frame[-1]
    assert kernel.ops == tuple(op.name for op in group.ops)
    driver = build_driver([kernel], graph, target, tmp_path)
    data = write_data([kernel], codes, tmp_path / "data")
    one, three = (
        qemu.count_instructions([*target.qemu, driver, data, tmp_path / "outputs", repeats]) for repeats in ("1", "3")
    )
    speed = group.conv.macs(graph.tensors) / ((three - one) / 2)
    assert speed >= wanted, f"{speed:.2f} multiply-accumulates an instruction"
    assert speed < 16, "four times what 16-bit products can do: the kernel skips work"
