from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import clips, network

from qgait.export.folding import fold
from qgait.export.operators import Conv2d
from qgait.quantizers import float_arithmetic
from qgait.report.layer_errors import layer_errors


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_every_layer_is_listed_in_execution_order_and_none_differs(name: str) -> None:
    net = network(name)
    graph = fold(net)
    found = layer_errors(net, graph, net.layers, clips(2, 4, seed=30))
    assert {row["layer"] for row in found} == {layer.name for layer in net.layers}
    assert [row["per_frame"] for row in found] == sorted((row["per_frame"] for row in found), reverse=True)
    assert all(row["fake_float64"] == 0 for row in found)
    assert all(row["codes"] > 0 and 10 < row["sqnr_db"] < 80 for row in found)


def test_the_ratio_is_that_of_the_embeddings() -> None:
    net = network("gaitset")
    graph = fold(net)
    (clip,) = clips(1, 4, seed=40)
    last = layer_errors(net, graph, net.layers, [clip])[-1]
    real = float_arithmetic.embed(net.layers, clip).astype(np.float64)
    quantized = net.embed(clip).astype(np.float64) * graph.tensors["embedding"].scale[:, None]
    wanted = 10 * np.log10((real**2).sum() / ((real - quantized) ** 2).sum())
    assert last["layer"] == "embedding" and last["sqnr_db"] == pytest.approx(wanted, abs=1e-3)


def test_fewer_bits_lose_more() -> None:
    eight, four = (
        layer_errors(net, fold(net), net.layers, clips(1, 3, seed=20))
        for net in (network("gaitset"), network("gaitset", "w4a4"))
    )
    for a, b in zip(eight[1:], four[1:], strict=True):
        assert a["sqnr_db"] > b["sqnr_db"] + 5


def test_one_changed_weight_shows_from_its_layer_on() -> None:
    net = network("gaitset")
    graph = fold(net)
    broken = next(op for op in graph.ops if op.name == "gl_block2_conv1")
    assert isinstance(broken, Conv2d)
    weight = broken.weight.copy()
    weight[0] = -weight[0]
    graph = replace(graph, ops=tuple(replace(op, weight=weight) if op is broken else op for op in graph.ops))
    rows = {row["layer"]: row["fake_float64"] for row in layer_errors(net, graph, None, clips(1, 3))}
    assert rows["gl_block2_conv1"] > 0 and rows["embedding"] > 0
    assert rows["set_block3_conv2"] == 0 and rows["set_strips"] == 0


def test_without_the_float_network_there_is_no_ratio() -> None:
    net = network("gaitset")
    assert {row["sqnr_db"] for row in layer_errors(net, fold(net), None, clips(1, 3))} == {None}
