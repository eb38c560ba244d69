"""Simplification either changes no code or does not happen, and says which."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from example_graphs import silhouettes, tiny_graph
from onnx import TensorProto, helper, numpy_helper
from parity import assert_codes_equal

from qgait.errors import QgaitError
from qgait.export.onnx import exported as exported_file
from qgait.export.onnx import simplify as onnx_simplify
from qgait.export.onnx.metadata import metadata_of, set_metadata
from qgait.export.onnx.reader import read
from qgait.export.onnx.simplify import simplify
from qgait.export.onnx.writer import write
from qgait.runtime.ort import OnnxRuntime
from qgait.runtime.reference import Reference

CLIPS = [silhouettes(3, seed, 16, 12) for seed in range(2)]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    write(tiny_graph(), path)
    return path


def pretend(monkeypatch: pytest.MonkeyPatch, edit: Callable[[onnx.ModelProto], None]) -> None:
    """Puts a simplifier in place that only applies ``edit``."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        model = onnx.load(command[3])
        edit(model)
        onnx.save(model, command[4])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(onnx_simplify.subprocess, "run", run)


def with_detour(model: onnx.ModelProto) -> None:
    """Puts a node that does nothing before the first pooling."""
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    position = list(model.graph.node).index(pool)
    model.graph.node.insert(position, helper.make_node("Identity", [pool.input[0]], ["detour"], name="detour"))
    model.graph.node[position + 1].input[0] = "detour"


def assert_kept(path: Path, words: str) -> None:
    before = path.read_bytes()
    message = simplify(path, tiny_graph(), CLIPS)
    assert message.startswith("Kept the file as it was written: ")
    assert words in message
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]


def test_onnxsim_removes_nodes_and_changes_no_code(exported: Path) -> None:
    graph = tiny_graph()
    model = onnx.load(exported)
    with_detour(model)
    set_metadata(model, metadata_of(graph))
    onnx.save(model, exported)
    nodes = len(model.graph.node)
    message = simplify(exported, graph, CLIPS)
    fewer = len(onnx.load(exported).graph.node)
    assert fewer < nodes
    assert f"{nodes} nodes became {fewer}" in message
    assert metadata_of(read(exported)) == metadata_of(graph)
    runtime = OnnxRuntime(exported)
    for clip in CLIPS:
        assert_codes_equal(runtime.embed(clip), Reference(graph).embed(clip))
    values = runtime.trace(CLIPS[0])
    assert set(values) == set(graph.tensors)
    # a digest protects the new file as it did the old one
    model = onnx.load(exported)
    model.graph.node[5].name += "?"
    onnx.save(model, exported)
    with pytest.raises(QgaitError, match=r"was altered after its export"):
        read(exported)


def test_what_the_writer_made_has_nothing_left_to_simplify(exported: Path) -> None:
    before = exported.read_bytes()
    assert simplify(exported, tiny_graph(), CLIPS).startswith("onnxsim finds nothing to simplify")
    assert exported.read_bytes() == before


def test_a_crash_of_onnxsim(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process that dies of a real signal."""
    real_run = subprocess.run

    def crash(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        die = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        return real_run([sys.executable, "-c", die], **options)

    monkeypatch.setattr(onnx_simplify.subprocess, "run", crash)
    assert_kept(exported, "ended with code -11")


def test_an_error_of_onnxsim_is_quoted(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 3, "", "Traceback\nRuntimeError: no schema for Requant\n")

    monkeypatch.setattr(onnx_simplify.subprocess, "run", fail)
    assert_kept(exported, "ended with code 3 (RuntimeError: no schema for Requant)")


def test_onnxsim_that_never_ends(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_run = subprocess.run

    def sleep(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return real_run([sys.executable, "-c", "import time; time.sleep(60)"], **options)

    monkeypatch.setattr(onnx_simplify, "TIMEOUT", 0.2)
    monkeypatch.setattr(onnx_simplify.subprocess, "run", sleep)
    assert_kept(exported, "took longer than 0.2 s")


def test_no_onnxsim(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise onnx_simplify.PackageNotFoundError(name)

    monkeypatch.setattr(onnx_simplify, "version", missing)
    assert_kept(exported, "onnxsim is not installed")


def test_output_that_is_not_onnx(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scribble(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        Path(command[4]).write_bytes(b"nonsense" * 99)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(onnx_simplify.subprocess, "run", scribble)
    assert_kept(exported, "wrote a file that is not ONNX")


def test_a_changed_node_is_seen_in_the_codes(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_one_term_twice(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.name == "add6")
        node.input[1] = node.input[0]

    pretend(monkeypatch, add_one_term_twice)
    assert_kept(exported, "gives other codes on clip 0")


def test_a_changed_weight_is_another_graph(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "conv4.weight")
        weight = numpy_helper.to_array(tensor).copy()
        weight.flat[0] = 7 if weight.flat[0] != 7 else 8
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))

    pretend(monkeypatch, edit)
    assert_kept(exported, "holds another graph")


def test_a_lost_array_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.name = tensor.name.replace("conv4.weight", "w")
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = name.replace("conv4.weight", "w")

    pretend(monkeypatch, rename)
    assert_kept(exported, "conv4 has no initializer conv4.weight")


def test_a_float_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def through_float(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "MaxPool")
        source = node.input[0]
        node.input[0] = "back"
        position = list(model.graph.node).index(node)
        rest = list(model.graph.node)
        detour = [
            helper.make_node("Cast", [source], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["real"], ["back"], to=TensorProto.INT8),
        ]
        del model.graph.node[:]
        model.graph.node.extend([*rest[:position], *detour, *rest[position:]])

    pretend(monkeypatch, through_float)
    assert_kept(exported, "real (float)")


def test_a_file_that_onnx_runtime_cannot_load_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, with_detour)
    unchanged = onnx_simplify._codes

    def refuse_second(model: onnx.ModelProto, clips: list[np.ndarray]) -> list[np.ndarray]:
        model.opset_import[0].version = 9999
        return unchanged(model, clips)

    monkeypatch.setattr(onnx_simplify, "_codes", refuse_second)
    assert_kept(exported, "ONNX Runtime refuses it")


def test_a_wrong_graph_is_noticed(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, with_detour)
    other = replace(tiny_graph(), model="other")
    assert "holds another graph" in simplify(exported, other, CLIPS)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, QgaitError])
def test_the_older_file_stays_until_the_simplified_one_is_there(
    error: type[BaseException], exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported.read_bytes()

    def fail(path: Path, *_: object) -> str:
        assert read(path).model == "tiny" and path != exported and exported.read_bytes() == before
        raise error("stopped", "again")

    monkeypatch.setattr(exported_file, "simplify", fail)
    with pytest.raises(error):
        exported_file.write_file(replace(tiny_graph(), bits="w4a4"), exported)
    assert exported.read_bytes() == before
    assert list(exported.parent.iterdir()) == [exported]


def test_nothing_to_compare_on_is_refused(exported: Path) -> None:
    with pytest.raises(ValueError, match=r"at least one clip"):
        simplify(exported, tiny_graph(), [])
