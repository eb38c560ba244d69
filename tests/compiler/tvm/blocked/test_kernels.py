"""Fast convolutions give the reference's codes: on ARM under QEMU, and on this machine where it has VNNI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from conv_cases import CASES, ConvCase
from example_graphs import gaitbase_graph, gaitset_graph, silhouettes, tiny_graph
from kernel_driver import run_kernels

from qgait.compiler.tvm.blocked import dotprod as conv_dotprod
from qgait.compiler.tvm.blocked import vnni as conv_vnni
from qgait.compiler.tvm.blocked.packing import rescaling
from qgait.compiler.tvm.fusion import Group, groups
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Requant
from qgait.fixedpoint import encode_multiplier, requantize
from qgait.runtime import reference
from qgait.targets import processors as targets
from qgait.targets.processors import Target

KERNELS: dict[str, Callable[[Group, Graph, Target], Kernel | None]] = {
    "dotprod": conv_dotprod.conv_kernel,
    "vnni": conv_vnni.conv_kernel,
}
TARGETS = [target for target in (targets.find("arm"), targets.host()) if target.isa in KERNELS]
FIRST_VNNI = [  # the first processors with VNNI have no byte permutes
    replace(target, mattr=("+avx512vnni",)) for target in TARGETS if "+avx512vbmi" in target.mattr
]


@lru_cache
def traced(build: Callable[[], Graph]) -> tuple[Graph, dict[str, np.ndarray]]:
    """A graph and the codes of all its tensors for one frame."""
    graph = build()
    height, width, _ = graph.tensors[graph.input].shape
    trace = reference.trace(graph, silhouettes(1, 5, height, width))
    return graph, {name: batch[0] for name, batch in trace.items()}


def conv_kernel(group: Group, graph: Graph, target: Target) -> Kernel:
    """The fast kernel, which must exist."""
    kernel = KERNELS[target.isa](group, graph, target)
    assert kernel is not None
    return kernel


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.isa)
@pytest.mark.parametrize("build", [tiny_graph, gaitset_graph, gaitbase_graph])
def test_every_convolution_of_the_backbones(build: Callable[[], Graph], target: Target) -> None:
    graph, codes = traced(build)
    kernels = [conv_kernel(group, graph, target) for group in groups(graph) if group.conv]
    found = run_kernels(kernels, graph, target, codes)
    for kernel in kernels:
        assert len(np.unique(codes[kernel.output])) > 16, "a constant map proves nothing"
        np.testing.assert_array_equal(found[kernel.output], codes[kernel.output], err_msg=str(kernel.ops))


@pytest.mark.parametrize("target", TARGETS + FIRST_VNNI, ids=lambda target: " ".join(target.mattr))
def test_awkward_shapes(target: Target) -> None:
    """All cases in one program, because linking takes longer than running."""
    tensors, codes, kernels = {}, {}, []
    for number, (name, case) in enumerate(CASES.items()):
        graph, group, wanted = case.build(number)
        kernel = conv_kernel(group, graph, target)
        prefix = f"{number} "
        inputs = tuple(prefix + tensor for tensor in kernel.inputs)
        kernel = replace(kernel, symbol=f"case_{number}", inputs=inputs, output=prefix + kernel.output, ops=(name,))
        kernels.append(kernel)
        tensors |= {prefix + key: tensor for key, tensor in graph.tensors.items()}
        codes |= {prefix + key: array for key, array in wanted.items()}
    found = run_kernels(kernels, Graph("cases", "w8a8", "0 x", "0 conv", tensors, ()), target, codes)
    for kernel in kernels:
        np.testing.assert_array_equal(found[kernel.output], codes[kernel.output], err_msg=kernel.ops[0])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.isa)
@pytest.mark.parametrize("broken", ["weight", "bias", "multiplier", "shift", "table"])
def test_a_broken_constant_is_seen(broken: str, target: Target) -> None:
    graph, group, wanted = ConvCase((6, 7, 16), 32, table="monotone").build()
    kernel = conv_kernel(group, graph, target)
    weight, bias, rescale, rounds, edge, table = (array.copy() for array in kernel.constants)
    match broken:
        case "weight":
            weight[100] ^= 32
        case "bias":
            bias[3] += 900
        case "multiplier":
            rescale[0] -= 1 << 26
        case "shift":
            rescale[np.flatnonzero(np.abs(rescale) < 64)[0]] += 1
        case "table":
            table[128] += 1
    kernel = replace(kernel, constants=(weight, bias, rescale, rounds, edge, table))
    found = run_kernels([kernel], graph, target, wanted)
    assert (found[kernel.output] != wanted[kernel.output]).any()


def test_a_multiplier_that_needs_64_bits_is_declined() -> None:
    graph, group, _ = ConvCase((6, 7, 16), 16).build()
    conv = group.conv
    assert isinstance(conv, Conv2d)
    huge = replace(conv.requant, multiplier=conv.requant.multiplier, shift=np.full(16, 2, np.int8))
    group = Group((replace(conv, requant=huge),))
    for target in TARGETS:
        assert KERNELS[target.isa](group, graph, target) is None


def test_the_rule_in_32_bits_is_exact() -> None:
    """Every multiplier of 24 bits, accumulators at the ties: the nested floors of rescaling.rescaling."""
    rng = np.random.default_rng(0)
    m, s = encode_multiplier(np.exp(rng.uniform(np.log(2.0**-30), np.log(2.0**9), 20000)).astype(np.float32))
    ties = np.round((rng.integers(-140, 140, 20000) + 0.5) * 2.0 ** s.astype(float) / m)
    acc = np.clip(ties + rng.integers(-2, 3, 20000), -(2**28), 2**28).astype(np.int64)
    for product_shift in (31, 32):
        rows = rescaling(Requant(m, s), 20000, product_shift)
        assert rows is not None
        multiplier, n, k = rows.astype(np.int64)
        limit = (np.int64(1) << (31 - k)) - 1
        high = ((np.clip(acc, -limit, limit) << k) * multiplier) >> product_shift
        found = np.clip((high + (np.int64(1) << (n - 1))) >> n, -128, 127)
        np.testing.assert_array_equal(found, requantize(acc, m, s, 0, -128, 127))
