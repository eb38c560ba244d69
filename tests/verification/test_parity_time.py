"""One wrong number in an operator over time, over regions or of a product is seen and its layer named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_graphs import parts_graph, silhouettes, temporal_graph
from graph_edits import op_of, with_op

from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.onnx.writer import write
from qgait.export.operators import Requant
from qgait.runtime.ort import OnnxRuntime
from qgait.runtime.reference import Reference, trace
from qgait.verification.parity import compare, expected_codes

CLIPS = [silhouettes(frames, seed, 16, 12) for seed, frames in enumerate((2, 5, 9))]
Break = Callable[[Graph, str], dict[str, Any]]


def one_threshold(graph: Graph, layer: str) -> dict[str, Any]:
    """The first threshold that the last clip's sum of region 0, channel 0 does not reach, set to that sum."""
    op, traced = op_of(graph, layer), trace(graph, CLIPS[-1])
    pixels = traced[op.inputs[0]][0, : op.rows[0], :, 0].astype(int)
    thresholds = op.thresholds.copy()
    place = int(traced[layer][0, 0, 0]) - graph.tensors[layer].lo
    thresholds[0, place] = op.powers[0, pixels + 128].sum()
    return {"thresholds": thresholds}


def one_power(graph: Graph, layer: str) -> dict[str, Any]:
    """The power of the largest code that occurs is 5 percent too small."""
    op = op_of(graph, layer)
    largest = int(max(trace(graph, clip)[op.inputs[0]][0, : op.rows[0]].max() for clip in CLIPS))
    powers = op.powers.copy()
    powers[0, largest + 128] = int(powers[0, largest + 128] * 0.95)
    return {"powers": powers}


def one_weight(graph: Graph, layer: str) -> dict[str, Any]:
    weight = op_of(graph, layer).weight.copy()
    weight.flat[np.abs(weight.astype(int)).argmax()] *= -1
    return {"weight": weight}


def one_multiplier(graph: Graph, layer: str) -> dict[str, Any]:
    requant = op_of(graph, layer).requant
    shift = requant.shift.copy()
    shift.flat[0] += 1
    return {"requant": Requant(requant.multiplier, shift)}


def next_rows(graph: Graph, layer: str) -> dict[str, Any]:
    op = op_of(graph, layer)
    return {"start": op.start - 1, "stop": op.stop - 1}


BREAKS: dict[str, tuple[Callable[[], Graph], str, Break]] = {
    "threshold": (temporal_graph, "power48", one_threshold),
    "power": (temporal_graph, "power48", one_power),
    "window without padding": (temporal_graph, "windowmax14", lambda graph, layer: {"size": 3, "padding": 0}),
    "weight behind a frame window": (temporal_graph, "conv10", one_weight),
    "rows": (temporal_graph, "rows23", next_rows),
    "kind of strips": (temporal_graph, "strips27", lambda graph, layer: {"kind": "mean_max"}),
    "product of a map": (temporal_graph, "multiply32", one_multiplier),
    "weight of parts": (parts_graph, "linear18", one_weight),
    "pool of another size": (parts_graph, "windowpool20", lambda graph, layer: {"size": 3}),
    "multiplier of a window pool": (parts_graph, "windowpool12", one_multiplier),
    "product of parts": (parts_graph, "multiply13", one_multiplier),
}


@pytest.mark.parametrize("what", BREAKS)
def test_one_wrong_number_is_seen_and_its_layer_named(what: str, tmp_path: Path) -> None:
    make, layer, change = BREAKS[what]
    graph = make()
    broken = with_op(graph, layer, **change(graph, layer))
    check_graph(broken)
    expected = expected_codes(graph, CLIPS)
    write(broken, tmp_path / "model.onnx")
    for runtime in (Reference(broken), OnnxRuntime(tmp_path / "model.onnx", threads=1)):
        result = compare(runtime, graph, CLIPS, expected)
        assert result.mismatches > 0 and result.max_difference > 0
        assert result.first_layer == layer


@pytest.mark.parametrize("make", [temporal_graph, parts_graph])
def test_equal_runtimes_have_no_mismatch(make: Callable[[], Graph], tmp_path: Path) -> None:
    graph = make()
    write(graph, tmp_path / "model.onnx")
    expected = expected_codes(graph, CLIPS)
    for runtime in (Reference(graph), OnnxRuntime(tmp_path / "model.onnx", threads=1)):
        result = compare(runtime, graph, CLIPS, expected)
        assert (result.mismatches, result.max_difference, result.first_layer) == (0, 0, None)


def test_repetition_is_part_of_the_comparison() -> None:
    """A runtime that repeats only the last frame of a short clip is seen."""
    graph = temporal_graph()
    assert graph.min_frames == 3

    class LastFrameAgain(Reference):
        def embed(self, clip: np.ndarray) -> np.ndarray:
            return super().embed(np.concatenate([clip, clip[-1:]]) if len(clip) < 3 else clip)

    clip = silhouettes(2, 8, 16, 12)
    result = compare(LastFrameAgain(graph), graph, [clip], [Reference(graph).embed(clip)])
    assert result.mismatches > 0
