"""ONNX Runtime at every optimization level, and onnx's own evaluator, give the reference's codes, tensor by tensor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import gaitbase_graph, gaitset_graph, silhouettes, tiny_graph
from hand_graph import tie_clip, tie_graph
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from parity import assert_codes_equal

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.onnx.writer import to_onnx, write
from qgait.export.operators import Conv2d, Op, Requant
from qgait.runtime import ort
from qgait.runtime.ort import OPTIMIZATION_LEVELS, OnnxRuntime
from qgait.runtime.reference import Reference, trace


def thin_gaitset(seed: int) -> Graph:
    return gaitset_graph(seed, (4, 6, 8))


def thin_gaitbase(seed: int) -> Graph:
    return gaitbase_graph(seed, (4, 6, 8, 10))


def clip_for(graph: Graph, frames: int, seed: int) -> NDArray[np.uint8]:
    height, width, _ = graph.tensors[graph.input].shape
    return silhouettes(frames, seed, height, width)


def runtime_of(graph: Graph, folder: Path, level: str = "all") -> OnnxRuntime:
    path = folder / "model.onnx"
    write(graph, path)
    return OnnxRuntime(path, level, threads=1)


def assert_all_tensors_equal(runtime: OnnxRuntime, graph: Graph, clip: NDArray[np.uint8]) -> None:
    """Layer by layer in execution order, so that the first difference names the layer."""
    actual, expected = runtime.trace(clip), trace(graph, clip)
    assert list(actual) == list(expected)
    for name, codes in expected.items():
        assert_codes_equal(actual[name], codes, name)


@pytest.mark.parametrize("level", OPTIMIZATION_LEVELS)
@pytest.mark.parametrize(
    "make", [tiny_graph, thin_gaitset, thin_gaitbase, lambda seed: gaitset_graph(seed, (4, 6, 8), 4)]
)
def test_every_tensor_at_every_level(make: Callable[[int], Graph], level: str, tmp_path: Path) -> None:
    for seed in (0, 1):
        graph = make(seed)
        assert_all_tensors_equal(runtime_of(graph, tmp_path, level), graph, clip_for(graph, 3, seed + 20))


@pytest.mark.parametrize("make", [gaitset_graph, gaitbase_graph])
def test_embeddings_of_full_size_networks(make: Callable[[int], Graph], tmp_path: Path) -> None:
    graph = make(2)
    clip = clip_for(graph, 2, 30)
    expected = Reference(graph).embed(clip)
    write(graph, tmp_path / "model.onnx")
    for level in OPTIMIZATION_LEVELS:
        assert_codes_equal(OnnxRuntime(tmp_path / "model.onnx", level).embed(clip), expected, level)


@pytest.mark.parametrize("seed", range(4))
def test_noise_extremes_and_single_frames(seed: int, tmp_path: Path) -> None:
    graph = tiny_graph(seed)
    noise = np.random.default_rng(seed).integers(0, 256, (5, 16, 12)).astype(np.uint8)
    clips = [noise, noise[:1], np.zeros_like(noise), np.full_like(noise, 255)]
    results = runtime_of(graph, tmp_path).embed_many(clips)
    for got, wanted in zip(results, Reference(graph).embed_many(clips), strict=True):
        assert_codes_equal(got, wanted)


@pytest.mark.parametrize("level", OPTIMIZATION_LEVELS)
@pytest.mark.parametrize("zero_point", [0, -128, 17])
def test_ties_saturation_and_negative_accumulators(zero_point: int, level: str, tmp_path: Path) -> None:
    graph = tie_graph(zero_point)
    assert_all_tensors_equal(runtime_of(graph, tmp_path, level), graph, tie_clip())


@pytest.mark.parametrize("make", [tiny_graph, tie_graph, thin_gaitset, thin_gaitbase])
def test_the_evaluator_of_the_onnx_standard(make: Callable[..., Graph]) -> None:
    graph = make() if make in (tiny_graph, tie_graph) else make(1)
    clip = tie_clip() if make is tie_graph else clip_for(graph, 1, 40)
    (codes,) = ReferenceEvaluator(to_onnx(graph)).run(None, {"silhouettes": clip})
    assert_codes_equal(codes, trace(graph, clip)[graph.output])


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_products_do_not_saturate(sign: int, tmp_path: Path) -> None:
    """Pairs of products above 16 bits: unsigned-by-signed kernels without VNNI would clip them."""
    graph = tie_graph()
    conv = graph.ops[0]
    assert isinstance(conv, Conv2d)
    weight = np.full((4, 3, 3, 1), 127 * sign, np.int8)
    weight[:, 1, 1] = [[127], [-127], [1], [0]]
    requant = Requant(np.full(4, 2**30, np.int32), np.full(4, 30 + 11, np.int8))
    big = replace(conv, weight=weight, bias=np.zeros(4, np.int32), padding=(1, 1, 1, 1), requant=requant)
    graph = replace(graph, ops=(big, *graph.ops[1:]))
    clip = np.where(tie_clip(seed=3) > 40, 255, 0).astype(np.uint8)
    assert_all_tensors_equal(runtime_of(graph, tmp_path), graph, clip)


def mutate_weight(op: Op) -> Op:
    """The largest weight changes its sign."""
    weight = op.weight.copy()  # type: ignore[attr-defined]
    weight.flat[np.argmax(np.abs(weight.astype(int)))] *= -1
    return replace(op, weight=weight)  # type: ignore[call-arg]


def mutate_multiplier(op: Op) -> Op:
    """One multiplier of a layer is 2 percent too large."""
    requant = op.requant  # type: ignore[attr-defined]
    multiplier = requant.multiplier.copy()
    multiplier.flat[0] = min(int(multiplier.flat[0] * 1.02), 2**31 - 1)
    return replace(op, requant=Requant(multiplier, requant.shift))  # type: ignore[call-arg]


def mutate_shift(op: Op) -> Op:
    requant = op.requant  # type: ignore[attr-defined]
    shift = requant.shift.copy()
    shift.flat[0] += 1
    return replace(op, requant=Requant(requant.multiplier, shift))  # type: ignore[call-arg]


def mutate_table(op: Op) -> Op:
    """The entry for zero, which silhouettes reach, is one code off."""
    table = op.table.copy()  # type: ignore[attr-defined]
    table[128] ^= 1
    return replace(op, table=table)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("mutate", "layer"),
    [
        *[(mutate_weight, layer) for layer in ("conv0", "conv4", "linear16")],
        *[
            (change, layer)
            for change in (mutate_multiplier, mutate_shift)
            for layer in ("conv4", "add6", "strips13", "linear16")
        ],
        (mutate_table, "leaky1"),
    ],
)
def test_the_comparison_finds_one_wrong_number(mutate: Callable[[Op], Op], layer: str, tmp_path: Path) -> None:
    """And says in which layer it is."""
    graph = tiny_graph()
    broken = replace(graph, ops=tuple(mutate(op) if op.name == layer else op for op in graph.ops))
    runtime = runtime_of(broken, tmp_path)
    clip = clip_for(graph, 6, 50)
    assert_all_tensors_equal(runtime, broken, clip)
    with pytest.raises(AssertionError, match=layer):
        assert_all_tensors_equal(runtime, graph, clip)


def test_the_comparison_refuses_constants_and_other_types() -> None:
    codes = np.array([1, 2, 3], np.int8)
    assert_codes_equal(codes, codes)
    for actual, expected, words in (
        (np.zeros(3, np.int8), np.zeros(3, np.int8), "constant"),
        (np.zeros(0, np.int8), np.zeros(0, np.int8), "nothing to compare"),
        (codes.astype(np.int32), codes, "dtype"),
        (codes[:2], codes, "shape"),
        (np.array([1, 2, 4], np.int8), codes, "Mismatched elements"),
    ):
        with pytest.raises(AssertionError, match=words):
            assert_codes_equal(actual, expected)


def test_unknown_level(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=r"no optimization level 'fast'.*disabled, basic, extended, all"):
        runtime_of(tie_graph(), tmp_path, "fast")


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros((2, 8, 7), np.uint8),
        np.zeros((2, 8, 6), np.float32),
        np.zeros((8, 6), np.uint8),
        np.zeros((0, 8, 6), np.uint8),
    ],
)
def test_a_clip_of_the_wrong_kind_is_refused(clip: NDArray[np.generic], tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=r"not uint8 \[frames, 8, 6\]"):
        runtime_of(tie_graph(), tmp_path).embed(clip)  # type: ignore[arg-type]


def test_an_altered_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(tie_graph(), path)
    model = onnx.load(path)
    weight = next(value for value in model.graph.initializer if len(value.raw_data) > 16)
    weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]
    onnx.save(model, path)
    with pytest.raises(QgaitError, match=r"was altered after its export"):
        OnnxRuntime(path)


def test_missing_onnx_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(QgaitError, match=r"'ort' needs onnxruntime.*qgait\[onnx\]"):
        ort.probe.__wrapped__()


def test_an_onnx_runtime_without_int8_convolution_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class UnsupportedError(Exception):
        pass

    def refuse(*_: object) -> None:
        raise UnsupportedError("ConvInteger(10) is not implemented for int8")

    monkeypatch.setattr(ort, "_session", refuse)
    with pytest.raises(QgaitError, match=r"has no int8 by int8 ConvInteger"):
        ort.probe.__wrapped__()


def test_the_probe_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def run(self, *_: object) -> list[NDArray[np.int32]]:
            return [np.full((1, 1, 2, 2), -640, np.int32)]  # padded with 0 in place of the zero point

    assert ort.probe.__wrapped__() == ort.probe()
    monkeypatch.setattr(ort, "_session", lambda *_: Wrong())
    with pytest.raises(QgaitError, match=r"convolves int8 by int8 wrongly"):
        ort.probe.__wrapped__()
