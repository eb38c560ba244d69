"""``qgait train --bits``: from a float checkpoint to a model that export, verify and eval take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from float_models import small_model

from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.models import checkpoint
from qgait.training.quantized import MODEL

SMALL = ["--people", "2", "--clips", "2", "--frames", "2", "--iterations", "3", "--learning-rate", "0.001"]


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "walkers"
    synthesize(folder, 3, 0, 6, conditions=("nm-01", "nm-05"), views=(36, 90))
    return folder


@pytest.fixture(scope="module")
def float_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "float.pt"
    checkpoint.save(small_model("gaitbase", classes=3), path)
    return path


def train(walkers: Path, init: Path, out: Path, *more: str) -> int:
    return run(["train", "--data", str(walkers), "--init", str(init), "--out", str(out), *more])


def test_a_trained_model_is_exported_verified_and_evaluated(
    walkers: Path, float_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(walkers, float_checkpoint, tmp_path, "--bits", "w4a4", *SMALL) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "gaitbase w4a4: 3 iterations" in said and "Pearson" in said
    kept = torch.load(tmp_path / "quantized.pt", weights_only=True)
    assert "head.fc_bin" in kept["model"], "the checkpoint's classifier was trained along"
    assert kept["quantized"]["settings"]["stages"]["second"]["iterations"] == 1

    model, onnx = str(tmp_path / MODEL), str(tmp_path / "model.onnx")
    assert run(["export", model, "--out", onnx]) == 0
    assert run(["verify", onnx, "--model", model, "--data", str(walkers), "--runtime", "ort", "--sequences", "3"]) == 0
    assert "0 differing codes" in " ".join(capsys.readouterr().out.split())
    assert run(["eval", str(tmp_path / MODEL), "--data", str(walkers), "--level", "fake"]) == 0
    capsys.readouterr()
    assert run(["eval", str(tmp_path / MODEL), "--data", str(walkers), "--level", "float"]) == 2
    refusal = capsys.readouterr().err
    assert "was trained at w4a4" in refusal and "give the float checkpoint" in refusal

    assert train(walkers, float_checkpoint, tmp_path, "--bits", "w4a4", *SMALL) == 2
    assert "already is a run" in capsys.readouterr().err
    assert train(walkers, float_checkpoint, tmp_path, "--bits", "w2a2", "--resume", *SMALL) == 2
    assert "is at w4a4, not at w2a2" in capsys.readouterr().err
    assert train(walkers, float_checkpoint, tmp_path, "--bits", "w4a4", "--resume", *SMALL) == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--bits", "w9a9"], "'w9a9' is not a bit-width recipe"),
        (["--bits", "w4a4", "--optimizer", "adam"], "--optimizer is for float training"),
        (["--bits", "w4a4", "--milestones", "3"], "--milestones is for float training"),
        (["--bits", "w4a4", "--model", "gaitset"], "of gaitbase"),
    ],
)
def test_impossible_options_are_refused(
    options: list[str],
    problem: str,
    walkers: Path,
    float_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(walkers, float_checkpoint, tmp_path / "run", *options, *SMALL) == 2
    assert problem in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_bits_without_a_float_network_are_refused(
    walkers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--data", str(walkers), "--out", str(tmp_path), "--bits", "w4a4"]) == 2
    assert "name its checkpoint with --init" in capsys.readouterr().err


def test_float_training_goes_on_from_a_checkpoint_with_a_classifier_for_the_new_people(
    walkers: Path, tmp_path: Path
) -> None:
    start = small_model("gaitbase", classes=9)
    checkpoint.save(start, tmp_path / "nine.pt")
    assert train(walkers, tmp_path / "nine.pt", tmp_path / "run", *SMALL) == 0
    trained = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["model"]
    assert trained["BNNecks.fc_bin"].shape[2] == 3, "the data show three people"
    stem = "Backbone.forward_block.conv1.conv.weight"
    moved = (trained[stem] - start.state_dict()[stem]).abs().max()
    assert 0 < moved < 0.1, "it starts where the checkpoint ends"
