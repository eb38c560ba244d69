"""Evaluation by compiled integers: the figures of torch, also where nothing can be compiled."""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from blob_walks import WALKS
from quantized_backbones import quantized

from qgait.errors import QgaitError
from qgait.training import evaluation
from qgait.training.evaluation import Evaluation
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
