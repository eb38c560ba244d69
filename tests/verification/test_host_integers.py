"""Evaluation by compiled integers: the figures of torch, also where nothing can be compiled."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blob_walks import WALKS
from quantized_backbones import quantized

from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.errors import QgaitError
from qgait.quantizers import model_file
from qgait.training import evaluation
from qgait.training.evaluation import Evaluation
from qgait.verification.embedders import MANY, open_embedder
from qgait.verification.host_integers import HostIntegers, compiled_for_host

TEST = [dataclasses.replace(walk, type=kind) for walk in WALKS for kind in ("nm-01", "nm-05", "bg-01")]
NOT_TORCH = "torch computed"


def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError(NOT_TORCH)

    monkeypatch.setattr(evaluation, "_by_torch", refuse)


@pytest.mark.parametrize("bits", ["w8a8", "w2a2"])
def test_the_figures_are_those_of_torch(bits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = quantized("gaitbase", bits)
    expected = Evaluation(TEST, "casia-b")(network)
    no_torch(monkeypatch)
    assert Evaluation(TEST, "casia-b", compile=HostIntegers())(network) == expected
    with pytest.raises(AssertionError, match=NOT_TORCH):
        Evaluation(TEST, "casia-b")(network)


def test_embeddings_are_those_of_torch_by_threads_that_share_it() -> None:
    network = quantized("gaitset", "w4a4")
    clips = [walk.load()[: 1 + i % 4] for i, walk in enumerate(TEST)]
    expected = np.stack([evaluation._by_torch(network, clip) for clip in clips])
    with compiled_for_host(network, threads=2) as embed, ThreadPoolExecutor(3) as callers:
        for found in callers.map(embed, [clips] * 6):
            np.testing.assert_array_equal(found, expected, strict=True)
    assert len(np.unique(expected)) > 10


def test_a_network_in_training_is_embedded_as_it_stands() -> None:
    """After a step of the optimizer, with gradients around."""
    network = copy.deepcopy(quantized("gaitset", "w4a4"))
    frames = torch.from_numpy(np.stack([walk.load() for walk in WALKS]))
    network(frames).square().mean().backward()
    torch.optim.Adam(network.parameters(), 1e-5).step()
    expected = np.stack([evaluation._by_torch(network, walk.load()) for walk in WALKS])
    with compiled_for_host(network) as embed:
        np.testing.assert_array_equal(embed([walk.load() for walk in WALKS]), expected)


WITHOUT = """
import sys
sys.modules["tvm"] = None
from quantized_backbones import quantized
import dataclasses
from blob_walks import WALKS
TEST = [dataclasses.replace(walk, type=kind) for walk in WALKS for kind in ("nm-01", "nm-05", "bg-01")]
from qgait.training.evaluation import Evaluation
from qgait.verification.embedders import MANY, open_embedder
from qgait.verification.host_integers import HostIntegers
test = Evaluation(TEST, "casia-b", compile=HostIntegers())
network = quantized("gaitset", "w4a4")
assert test(network) == test(network) == Evaluation(TEST, "casia-b")(network)
"""


def test_without_tvm_torch_evaluates_and_that_is_said_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        0,
        "The package tvm is not installed (pip install 'qgait[compile]'). "
        "So torch evaluates the quantized network, which takes longer.\n",
    )


def test_what_cannot_be_compiled_is_evaluated_by_torch_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise QgaitError("zig stopped: no space left.", "free some space.")

    monkeypatch.setattr("qgait.compiler.bundle.write", refuse)
    with HostIntegers()(quantized("gaitset"), 1) as embed:
        assert embed is None
    assert capsys.readouterr().err.startswith("zig stopped: no space left. So torch evaluates")


def test_an_error_inside_the_block_is_not_taken_for_one_of_the_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(QgaitError, match="a clip"), HostIntegers()(quantized("gaitset"), 1) as embed:
        assert embed is not None
        raise QgaitError("It is a clip.", "take another.")
    assert capsys.readouterr().err == ""


def test_few_sequences_are_not_worth_compiling_for() -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it was compiled")

    few = [walk for walk in TEST if walk.type != "bg-01"][: evaluation.FEW]
    test = Evaluation(few, "casia-b", compile=refuse)  # type: ignore[arg-type]
    assert "rank1 nm" in test(quantized("gaitset"))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with compiled_for_host(quantized("gaitset")):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model file, and 12 sequences."""
    folder = tmp_path_factory.mktemp("saved")
    model_file.save(quantized("gaitset", "w4a4"), folder / "model.safetensors")
    synthesize(folder / "walkers", 3, 0, 4, conditions=("nm-01", "nm-05"), views=(36, 90))
    return folder / "model.safetensors", folder / "walkers"


def evaluated(saved: tuple[Path, Path], *more: str) -> dict[str, Any]:
    facts = saved[0].parent / "facts.json"
    assert run(["eval", str(saved[0]), "--data", str(saved[1]), "--json", str(facts), *more]) == 0
    return json.loads(facts.read_text())


def test_eval_compiles_for_many_sequences_and_the_figures_are_the_same(
    saved: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = evaluated(saved)
    assert (quick.pop("level"), quick.pop("runtime")) == ("int", "host")
    for options in (["--runtime", "ort"], ["--runtime", "reference"]):
        slow = evaluated(saved, *options)
        assert (slow.pop("level"), slow.pop("runtime")) == ("int", options[1])
        assert slow == quick
    fake = evaluated(saved, "--level", "fake")
    assert (fake.pop("level"), fake.pop("runtime")) == ("fake", "torch") and fake == quick

    def refuse(*_: object) -> None:
        raise QgaitError("zig stopped: no space left.", "free some space.")

    monkeypatch.setattr("qgait.compiler.bundle.write", refuse)
    capsys.readouterr()
    assert evaluated(saved)["runtime"] == "ort"
    assert "zig stopped: no space left. So ONNX Runtime computes the integers" in capsys.readouterr().err
    assert run(["eval", str(saved[0]), "--data", str(saved[1]), "--runtime", "host"]) == 2


def test_few_clips_are_left_to_onnx_runtime(saved: tuple[Path, Path]) -> None:
    with ExitStack() as stack:
        assert open_embedder(saved[0], "int", None, stack).runtime == "ort"
        assert open_embedder(saved[0], "int", None, stack, MANY).runtime == "ort"
