"""The runtime npu gives the reference's codes for every backbone and names the layer where a stream differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_graphs import silhouettes, tiny_graph
from graph_edits import changed, op_of, with_op
from npu_streams import npu
from parity import assert_codes_equal
from quantized_backbones import folded
from small_networks import clips

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.runtime.reference import trace
from qgait.verification.by_name import check_names, open_runtimes
from qgait.verification.npu_runtime import NpuRuntime
from qgait.verification.parity import compare, expected_codes

BACKBONES = ["gaitset", "gaitbase", "gaitsimple", "gaitpart", "gaitgl", "hstl", "deepgaitv2"]


def assert_equal(graph: Graph, name: str, clip: np.ndarray) -> None:
    """Every tensor that leaves a segment, in execution order."""
    actual, expected = NpuRuntime.compile(graph, npu(name)).trace(clip), trace(graph, clip)
    for tensor in (op.output for op in graph.ops if op.output in actual):
        assert_codes_equal(actual[tensor], expected[tensor], tensor)
    assert graph.output in actual


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone(backbone: str) -> None:
    assert_equal(folded(backbone), "ethos-u55-128", clips(1, 3, seed=9)[0])


@pytest.mark.parametrize("name", ["ethos-u65-256", "ethos-u65-512"])
def test_residuals_and_a_head(name: str) -> None:
    assert_equal(tiny_graph(), name, silhouettes(3, 4, 16, 12))


@pytest.mark.parametrize(("layer", "named"), [("conv0", "max3"), ("linear16", "linear16")])
def test_a_flipped_weight_is_found_and_its_layer_named(layer: str, named: str) -> None:
    graph = tiny_graph()
    clip = silhouettes(3, 4, 16, 12)
    weight = op_of(graph, layer).weight
    largest = int(np.abs(weight.astype(int)).argmax())
    altered = with_op(graph, layer, weight=changed(weight, int(weight.flat[largest]) ^ 64, largest))
    runtime = NpuRuntime.compile(altered, npu("ethos-u55-128"))
    result = compare(runtime, graph, [clip], expected_codes(graph, [clip]))
    assert result.mismatches > 0 and result.first_layer == named


def test_verification_opens_it_by_name() -> None:
    graph, clip, told = tiny_graph(), silhouettes(2, 4, 16, 12), []
    names = ["npu", "ethos-u65-256"]
    check_names(names)
    with open_runtimes(names, Path("no.onnx"), graph, lambda *step: told.append(step)) as runtimes:
        opened = list(runtimes)
    assert [runtime.label for runtime in opened] == ["npu ethos-u55-128", "ethos-u65-256"]
    assert told[-1] == ("Vela, ethos-u65-256", 2, 2)
    for runtime in opened:
        assert compare(runtime, graph, [clip], expected_codes(graph, [clip])).mismatches == 0


def test_what_cannot_be_interpreted_is_refused_before_any_work() -> None:
    with pytest.raises(QgaitError, match="ethos-u85-512 are not interpreted"):
        check_names(["ethos-u85-512"])
    with pytest.raises(QgaitError, match=r"no runtime 'ethos-u99'.*reference, ort, tosa, npu, or a target"):
        check_names(["ethos-u99"])


def test_a_clip_of_another_form_is_refused() -> None:
    runtime = NpuRuntime.compile(tiny_graph(), npu("ethos-u55-128"))
    with pytest.raises(QgaitError, match=r"uint8 \[frames, 16, 12\]"):
        runtime.embed(np.zeros((2, 12, 16), np.uint8))
