"""Weights of 2 to 7 bits: how they lie in the library, and that kernels of every processor read them right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_cases import CASES, ConvCase
from kernel_driver import run_kernels

from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.lowering import kernel_of
from qgait.compiler.tvm.weights import UNPACKED_AT_ONCE, pack
from qgait.export.graph import Graph
from qgait.export.operators import PartLinear, Requant, Tensor, Weighted
from qgait.fixedpoint import encode_multiplier
from qgait.runtime import reference
from qgait.targets.processors import Target, find, host

TARGETS = [find(name) for name in ("host", "arm", "arm64-v8", "armv7", "cortex-m55", "cortex-m33")]
OLD_HOST = replace(host(features=set()), name="old host")

# so many weights that they are unpacked piece by piece, and then for several rows at a time
LARGE = {
    "pieces": ConvCase((9, 12, 48), 88),
    "pieces, odd channels": ConvCase((6, 11, 40), 91, zero_points=(-9, 3)),
    "pieces, one row": ConvCase((1, 9, 80), 64),
    "pieces of rows that no number divides": ConvCase((7, 5, 64), 64),
    "pieces, stride 2": ConvCase((17, 21, 48), 64, stride=(2, 2)),
    "pieces, 1 by 1": ConvCase((6, 22, 160), 128, (1, 1), (2, 2), (0, 0, 0, 0)),
    "pieces, shortcut": ConvCase((12, 7, 64), 72, add=True),
    "pieces, table": ConvCase((8, 33, 40), 72, table="monotone"),
    "pieces, everything": ConvCase((13, 18, 48), 96, add=True, table="random", pool=2),
    "pieces, pooling of 3": ConvCase((14, 9, 64), 64, table="random", pool=3),
    "two row blocks": ConvCase((40, 44, 32), 64),
}


def linear(bits: int, shape: tuple[int, int, int], seed: int) -> tuple[Graph, Group, dict[str, np.ndarray]]:
    """A head of ``shape`` [P, I, O] whose weights have ``bits``."""
    rng = np.random.default_rng(seed)
    parts, inputs, outputs = shape
    largest = 2 ** (bits - 1) - 1
    weight = rng.integers(-largest, largest + 1, shape).astype(np.int8)
    spread = np.full((parts, outputs), 0.01 * 127 / largest / np.sqrt(inputs), np.float32)
    bias = rng.integers(-99, 99, (parts, outputs)).astype(np.int32)
    op = PartLinear("head", ("x",), "head", weight, bias, Requant(*encode_multiplier(spread)))
    tensors = {
        "x": Tensor("x", (parts, inputs), np.ones(parts, np.float32), -3),
        "head": Tensor("head", (parts, outputs), np.ones(parts, np.float32), 0),
    }
    graph = Graph("case", "w8a8", "x", "head", tensors, (op,))
    codes = rng.integers(-128, 128, (1, parts, inputs)).astype(np.int8)
    return graph, Group((op,)), {"x": codes[0], "head": reference.execute(graph, op, [codes])[0]}


def cases() -> dict[str, tuple[Graph, Group, dict[str, np.ndarray]]]:
    """Every shape with 2 to 7 bits in turn; a large one with two widths."""
    made = {
        f"{name}, {2 + number % 6} bits": replace(case, bits=2 + number % 6).build(number)
        for number, (name, case) in enumerate(CASES.items())
    }
    for number, (name, case) in enumerate(LARGE.items()):
        for bits in (2 + number % 6, 2 + (number + 3) % 6):
            made[f"{name}, {bits} bits"] = replace(case, bits=bits).build(number)
    for number, shape in enumerate([(3, 7, 5), (5, 128, 48), (2, 96, 256), (40, 24, 20), (2, 40, 16), (2, 300, 64)]):
        made[f"head {shape}"] = linear(2 + number, shape, number)
    return made


@pytest.mark.parametrize("target", [*TARGETS, OLD_HOST], ids=lambda target: target.name)
def test_packed_weights_give_the_codes_of_the_reference(target: Target) -> None:
    """All cases in one program, because linking takes longer than running."""
    tensors, codes, kernels = {}, {}, []
    for number, (name, (graph, group, wanted)) in enumerate(cases().items()):
        kernel, _ = kernel_of(group, graph, target)
        bits = group.op.weight_bits  # type: ignore[attr-defined]
        assert bits < 8 and kernel.unpacked_bytes, name
        prefix = f"{number} "
        inputs = tuple(prefix + tensor for tensor in kernel.inputs)
        kernels.append(
            replace(kernel, symbol=f"case_{number}", inputs=inputs, output=prefix + kernel.output, ops=(name,))
        )
        tensors |= {prefix + key: tensor for key, tensor in graph.tensors.items()}
        codes |= {prefix + key: array for key, array in wanted.items()}
    found = run_kernels(kernels, Graph("cases", "w8a8", "0 x", "0 conv", tensors, ()), target, codes)
    for kernel in kernels:
        np.testing.assert_array_equal(found[kernel.output], codes[kernel.output], err_msg=kernel.ops[0])
    assert sum(len(np.unique(codes[kernel.output])) > 16 for kernel in kernels) > 0.8 * len(kernels)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_large_layer_unpacks_a_part_of_its_weights_at_a_time(target: Target) -> None:
    graph, group, _ = ConvCase((16, 11, 128), 256, bits=4).build()
    kernel, _ = kernel_of(group, graph, target)
    (packed,) = (array for array in kernel.constants if array.nbytes >= 128 * 256 * 9 // 2)
    assert packed.nbytes == 128 * 256 * 9 // 2
    assert 0 < kernel.unpacked_bytes <= max(UNPACKED_AT_ONCE, 32 * 9 * 128)


@pytest.mark.parametrize("bits", range(2, 8))
def test_bytes_are_those_of_the_bits(bits: int) -> None:
    """Unpacked here once more, bit by bit, as the file's first lines say that weights lie."""
    largest = 2 ** (bits - 1)
    values = np.random.default_rng(bits).integers(-largest, largest, (3, 500)).astype(np.int8)
    packed = pack(values, bits)
    assert packed.shape == (3, 4, bits, 16) and packed.nbytes == 3 * 512 * bits // 8
    bytes_of = packed.view(np.uint8)
    for piece, weight in [(0, 0), (1, 17), (2, 499), (1, 300), (0, 127), (2, 128), (1, 101), (0, 90)]:
        vector, lane = weight % 128 // 16, weight % 16
        stored = [int(byte) for byte in bytes_of[piece, weight // 128, :, lane]]
        together = 8 // bits
        if vector < together * bits:
            value = stored[vector // together] >> vector % together * bits & (1 << bits) - 1
        else:
            left = "".join(f"{byte:08b}"[: 8 - together * bits] for byte in stored)
            at = (vector - together * bits) * bits
            value = int(left[at : at + bits], 2)
        assert (value ^ largest) - largest == values[piece, weight]


@pytest.mark.parametrize(
    ("weights", "bits"),
    [
        ([0], 2),
        ([-1, 1], 2),
        ([-2], 2),
        ([2], 3),
        ([-3, 3], 3),
        ([-4, 7], 4),
        ([8], 5),
        ([63], 7),
        ([64], 8),
        ([-127], 8),
    ],
)
def test_the_fewest_bits_that_hold_all_weights(weights: list[int], bits: int) -> None:
    array = np.array(weights, np.int8).reshape(1, -1, 1)
    assert Weighted("w", ("x",), "w", array, np.zeros((1, 1), np.int32)).weight_bits == bits


def test_a_flipped_bit_of_packed_weights_changes_codes() -> None:
    graph, group, wanted = replace(LARGE["pieces"], bits=3).build()
    for target in (find("arm"), find("cortex-m55")):
        kernel, _ = kernel_of(group, graph, target)
        at = next(i for i, array in enumerate(kernel.constants) if array.ndim == 1 and array.nbytes > 9000)
        broken = kernel.constants[at].copy()
        broken[5000] ^= 0x10
        constants = (*kernel.constants[:at], broken, *kernel.constants[at + 1 :])
        found = run_kernels([replace(kernel, constants=constants)], graph, target, wanted)
        assert (found[kernel.output] != wanted[kernel.output]).any()
