"""Convolutions channel by channel, alone and with what is fused behind them, in awkward shapes, on extreme codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conv_cases import ConvCase
from kernel_driver import run_kernels

from qgait.compiler.tvm.fusion import Group, groups
from qgait.compiler.tvm.lowering import kernel_of
from qgait.export.graph import Graph
from qgait.export.operators import Convolution, Op, Tensor
from qgait.targets.processors import Target, find, host


def case(source: tuple[int, int, int], kernel: tuple[int, int] = (3, 3), **fields: object) -> ConvCase:
    """With as much padding as keeps the size, unless ``fields`` say otherwise."""
    top, left = kernel[0] // 2, kernel[1] // 2
    return ConvCase(source, None, kernel, **({"padding": (top, left, top, left)} | fields))  # type: ignore[arg-type]


SHAPES = {
    f"{height} x {width}, stride {down} x {right}, {channels} channels": case(
        (9, 12, channels), (height, width), stride=(down, right), zero_points=zero_points
    )
    for height, width, down, right, channels, zero_points in [
        (1, 1, 1, 1, 19, (0, 0)),
        (1, 1, 2, 2, 16, (127, -128)),
        (3, 3, 1, 1, 64, (-128, 127)),
        (3, 3, 2, 2, 32, (7, -9)),
        (3, 3, 2, 2, 13, (127, 127)),
        (5, 5, 1, 1, 40, (-128, -128)),
        (5, 5, 2, 2, 7, (127, -128)),
        (7, 7, 1, 1, 16, (-128, 3)),
        (7, 7, 2, 2, 20, (127, -7)),
        (3, 5, 1, 2, 24, (-1, 1)),
        (5, 3, 2, 1, 17, (100, -100)),
        (1, 7, 1, 1, 9, (-128, 0)),
        (2, 2, 2, 2, 8, (5, 5)),
        (4, 6, 1, 1, 11, (-128, 0)),
        (6, 3, 3, 3, 48, (-128, 0)),
        (9, 7, 1, 1, 18, (-128, -128)),
        (9, 9, 2, 2, 8, (-128, -3)),
    ]
}
CASES = SHAPES | {
    **{f"{n} channels": case((5, 6, n), zero_points=(-7, 9)) for n in (1, 2, 3, 4, 5, 15)},
    "as wide as a tile": case((4, 22, 24)),
    "stride 2 and nothing beyond": case((8, 10, 16), stride=(2, 2)),
    "uneven padding": case((6, 5, 48), padding=(0, 2, 2, 0), zero_points=(-5, 0)),
    "no padding": case((6, 5, 16), padding=(0, 0, 0, 0)),
    "rows of the kernel that see nothing": case((1, 9, 16), (5, 5)),
    "padding wider than the kernel": case((3, 3, 16), padding=(4, 4, 4, 4), zero_points=(11, 0)),
    "one column": case((9, 1, 16)),
    "narrow range": case((6, 7, 16), zero_points=(-128, 5), code_range=(-3, 40)),
    "saturation": case((6, 7, 24), gain=300),
    "multipliers above 1": case((6, 7, 24), gain=20000),
    "multipliers of nothing": case((6, 7, 24), gain=1e-5),
    "shortcut": case((6, 7, 16), add=True, zero_points=(-128, 5)),
    "shortcut, odd channels": case((6, 7, 27), add=True, code_range=(-100, 90)),
    "table": case((6, 7, 32), table="random"),
    "table, odd channels": case((6, 7, 5), (5, 5), table="monotone"),
    "pooling": case((6, 9, 16), pool=2),
    "pooling of 3": case((7, 10, 11), (5, 5), pool=3),
    "everything": case((9, 13, 48), add=True, table="random", pool=2, stride=(2, 1)),
}
TARGETS = [find(name) for name in ("host", "arm", "arm64-v8", "armv7", "cortex-m55", "cortex-m33")] + [
    replace(host("x86_64", features), name=name)
    for name, features in (("AVX2", {"avx2", "fma", "bmi2"}), ("SSE2", set[str]()))
]


def built() -> tuple[Graph, list[tuple[Graph, Group]], dict[str, np.ndarray]]:
    """Every case under names of its own; the graph has the tensors of all of them, of which the codes are."""
    tensors: dict[str, Tensor] = {}
    found, codes = [], {}
    for number, each in enumerate(CASES.values()):
        graph, group, arrays = each.build(number)
        named = {name: f"{number} {name}" for name in arrays}
        ops = tuple(renamed(op, named) for op in group.ops)
        of_case = {named[name]: replace(tensor, name=named[name]) for name, tensor in graph.tensors.items()}
        tensors |= of_case
        codes |= {named[name]: array for name, array in arrays.items()}
        found.append((replace(graph, tensors=of_case, ops=ops, input=named["x"], output=ops[-1].output), Group(ops)))
    return replace(found[0][0], tensors=tensors), found, codes


def renamed(op: Op, names: dict[str, str]) -> Op:
    return replace(op, name=names[op.output], inputs=tuple(names[name] for name in op.inputs), output=names[op.output])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_case_is_that_of_the_reference(target: Target) -> None:
    graph, cases, codes = built()
    kernels = [kernel_of(group, of_case, target)[0] for of_case, group in cases]
    found = run_kernels(kernels, graph, target, codes)
    for name, (output, array) in zip(CASES, found.items(), strict=True):
        np.testing.assert_array_equal(array, codes[output], err_msg=name)
        assert len(np.unique(array)) > 5 or CASES[name].gain != 1, name


def test_what_is_behind_it_is_fused() -> None:
    for each in (each for each in CASES.values() if not each.add):  # whose other operand is computed nowhere
        graph, group, _ = each.build()
        assert [member.ops for member in groups(graph)] == [group.ops]


@pytest.mark.parametrize("target", ["host", "arm", "cortex-m55"])
@pytest.mark.parametrize("name", ["13 channels", "9 x 7"])
def test_another_weight_is_seen(target: str, name: str) -> None:
    each = next(each for key, each in CASES.items() if name in key)
    graph, group, codes = each.build()
    assert isinstance(group.op, Convolution)
    weight = group.op.weight.copy()
    weight[-1, -1, 12] ^= 64
    kernel, _ = kernel_of(Group((replace(group.op, weight=weight),)), graph, find(target))
    found = run_kernels([kernel], graph, find(target), codes)["conv"]
    differs = np.any(found != codes["conv"], axis=(0, 1))
    np.testing.assert_array_equal(np.flatnonzero(differs), [12])
