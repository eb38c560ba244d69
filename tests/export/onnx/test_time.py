"""ONNX files of graphs with windows over frames: same codes for any clip length, whoever runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import parts_graph, silhouettes, temporal_graph, tiny_graph
from graph_builder import GraphBuilder
from onnx import inliner, shape_inference
from onnx.reference import ReferenceEvaluator
from parity import assert_codes_equal
from random_graphs import random_temporal_graph

from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.onnx.arrays import from_onnx_arrays, to_onnx_arrays
from qgait.export.onnx.metadata import DIGEST_KEY, FORMAT_KEY, GRAPH_KEY, set_metadata
from qgait.export.onnx.pooling import POWERS
from qgait.export.onnx.reader import read
from qgait.export.onnx.simplify import simplify
from qgait.export.onnx.writer import to_onnx, write
from qgait.export.operators import PowerPool
from qgait.runtime.ort import OPTIMIZATION_LEVELS, OnnxRuntime
from qgait.runtime.reference import Reference, trace

Make = Callable[[int], Graph]


def clip_of(graph: Graph, frames: int, seed: int) -> np.ndarray:
    height, width, _ = graph.tensors[graph.input].shape
    return silhouettes(frames, seed, height, width)


def assert_every_tensor_equal(
    runtime: OnnxRuntime, graph: Graph, clip: np.ndarray, without: tuple[str, ...] = ()
) -> None:
    """In execution order, so that the first difference names the layer; ``without`` those that the file dropped."""
    actual, expected = runtime.trace(clip), trace(graph, clip)
    assert list(actual) == [name for name in expected if name not in without]
    for name, codes in expected.items():
        if name in without:
            continue
        np.testing.assert_array_equal(actual[name], codes, err_msg=f"{name} of {len(clip)} frames", strict=True)


@pytest.mark.parametrize("level", OPTIMIZATION_LEVELS)
@pytest.mark.parametrize("make", [temporal_graph, parts_graph])
def test_every_tensor_at_every_length_and_level(make: Make, level: str, tmp_path: Path) -> None:
    graph = make(1)
    write(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx", level, threads=1)
    for frames in range(1, 13):
        clip = clip_of(graph, frames, frames)
        assert_every_tensor_equal(runtime, graph, clip)
        assert_codes_equal(runtime.embed(clip), Reference(graph).embed(clip))


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    graph = random_temporal_graph(seed)
    write(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(
        tmp_path / "model.onnx", list(OPTIMIZATION_LEVELS)[seed % len(OPTIMIZATION_LEVELS)], threads=1
    )
    for frames in (*range(1, 7), 12):
        assert_every_tensor_equal(runtime, graph, clip_of(graph, frames, seed + frames))


def test_noise_and_extremes(tmp_path: Path) -> None:
    for graph in (temporal_graph(2), parts_graph(2)):
        write(graph, tmp_path / "model.onnx")
        runtime = OnnxRuntime(tmp_path / "model.onnx", threads=1)
        noise = np.random.default_rng(0).integers(0, 256, (7, 16, 12)).astype(np.uint8)
        steps = np.where(np.arange(7).reshape(-1, 1, 1) % 3 == 0, 255, noise).astype(np.uint8)
        for clip in (noise, steps, np.zeros_like(noise), np.full_like(noise, 255)):
            assert_every_tensor_equal(runtime, graph, clip)


@pytest.mark.parametrize("padding", range(5))
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_every_stride_and_padding_of_a_window_of_five(stride: int, padding: int, tmp_path: Path) -> None:
    """Both kinds of windows, over maps and over parts."""
    builder = GraphBuilder(padding, 8, 6, frames=8)
    x = builder.conv("silhouette", 3, 3, zero_point=-7)
    maps = builder.add(
        builder.conv(builder.frame_window(x, 5, stride, padding), 3, 1), builder.window_max(x, 5, stride, padding)
    )
    strips = builder.strips(x, (2,), zero_point=-99)
    wide = builder.linear(builder.frame_window(strips, 5, stride, padding), 3)
    parts = builder.add(wide, builder.window_max(strips, 5, stride, padding))
    builder.linear(builder.concat(builder.frame_max(parts), builder.strips(builder.frame_max(maps), (4,))), 4)
    graph = builder.graph("strided")
    shortest = next(n for n in range(1, 9) if all(values.length(n) for values in graph.series.values()))
    graph = replace(graph, min_frames=shortest)
    write(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx", threads=1)
    for frames in range(1, 11):
        assert_every_tensor_equal(runtime, graph, clip_of(graph, frames, frames))


@pytest.mark.parametrize("rows", [(16,), (1,) * 16, (4, 4, 4, 4), (1, 9, 6)])
@pytest.mark.parametrize("hi", [127, -120])
def test_power_pools_of_frames(rows: tuple[int, ...], hi: int, tmp_path: Path) -> None:
    builder = GraphBuilder(7, 16, 12, frames=4)
    powers = builder.power_pool(builder.leaky(builder.conv("silhouette", 5, 3), zero_point=-100), rows, 3.0, hi)
    builder.linear(builder.frame_max(builder.linear(powers, 4)), 4)
    graph = builder.graph("powers")
    write(graph, tmp_path / "model.onnx")
    for level in OPTIMIZATION_LEVELS:
        assert_every_tensor_equal(OnnxRuntime(tmp_path / "model.onnx", level, 1), graph, clip_of(graph, 4, 3))


def test_powers_at_the_edge_of_float64(tmp_path: Path) -> None:
    """Sums up to 2**53 - 1, thresholds 0 and 2**63 - 1, and sums that hit a threshold exactly."""
    builder = GraphBuilder(7, 8, 6, frames=3)
    builder.power_pool(builder.frame_max(builder.conv("silhouette", 5, 3)), (8,))
    builder.linear("power2", 3)
    graph = builder.graph("edge")
    op = next(op for op in graph.ops if isinstance(op, PowerPool))
    clip = clip_of(graph, 3, 3)
    largest = (2**53 - 1) // 48
    powers = np.where(np.arange(256) % 2, largest, 0).reshape(1, 256)
    sums = powers[0, trace(graph, clip)["max1"][0].astype(int) + 128].sum(axis=(0, 1))
    thresholds = np.concatenate([np.zeros(60, np.int64), np.repeat(sums, 20), np.full(95, 2**63 - 1)])
    op = replace(op, powers=powers, thresholds=np.sort(thresholds).reshape(1, 255))
    graph = replace(graph, ops=tuple(op if old.name == op.name else old for old in graph.ops))
    check_graph(graph)
    write(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx", threads=1)
    assert_every_tensor_equal(runtime, graph, clip)
    ranks = np.searchsorted(np.sort(sums), sums, side="right")
    np.testing.assert_array_equal(trace(graph, clip)["power2"][0, 0], -128 + 60 + 20 * ranks)


@pytest.mark.parametrize("make", [temporal_graph, parts_graph])
def test_the_evaluator_of_the_onnx_standard(make: Make) -> None:
    graph = make(3)
    evaluator = ReferenceEvaluator(to_onnx(graph))
    for frames in (1, 4, 6):
        clip = clip_of(graph, frames, 40)
        (codes,) = evaluator.run(None, {"silhouettes": clip})
        assert_codes_equal(codes, trace(graph, clip)[graph.output])


def test_simplified_files_compute_the_same(tmp_path: Path) -> None:
    """Onnxsim drops a window of one value, which changes nothing, and one of two equal windows."""
    graph, path = parts_graph(0), tmp_path / "model.onnx"
    write(graph, path)
    nodes = len(onnx.load(path).graph.node)
    message = simplify(path, graph, [clip_of(graph, frames, 5) for frames in (1, 2, 7)])
    assert message.startswith("Simplified by onnxsim"), message
    assert len(onnx.load(path).graph.node) < nodes
    runtime = OnnxRuntime(path, threads=1)
    for frames in range(1, 9):
        clip = clip_of(graph, frames, frames)
        assert_every_tensor_equal(runtime, graph, clip, without=("window9", "window14"))


def test_maps_keep_their_sizes_in_the_file() -> None:
    """Only the number of values is open, also behind the repetition of short clips."""
    graph = temporal_graph()
    inferred = shape_inference.infer_shapes(inliner.inline_local_functions(to_onnx(graph)), strict_mode=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred.graph.value_info
    }
    for name, tensor in graph.tensors.items():
        if name != graph.output and len(tensor.shape) == 3:
            height, width, channels = tensor.shape
            assert shapes[name][1:] == [channels, height, width], name


def test_the_metadata_say_how_many_frames_a_clip_must_have(tmp_path: Path) -> None:
    graph = temporal_graph()
    model = to_onnx(graph)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(entries["qgait.input"])["min_frames"] == 3
    write(graph, tmp_path / "model.onnx")
    assert read(tmp_path / "model.onnx").min_frames == 3


def test_a_file_of_format_1_is_read(tmp_path: Path) -> None:
    """It says neither ``min_frames`` nor what its strips are."""
    graph = tiny_graph()
    model = to_onnx(graph)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    description = json.loads(entries[GRAPH_KEY])
    del description["min_frames"]
    for op in description["ops"]:
        op.pop("kind", None)
    set_metadata(model, entries | {FORMAT_KEY: "1", GRAPH_KEY: json.dumps(description)})
    onnx.save(model, tmp_path / "old.onnx")
    clip = clip_of(graph, 3, 1)
    np.testing.assert_array_equal(Reference(read(tmp_path / "old.onnx")).embed(clip), Reference(graph).embed(clip))


def test_the_powers_of_a_file_of_format_2_are_read() -> None:
    """It stores them in int32."""
    graph = temporal_graph()
    op = next(op for op in graph.ops if isinstance(op, PowerPool))
    small = replace(op, powers=op.powers >> 23, thresholds=op.thresholds >> 23)
    source = graph.tensors[op.inputs[0]]
    stored = {name: array.astype(np.int32) for name, array in to_onnx_arrays(small, source, POWERS).items()}
    arrays = from_onnx_arrays(PowerPool, stored, source, POWERS)
    for name in ("powers", "thresholds"):
        assert arrays[name].dtype == np.int64 and len(np.unique(arrays[name])) > 5
        np.testing.assert_array_equal(arrays[name], getattr(small, name))
