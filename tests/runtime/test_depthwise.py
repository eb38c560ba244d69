"""A network with convolutions channel by channel: the reference by definition, and every other runtime like it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from compiled_bundles import bundle
from example_graphs import light_graph, silhouettes
from npu_streams import differing, npu

from qgait.compiler.npu.ethosu.vela import VelaOptions, compile_segment
from qgait.compiler.npu.partition import partition
from qgait.export.onnx.reader import read
from qgait.export.onnx.writer import write
from qgait.export.operators import DepthwiseConv2d
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime.compiled import Compiled
from qgait.runtime.reference import trace
from qgait.runtime.tosa import TosaRuntime

GRAPH = light_graph()
CLIP = silhouettes(4, 3, 16, 12)
EXPECTED = trace(GRAPH, CLIP)
LAYERS = [op for op in GRAPH.ops if isinstance(op, DepthwiseConv2d)]
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def code(op: DepthwiseConv2d, x: np.ndarray, index: tuple[int, int, int]) -> int:
    """One code in unbounded integers: weights times centred codes, with the zero-point term out of the bias."""
    row, column, channel = index
    source, result = GRAPH.tensors[op.inputs[0]], GRAPH.tensors[op.output]
    acc = int(op.bias[channel]) + source.zero_point * int(op.weight[..., channel].astype(int).sum())
    for i, j in itertools.product(*map(range, op.kernel)):
        y, z = row * op.stride[0] + i - op.padding[0], column * op.stride[1] + j - op.padding[1]
        if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
            acc += int(op.weight[i, j, channel]) * (int(x[y, z, channel]) - source.zero_point)
    m, s = int(op.requant.multiplier[channel]), int(op.requant.shift[channel])
    return min(max(((acc * m + (1 << (s - 1))) >> s) + result.zero_point, result.lo), result.hi)


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.name)
def test_the_reference_is_the_definition(op: DepthwiseConv2d) -> None:
    x, found = EXPECTED[op.inputs[0]][1], EXPECTED[op.output][1]
    defined = [code(op, x, index) for index in np.ndindex(found.shape)]  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.ravel(), defined)


def test_the_example_has_every_kernel_and_stride() -> None:
    assert {(op.kernel, op.stride) for op in LAYERS} == {
        ((3, 3), (1, 1)),
        ((5, 5), (2, 2)),
        ((7, 7), (1, 1)),
        ((3, 3), (2, 2)),
        ((1, 1), (1, 1)),
    }


@pytest.mark.parametrize("level", LEVELS)
def test_onnx_runtime_at_every_level_of_optimization(level: str, tmp_path: Path) -> None:
    write(GRAPH, tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"silhouettes": CLIP})[0], EXPECTED[GRAPH.output])


def test_a_file_holds_every_number(tmp_path: Path) -> None:
    write(GRAPH, tmp_path / "m.onnx")
    again = [op for op in read(tmp_path / "m.onnx").ops if isinstance(op, DepthwiseConv2d)]
    for ours, theirs in zip(LAYERS, again, strict=True):
        for name in ("weight", "bias"):
            np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), strict=True)
        assert (theirs.stride, theirs.padding, theirs.kernel) == (ours.stride, ours.padding, ours.kernel)


def test_tosa() -> None:
    for name, codes in TosaRuntime(GRAPH).trace(CLIP).items():
        np.testing.assert_array_equal(codes, EXPECTED[name], err_msg=name)


@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u65-256"])
def test_ethos_u(name: str) -> None:
    target = npu(name)
    made = partition(GRAPH, target)
    assert not made.host
    segment = made.segments[0]
    options = VelaOptions(memory_mode="Sram_Only") if "u55" in name else VelaOptions()
    assert differing(GRAPH, segment, compile_segment(segment_bytes(GRAPH, segment), target, options)) == 0
    first = LAYERS[0]
    other = replace(first, weight=np.roll(first.weight, 1, axis=0))
    altered = replace(segment, ops=tuple(other if op is first else op for op in segment.ops))
    assert differing(GRAPH, segment, compile_segment(segment_bytes(GRAPH, altered), target, options)) > 0


def test_an_npu_with_strides_of_three_at_most_leaves_longer_ones_to_the_host() -> None:
    op = LAYERS[1]
    graph = replace(GRAPH, ops=tuple(replace(op, stride=(4, 2)) if one is op else one for one in GRAPH.ops))
    assert "its stride is 4" in partition(graph, npu("ethos-u55-128")).host[op.name].reason


@pytest.mark.parametrize("target", ["host", "arm"])
def test_compiled(target: str) -> None:
    np.testing.assert_array_equal(Compiled(bundle("light", target)).embed(CLIP), EXPECTED[GRAPH.output][0])
