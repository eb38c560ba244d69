"""Simulated quantization of every backbone against its integer graph, layer by layer, for clips of 1 to 8 frames."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from graph_edits import changed, with_op
from parity import assert_codes_equal
from quantized_backbones import NAMES, folded, quantized
from small_networks import clips

from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.onnx.writer import write
from qgait.export.operators import Conv2d, PartLinear, PowerPool
from qgait.models.layers import Layer
from qgait.quantizers import model_file
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.runtime import reference
from qgait.runtime.ort import OnnxRuntime

BITS = ("w8a8", "w4a4", "w3a3", "w2a2")


def both(net: SimulatedNetwork, graph: Graph, traced: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the simulation traced without the windows that the graph does not repeat: all other tensors are in both."""
    left = {name for name in traced if name not in graph.tensors}
    assert set(traced) - left == set(graph.tensors) - {graph.input}
    assert left <= {layer.name for layer in net.layers if layer.kind in ("window", "row_slice")}
    return {name: codes for name, codes in traced.items() if name not in left}


def differing(net: SimulatedNetwork, graph: Graph, clip: np.ndarray) -> list[str]:
    """The tensors of a clip whose codes differ."""
    expected, actual = reference.trace(graph, clip), both(net, graph, net.trace(clip))
    return [name for name, codes in actual.items() if not np.array_equal(codes, expected[name])]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_in_float64_equals_the_integers(name: str, bits: str) -> None:
    net, graph = quantized(name, bits), folded(name, bits)
    check_graph(graph)
    for length in range(1, 9):
        clip = clips(1, length, seed=50 + length)[0]
        expected = reference.trace(graph, clip)
        actual = both(net, graph, net.trace(clip))
        for tensor, codes in actual.items():
            np.testing.assert_array_equal(codes, expected[tensor], err_msg=f"{tensor}, {length} frames")
    assert_codes_equal(net.embed(clip, torch.float64), expected[graph.output][0])
    constant = [tensor for tensor, codes in expected.items() if codes.min() == codes.max()]
    most = len(expected) / (5 if bits == "w2a2" else 10)  # a channel or two of a narrow random network may be dead
    assert len(constant) <= most, constant
    with torch.no_grad():
        pieces = net(torch.from_numpy(clip)[None], torch.float64, chunk=3)[0].numpy()
    np.testing.assert_array_equal(pieces, expected[graph.output][0])


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_agrees(name: str, bits: str, tmp_path: Path) -> None:
    graph = folded(name, bits)
    write(graph, tmp_path / "m.onnx")
    runtime = OnnxRuntime(tmp_path / "m.onnx", threads=1)
    for length in (1, 2, 7):
        clip = clips(1, length, seed=80 + length)[0]
        assert_codes_equal(runtime.embed(clip), quantized(name, bits).embed(clip, torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_folds_to_the_same_graph(name: str, tmp_path: Path) -> None:
    net = quantized(name, "w4a4")
    model_file.save(net, tmp_path / "m.safetensors")
    again = model_file.load(tmp_path / "m.safetensors")
    for ours, theirs in zip(net.layers, again.layers, strict=True):
        known = [field.name for field in fields(Layer) if field.name not in ("weight", "bias")]
        assert [getattr(ours, key) for key in known] == [getattr(theirs, key) for key in known]
    assert {key: p.shape for key, p in again.named_parameters()} == {key: p.shape for key, p in net.named_parameters()}
    assert differing(again, folded(name, "w4a4"), clips(1, 4, seed=60)[0]) == []


def test_a_changed_power_or_threshold_is_noticed() -> None:
    net, graph, clip = quantized("hstl"), folded("hstl"), clips(1, 4, seed=60)[0]
    pool = [op for op in graph.ops if isinstance(op, PowerPool)][1]
    codes = reference.trace(graph, clip)
    region = codes[pool.inputs[0]][0, : pool.rows[0]]
    channel = int(region.max((0, 1)).argmax())
    largest, code = int(region[..., channel].max()), int(codes[pool.output][0, 0, channel])
    assert code > graph.tensors[pool.output].lo
    place = code - graph.tensors[pool.output].lo
    raised = changed(pool.thresholds, int(pool.thresholds[0, place]), place - 1)
    for edit in ({"powers": changed(pool.powers, 0, largest + 128)}, {"thresholds": raised}):
        assert differing(net, with_op(graph, pool.name, **edit), clip)[0] == pool.output


@pytest.mark.parametrize(("name", "kind"), [("gaitpart", PartLinear), ("gaitgl", Conv2d), ("deepgaitv2", Conv2d)])
def test_a_changed_weight_is_noticed(name: str, kind: type) -> None:
    net, graph, clip = quantized(name), folded(name), clips(1, 4, seed=60)[0]
    op = [op for op in graph.ops if isinstance(op, kind)][1]
    flat = int(np.abs(op.weight.astype(int)).argmax())
    broken = with_op(graph, op.name, weight=changed(op.weight, -int(op.weight.flat[flat]), flat))
    assert differing(net, broken, clip)[0] == op.output
