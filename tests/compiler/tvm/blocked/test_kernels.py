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

from qgait.compiler.tvm.blocked import nest as blocked
from qgait.compiler.tvm.fusion import Group, groups
from qgait.compiler.tvm.instruction_sets import instruction_set
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d
from qgait.runtime import reference
from qgait.targets import processors as targets
from qgait.targets.processors import Target

TARGETS = [target for target in (targets.find("arm"), targets.host()) if instruction_set(target).dots is not None]
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
    kernel = blocked.conv_kernel(group, graph, instruction_set(target))
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
        assert blocked.conv_kernel(group, graph, instruction_set(target)) is None
