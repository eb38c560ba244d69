"""Whether every convolution kernel for ARM is as quick as it was: executed instructions under QEMU, with limits.

    python benchmarks/instruction_limits.py [TARGET...]

Prints multiply-accumulates an instruction and exits with 1 where a kernel is below its limit, which lies 2 to 3 % below
what was measured: a load that lost its pair or a spill in an inner loop costs more.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from conv_cases import ConvCase
from kernel_instructions import instructions

from qgait.compiler.tvm.lowering import kernel_of
from qgait.errors import QgaitError
from qgait.targets.processors import find

MOST = 16  # four dot products of four; more means that a kernel skips work

# (target, layer, multiply-accumulates of the plain convolution for one instruction)
LIMITS = {
    "3 x 3, 64 channels, 32 x 22": ("arm", ConvCase((32, 22, 64), 64), 13.36),
    "3 x 3, stride 2": ("arm", ConvCase((32, 44, 32), 64, stride=(2, 2), padding=(1, 1, 0, 0)), 12.81),
    "3 x 3, table and pooling": ("arm", ConvCase((32, 22, 32), 32, table="monotone", pool=2), 12.8),
    "5 x 5, first layer": (
        "arm",
        ConvCase((64, 44, 1), 32, (5, 5), padding=(2, 2, 2, 2), table="monotone"),
        5.31,
    ),
    "Winograd": ("arm64-v8", ConvCase((32, 22, 64), 64), 9.34),
    "Winograd, two sums": ("arm64-v8", ConvCase((16, 11, 256), 128), 9.46),
    "Winograd, table and pooling": ("arm64-v8", ConvCase((32, 22, 32), 32, table="monotone", pool=2), 7.39),
    "8-bit products, stride 2": (
        "arm64-v8",
        ConvCase((32, 44, 64), 64, stride=(2, 2), padding=(1, 1, 0, 0)),
        3.72,
    ),
    "Winograd on 32 bits": ("armv7", ConvCase((16, 11, 64), 64), 3.45),
    "3 x 3, MVE": ("cortex-m55", ConvCase((8, 22, 64), 32), 6.3),
    "3 x 3, DSP": ("cortex-m33", ConvCase((8, 22, 64), 32), 0.74),
}

CHANNEL_BY_CHANNEL = {
    "3 x 3, 64 channels, 32 x 22": (
        ConvCase((32, 22, 64), None),
        {"arm": 2.2, "arm64-v8": 1.84, "armv7": 0.79, "cortex-m55": 1.0, "cortex-m33": 0.28},
    ),
    "3 x 3, stride 2": (
        ConvCase((32, 22, 64), None, stride=(2, 2)),
        {"arm": 1.45, "arm64-v8": 1.57, "armv7": 0.67, "cortex-m55": 0.62, "cortex-m33": 0.22},
    ),
    "5 x 5, 128 channels, 16 x 11": (
        ConvCase((16, 11, 128), None, (5, 5), padding=(2, 2, 2, 2)),
        {"arm": 3.3, "arm64-v8": 2.43, "armv7": 1.08, "cortex-m55": 0.96, "cortex-m33": 0.38},
    ),
    "7 x 7, 32 channels, 64 x 44": (
        ConvCase((64, 44, 32), None, (7, 7), padding=(3, 3, 3, 3)),
        {"arm": 4.55, "arm64-v8": 2.9, "armv7": 1.22, "cortex-m55": 1.2, "cortex-m33": 0.48},
    ),
}
LIMITS |= {
    f"channel by channel, {layer} ({name})": (name, case, limit)
    for layer, (case, limits) in CHANNEL_BY_CHANNEL.items()
    for name, limit in limits.items()
}


def main(chosen: list[str]) -> int:
    """Prints a line a kernel; 1 if one is too slow."""
    slow = 0
    for layer, (name, case, limit) in LIMITS.items():
        if chosen and name not in chosen:
            continue
        target = find(name)
        graph, group, codes = case.build()
        kernel, way = kernel_of(group, graph, target)
        speed = group.op.macs(graph.tensors) / instructions(kernel, graph, target, codes)
        fine = limit <= speed <= MOST
        slow += not fine
        print(f"{name}: {layer} ({way}): {speed:.2f} MAC an instruction, {'at least' if fine else 'NOT'} {limit}")
    return int(slow > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except QgaitError as error:
        sys.exit(str(error))
