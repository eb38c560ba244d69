"""The direct and the Winograd convolution in awkward shapes and at the ends of their ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from conv_cases import CASES, ConvCase
from kernel_driver import run_kernels
from tvm import tirx
from tvm.sym import Analyzer

from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.instruction_sets import instruction_set
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows import dsp as conv_dsp
from qgait.compiler.tvm.rows import mve as conv_mve
from qgait.compiler.tvm.rows import portable as conv_portable
from qgait.compiler.tvm.rows import v8 as conv_v8
from qgait.compiler.tvm.rows import winograd as conv_winograd
from qgait.compiler.tvm.rows import winograd_math as winograd
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Requant, Tensor
from qgait.fixedpoint import encode_multiplier
from qgait.runtime import reference
from qgait.runtime.reference_operators import conv_columns, conv_matrix
from qgait.targets.processors import Target, find, host

Codes = np.ndarray
Case = tuple[Graph, Group, dict[str, Codes]]
Build = Callable[[Group, Graph, InstructionSet], Kernel | None]
TARGETS = [find("arm64-v8"), find("armv7"), replace(host(features=set()), name="old host")]

WINOGRAD = {
    "whole tiles": ConvCase((8, 12, 16), 32),
    "clipped tiles": ConvCase((7, 10, 8), 16),
    "two parts of 128 channels": ConvCase((4, 8, 256), 16, zero_points=(7, -128)),
    "three parts of 56 channels": ConvCase((4, 4, 168), 16),
    "two strips": ConvCase((64, 8, 8), 16),
    "no padding": ConvCase((10, 14, 16), 16, padding=(0, 0, 0, 0)),
    "padding on one side": ConvCase((7, 8, 16), 16, padding=(0, 2, 1, 0), zero_points=(-9, 4)),
    "everything": ConvCase((12, 16, 16), 48, add=True, table="random", pool=2),
    "everything, clipped": ConvCase((11, 15, 16), 16, add=True, table="monotone", pool=2, code_range=(-100, 99)),
    "shortcut": ConvCase((8, 7, 24), 32, add=True),
}


def extremes(weight: Codes, codes: Codes) -> Case:
    """A 3 x 3 convolution of given weights and codes whose results spread over the range."""
    height, width, _ = codes.shape
    count = len(weight)
    source = Tensor("x", codes.shape, np.float32(1), -128)
    made = Tensor("y", (height, width, count), np.float32(1), 0)
    one = Requant(np.full(count, 2**30, np.int32), np.full(count, 30, np.int8))
    bias = np.full(count, 77, np.int32)
    op = Conv2d("y", ("x",), "y", weight, bias, (1, 1), (1, 1, 1, 1), one)
    sums = conv_columns(op, codes[np.newaxis], source) @ conv_matrix(op)
    m, s = encode_multiplier((100 / np.abs(sums).max(axis=(0, 1, 2))).astype(np.float32))
    op = replace(op, requant=Requant(m, s))
    graph = Graph("extremes", "w8a8", "x", "y", {"x": source, "y": made}, (op,))
    wanted = reference.execute(graph, op, [codes[np.newaxis]])[0]
    return graph, Group((op,)), {"x": codes, "y": wanted}


def signs_of_transform(seed: int) -> Case:
    """Weights and codes at their ends, with the signs of rows of the transforms: the largest products there are."""
    rng = np.random.default_rng(seed)
    rows = np.array([[1, 1, 1], [1, -1, 1], [1, 1, 1], [1, -1, 1]])
    columns = np.array([[1, 1, -1, 1, 1, 1], [1, -1, -1, 1, 1, 1], [1, 1, -1, -1, 1, 1], [1, 1, 1, -1, 1, 1]])
    sign = rows[rng.integers(0, 4, (16, 1, 128)), :]
    weight = (127 * sign.reshape(16, 1, 128, 3) * rows[seed % 4].reshape(1, 3, 1, 1)).transpose(0, 1, 3, 2)
    pattern = np.tile(columns[seed % 4], 2)
    codes = np.where(np.multiply.outer(pattern[:8], pattern[:12]) > 0, 127, -128)
    return extremes(weight.astype(np.int8), np.repeat(codes[..., None], 128, axis=2).astype(np.int8))


def check(cases: dict[str, Case], build: Build, target: Target) -> int:
    """All cases in one program, because linking takes longer than running; returns how many the kernel took."""
    tensors: dict[str, Tensor] = {}
    codes: dict[str, Codes] = {}
    kernels = []
    for number, (name, (graph, group, wanted)) in enumerate(cases.items()):
        kernel = build(group, graph, instruction_set(target))
        if kernel is None:
            continue
        prefix = f"{number} "
        inputs = tuple(prefix + tensor for tensor in kernel.inputs)
        kernels.append(
            replace(kernel, symbol=f"case_{number}", inputs=inputs, output=prefix + kernel.output, ops=(name,))
        )
        tensors |= {prefix + key: tensor for key, tensor in graph.tensors.items()}
        codes |= {prefix + key: array for key, array in wanted.items()}
    found = run_kernels(kernels, Graph("cases", "w8a8", "x", "y", tensors, ()), target, codes)
    for kernel in kernels:
        np.testing.assert_array_equal(found[kernel.output], codes[kernel.output], err_msg=kernel.ops[0])
    return len(kernels)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_direct(target: Target) -> None:
    cases = {name: case.build(number) for number, (name, case) in enumerate(CASES.items())}
    assert check(cases, conv_portable.conv_kernel, target) == len(CASES)


def test_direct_beside_dot_products() -> None:
    """What a layer gets that needs 64 bits; tables are looked up in registers there."""
    cases = {name: case.build(number) for number, (name, case) in enumerate(CASES.items()) if case.table}
    assert check(cases, conv_portable.conv_kernel, find("arm")) == len(cases) >= 5


def test_direct_with_8_bit_products() -> None:
    """The kernel for strides and 1 x 1 windows; codes and weights at their ends fill 16 bits exactly."""
    cases = {name: case.build(number) for number, (name, case) in enumerate(CASES.items())}
    lowest, weight = np.full((3, 4, 24), -128, np.int8), np.full((16, 3, 3, 24), 127, np.int8)
    cases |= {"lowest": extremes(weight, lowest), "highest": extremes(-weight, lowest)}
    assert len(CASES) > check(cases, conv_v8.conv_kernel, find("arm64-v8")) > len(CASES) - 4


@pytest.mark.parametrize(("name", "module"), [("cortex-m55", conv_mve), ("cortex-m33", conv_dsp)])
def test_without_an_operating_system(name: str, module: ModuleType) -> None:
    cases = {name: case.build(number) for number, (name, case) in enumerate(CASES.items())}
    lowest, weight = np.full((3, 4, 24), -128, np.int8), np.full((16, 3, 3, 24), 127, np.int8)
    cases |= {"lowest": extremes(weight, lowest), "highest": extremes(-weight, lowest)}
    assert check(cases, module.conv_kernel, find(name)) == len(cases)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_winograd(target: Target) -> None:
    cases = {name: case.build(number) for number, (name, case) in enumerate(WINOGRAD.items())}
    assert check(cases, conv_winograd.conv_kernel, target) == len(WINOGRAD)


def test_winograd_takes_from_the_awkward_shapes_what_it_can() -> None:
    cases = {name: case.build(number) for number, (name, case) in enumerate(CASES.items())}
    assert 8 <= check(cases, conv_winograd.conv_kernel, TARGETS[0]) < len(CASES)


@pytest.mark.parametrize("target", TARGETS[:2], ids=lambda target: target.name)
def test_winograd_at_the_ends_of_16_and_32_bits(target: Target) -> None:
    lowest = np.full((8, 12, 128), -128, np.int8)
    weight = np.full((16, 3, 3, 128), 127, np.int8)
    cases = {"all weights 127, all codes -128": extremes(weight, lowest), "weights -127": extremes(-weight, lowest)}
    cases |= {f"signs {seed}": signs_of_transform(seed) for seed in range(8)}
    assert check(cases, conv_winograd.conv_kernel, target) == 10


def test_transforms_fit_their_integers() -> None:
    """What the module says about ranges, from the matrices themselves."""
    code_rows, weight_rows = _matrix(winograd.transform_codes, 6), _matrix(winograd.transform_weights, 3)
    assert np.abs(code_rows).sum(axis=1).max() ** 2 * 128 < 2**15
    assert np.abs(weight_rows).sum(axis=1).max() ** 2 * 127 < 2**15
    assert 2 ** (31 - 2 * max(winograd.OUTPUT_SHIFTS)) > winograd.MOST_INPUTS * 9 * 127 * 128
    assert winograd.INVERSE_OF_9 * 9 % 2**32 == 1


def test_transforms_give_the_convolution() -> None:
    rng = np.random.default_rng(0)
    codes, weight = rng.integers(-128, 128, 6), rng.integers(-127, 128, 3)
    code_rows, weight_rows = _matrix(winograd.transform_codes, 6), _matrix(winograd.transform_weights, 3)
    sum_rows = _matrix(winograd.transform_sums, 6)
    scaled = sum_rows @ ((code_rows @ codes) * (weight_rows @ weight))
    wanted = np.array([codes[i : i + 3] @ weight for i in range(4)])
    np.testing.assert_array_equal(scaled, wanted * 3 * 2 ** np.array(winograd.OUTPUT_SHIFTS))


def _matrix(transform: Callable[..., list[object]], size: int) -> Codes:
    """The matrix of a transform, by running it on constant expressions."""
    dtype = "int32" if transform is winograd.transform_sums else "int16"
    analyzer = Analyzer()
    columns = []
    for unit in np.eye(size, dtype=int):
        made = transform([tirx.const(int(value), dtype) for value in unit], 1)
        columns.append([int(analyzer.simplify(value)) for value in made])
    return np.array(columns).T


@pytest.mark.parametrize("broken", ["weight", "bias", "multiplier", "shift"])
def test_a_broken_constant_is_seen(broken: str) -> None:
    graph, group, wanted = WINOGRAD["clipped tiles"].build(1)
    kernel = conv_winograd.conv_kernel(group, graph, instruction_set(TARGETS[2]))
    assert kernel is not None
    constants = dict(zip(("weight", "bias", "multiplier", "shift"), (a.copy() for a in kernel.constants), strict=True))
    change = {"weight": 64, "bias": 50000, "multiplier": -(2**28), "shift": 1}
    constants[broken][5] += constants[broken].dtype.type(change[broken])
    found = run_kernels([replace(kernel, constants=tuple(constants.values()))], graph, TARGETS[2], wanted)
    assert (found[kernel.output] != wanted[kernel.output]).any()
