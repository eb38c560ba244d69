"""The driver of kernels sees a kernel that reads or writes where it must not, before and behind each buffer."""

from __future__ import annotations

import numpy as np
import pytest
from graph_builder import GraphBuilder
from kernel_driver import run_kernels
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import function, load, store
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.targets.processors import find

SIZE = 16 * 12


def network() -> Graph:
    b = GraphBuilder(0, 16, 12)
    b.leaky("silhouette")
    return b.graph("copied")


def copying(graph: Graph, read: int, written: int) -> Kernel:
    """Copies its input, ``read`` and ``written`` codes away from where it should."""
    op = graph.ops[0]
    with function(Group((op,))) as f:
        codes, out = f.input(graph.tensors[op.inputs[0]]), f.output(graph.tensors[op.output])
        with T.serial(0, SIZE) as i:
            store(out, i + written, load(codes, i + read, 1), 1)
    return f.kernel()


@pytest.mark.parametrize("target", ["host", "arm"])
def test_a_kernel_in_its_memory(target: str) -> None:
    graph = network()
    codes = np.arange(SIZE, dtype=np.int8).reshape(16, 12, 1)
    out = run_kernels([copying(graph, 0, 0)], graph, find(target), {graph.input: codes})
    np.testing.assert_array_equal(out[graph.output], codes)


@pytest.mark.parametrize("target", ["host", "arm"])
@pytest.mark.parametrize(("read", "written"), [(-1, 0), (1, 0), (0, -1), (0, 1)])
def test_a_kernel_that_leaves_it(target: str, read: int, written: int) -> None:
    graph = network()
    codes = np.arange(SIZE, dtype=np.int8).reshape(16, 12, 1)
    with pytest.raises(AssertionError, match=r"the driver ended with (-11|2: .*overrun|139)"):
        run_kernels([copying(graph, read, written)], graph, find(target), {graph.input: codes})
