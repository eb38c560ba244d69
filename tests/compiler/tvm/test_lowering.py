"""Compiled programs give the reference's codes in every tensor, on this machine and on ARM under QEMU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_graphs import GraphBuilder, gaitbase_graph, gaitset_graph, silhouettes, tiny_graph
from program_driver import trace

from qgait.compiler.tvm.lowering import lower
from qgait.compiler.tvm.program import SILHOUETTE, Program
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import MaxPool2d
from qgait.runtime import reference
from qgait.targets.processors import Target, cpu_features, find, host

OLD_HOST = replace(host(features=set()), name="host of 2003")
PLAIN_HOST = replace(host(features=cpu_features() - {"avx512_vnni", "asimddp"}), name="host without dot products")
TARGETS = [find("host"), PLAIN_HOST, OLD_HOST, find("arm"), find("arm64-v8"), find("rpi3"), find("armv7")]


def assert_equal_traces(program: Program, clip: np.ndarray, folder: Path, in_place: bool = False) -> None:
    found = trace(program, clip, folder, in_place)
    wanted = reference.trace(program.graph, clip)
    assert program.graph.output in found
    for name, codes in found.items():
        assert len(np.unique(wanted[name])) > 1, f"{name} is constant and proves nothing"
        np.testing.assert_array_equal(codes, wanted[name], err_msg=name)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_operator_on_every_kind_of_processor(target: Target, tmp_path: Path) -> None:
    assert_equal_traces(lower(tiny_graph(), target), silhouettes(3, 1, 16, 12), tmp_path)


@pytest.mark.parametrize("target", [PLAIN_HOST, find("armv7")], ids=lambda target: target.name)
def test_kernels_may_work_in_place(target: Target, tmp_path: Path) -> None:
    program = lower(tiny_graph(1), target)
    assert sum(kernel.in_place is not None for kernel in (*program.frame, *program.clip)) > 1
    assert_equal_traces(program, silhouettes(2, 2, 16, 12), tmp_path, in_place=True)


@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_may_not_overwrite_what_it_reads(size: int, tmp_path: Path) -> None:
    """conv(x) + x, in strips of tiles: the shortcut's memory is not offered."""
    b = GraphBuilder(4, 64, 8)
    x = b.conv("silhouette", 16, 3)
    b.add(b.conv(x, 16, size), x)
    program = lower(b.graph("conv(x) + x"), PLAIN_HOST)
    assert [kernel.in_place for kernel in program.frame] == [None] * len(program.frame)
    assert_equal_traces(program, silhouettes(1, 2, 64, 8), tmp_path, in_place=True)


@pytest.mark.parametrize(
    ("target", "bits"), [("host", 8), ("arm", 8), ("arm64-v8", 8), ("armv7", 8), ("host", 4), ("arm64-v8", 4)]
)
def test_gaitset(target: str, bits: int, tmp_path: Path) -> None:
    assert_equal_traces(lower(gaitset_graph(2, bits=bits), find(target)), silhouettes(1, 4), tmp_path)


@pytest.mark.parametrize("target", ["host", "arm", "arm64-v8"])
def test_gaitbase(target: str, tmp_path: Path) -> None:
    assert_equal_traces(lower(gaitbase_graph(), find(target)), silhouettes(1, 5), tmp_path)


def test_operators_alone(tmp_path: Path) -> None:
    """Tables, maxima and sums that no convolution takes along, of sizes that fill no vector."""
    b = GraphBuilder(3, 15, 11)
    x = b.leaky(b.leaky(b.conv("silhouette", 3, 3, zero_point=-90)))
    y = b.pool(x, 3)
    z = b.frame_max(b.leaky(b.add(y, b.leaky(y), zero_point=-20)))
    b.linear(b.concat(b.strips(z, (5,)), b.strips(b.concat(z, z), (1, 2)), b.strips(z, (1,))), 7)
    program = lower(b.graph("alone"), find("host"))
    assert any(isinstance(op, MaxPool2d) and kernel.ops == (op.name,) for kernel in program.frame for op in b.ops)
    assert_equal_traces(program, silhouettes(2, 6, 15, 11), tmp_path)


def test_a_broken_kernel_is_seen(tmp_path: Path) -> None:
    program = lower(tiny_graph(), find("host"))
    kernel = program.clip[-1]
    bias = kernel.constants[1].copy()
    bias[0] += 4000
    constants = (kernel.constants[0], bias, *kernel.constants[2:])
    broken = replace(program, clip=(*program.clip[:-1], replace(kernel, constants=constants)))
    with pytest.raises(AssertionError, match=kernel.output):
        assert_equal_traces(broken, silhouettes(2, 1, 16, 12), tmp_path)


def test_the_shape_of_a_program() -> None:
    graph = tiny_graph()
    program = lower(graph, find("arm64-v8"))
    assert (program.frame[0].inputs, program.frame[0].output) == ((SILHOUETTE,), graph.input)
    assert [name for kernel in program.frame[1:] for name in kernel.ops] == [op.name for op in graph.frame_ops()]
    assert [name for kernel in program.clip for name in kernel.ops] == [op.name for op in graph.clip_ops()]
    assert program.clip[-1].output == graph.output
    assert any("Winograd" in note for note in program.notes)
    for kernel in (*program.frame, *program.clip):
        assert kernel.prototype().startswith(f"void {kernel.symbol}(const int8_t *in0")
        for array in kernel.constants:
            assert array.ctypes.data % 64 == 0 and not array.flags.writeable


def test_unknown_operators_are_refused() -> None:
    graph = tiny_graph()
    with pytest.raises(QgaitError, match="is a Op, which TVM cannot run: nobody has written it"):
        lower(Graph("x", "w8a8", graph.input, graph.output, graph.tensors, (_stranger(graph),)), find("host"))


def _stranger(graph: Graph) -> object:
    from qgait.export.operators import Op

    return Op("new", (graph.input,), graph.output)
