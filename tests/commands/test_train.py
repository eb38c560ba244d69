"""``qgait train``: runs, what they say, what they leave behind, and going on with ``--resume`` alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import quick_calibration
import torch
from float_models import small_model

from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.models import checkpoint
from qgait.training import quantized
from qgait.training.configs import names
from qgait.training.configuration import read
from qgait.training.quantized import MODEL

SMALL = ["--people", "2", "--clips", "2", "--frames", "2", "--iterations", "3", "--learning-rate", "0.001"]
LABELS = ["--set", "quantized.labels=1", "--set", "quantized.validation_clips=0"]
NARROW = ["--set", "model.channels=4,6,8", "--set", "model.embedding=10"]


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "walkers"
    synthesize(folder, 3, 0, 6, conditions=("nm-01", "nm-05"), views=(36, 90))
    return folder


@pytest.fixture(scope="module")
def partition(walkers: Path) -> Path:
    path = walkers.parent / "partition.json"
    path.write_text(json.dumps({"TRAIN_SET": ["001", "002"], "TEST_SET": ["003"]}))
    return path


@pytest.fixture(scope="module")
def float_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "float.pt"
    checkpoint.save(small_model("gaitbase", classes=3), path)
    return path


def train(walkers: Path, init: Path, out: Path, *more: str) -> int:
    return run(["train", "--data", str(walkers), "--init", str(init), "--out", str(out), *more])


def narrow(walkers: Path, out: Path, *more: object) -> int:
    return run(["train", "--data", str(walkers), "--out", str(out), *SMALL, *NARROW, *map(str, more)])


def losses(out: Path) -> list[float]:
    return torch.load(out / "checkpoint.pt", weights_only=True)["training"]["losses"].tolist()


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return " ".join(said.split())


def test_a_trained_model_is_exported_verified_and_evaluated(
    walkers: Path, float_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(walkers, float_checkpoint, tmp_path, "--bits", "w4a4", *SMALL, *LABELS) == 0
    said = printed(capsys)
    assert "w4a4, 2 + 1 iterations of 2 x 2 clips of 2 frames, on cpu in float32." in said
    assert "gaitbase w4a4: 3 iterations on 3 people" in said and "Pearson" in said
    kept = torch.load(tmp_path / "quantized.pt", weights_only=True)
    assert "head.fc_bin" in kept["model"], "the checkpoint's classifier was trained along"
    stages = read(tmp_path / "config.yaml").quantized.stages
    assert (stages.first.iterations, stages.second.iterations) == (2, 1)

    model, onnx = str(tmp_path / MODEL), str(tmp_path / "model.onnx")
    assert run(["export", model, "--out", onnx]) == 0
    assert run(["verify", onnx, "--model", model, "--data", str(walkers), "--runtime", "ort", "--sequences", "3"]) == 0
    assert "0 differing codes" in printed(capsys)
    assert run(["eval", model, "--data", str(walkers), "--level", "fake"]) == 0
    capsys.readouterr()
    assert run(["eval", model, "--data", str(walkers), "--level", "float"]) == 2
    said = refusal(capsys)
    assert "holds integers only" in said and "give the float checkpoint" in said

    assert train(walkers, float_checkpoint, tmp_path, "--bits", "w4a4", *SMALL) == 2
    assert "already is a run" in refusal(capsys)
    assert run(["train", "--out", str(tmp_path), "--bits", "w2a2", "--resume"]) == 2
    assert "is of gaitbase at w4a4, not of gaitbase at w2a2" in refusal(capsys)
    assert run(["train", "--out", str(tmp_path), "--resume"]) == 0
    assert "gaitbase w4a4: 3 iterations" in printed(capsys)

    for name in ("quantized.pt", MODEL):
        for bits in (["--bits", "w4a4"], ["--bits", "w2a2"], []):
            assert train(walkers, tmp_path / name, tmp_path / "other", *bits, *SMALL) == 2
            assert f"{name} is a quantized network, not a float one." in refusal(capsys), (name, bits)
    assert not (tmp_path / "other").exists()


def test_a_run_goes_on_with_resume_alone_from_anywhere(
    walkers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(walkers.parent)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    seed = ["--seed", 5, "--set", "losses.triplet.margin=0.3"]
    assert narrow(Path("walkers"), whole, *seed) == 0
    assert narrow(Path("walkers"), parts, *seed, "--iterations", 2) == 0
    monkeypatch.chdir(tmp_path)
    assert run(["train", "--resume", "--out", "parts", "--iterations", "3"]) == 0
    assert losses(parts) == losses(whole), "same seed, same first weights, same batches"
    assert read(parts / "config.yaml") == read(whole / "config.yaml")
    assert read(whole / "config.yaml").settings.losses.triplet.margin == 0.3
    assert narrow(walkers, tmp_path / "other", "--seed", 6, "--iterations", 1) == 0
    assert losses(tmp_path / "other")[0] != losses(whole)[0]

    before = (parts / "config.yaml").read_bytes()
    capsys.readouterr()
    assert run(["train", "--resume", "--out", "parts", "--set", "optimizer.learning_rate=1"]) == 2
    assert "was begun with optimizer.learning_rate 0.001" in refusal(capsys)
    assert (parts / "config.yaml").read_bytes() == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    walkers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert narrow(walkers, tmp_path) == 0
    first = losses(tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    capsys.readouterr()
    assert run(["train", "--resume", "--out", str(tmp_path)]) == 0
    assert "Nothing was saved yet: it begins again." in printed(capsys)
    assert losses(tmp_path) == first


def test_it_says_what_it_trains_and_tests_on_the_partitions_test_people(
    walkers: Path, partition: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--partition", partition, "--evaluate-every", 2, "--cache", tmp_path / "cache"]
    assert narrow(walkers, tmp_path / "run", *options, "--set", "data.test_frames=2") == 0
    out, err = capsys.readouterr()
    said = " ".join(out.split())
    assert "gaitset, channels 4, 6, 8: 0.01 M parameters." in said
    assert "8 sequences of 2 people; test: 4 sequences of 1 people (casia-b)." in said
    assert "3 iterations of 2 x 2 clips of 2 frames, on cpu in float32." in said
    assert "On 1 test people: rank1 nm 100.00 %." in said, "there is nobody else to be taken for"
    assert err.count("rank1 nm 100.00") == 2, "after two iterations and at the end"
    assert len(list((tmp_path / "cache").glob("*.silhouettes"))) == 1


def test_a_checkpoints_own_channels_are_kept_and_said(
    walkers: Path, float_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = small_model("gaitbase", classes=9)
    checkpoint.save(start, tmp_path / "nine.pt")
    options = ["--config", "gaitbase-casia-b", *SMALL]
    assert train(walkers, tmp_path / "nine.pt", tmp_path / "run", *options) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "has channels (4, 6, 8, 12), not (64, 128, 256, 512), and so has this run" in said
    assert read(tmp_path / "run" / "config.yaml").arguments == {"channels": (4, 6, 8, 12), "embedding": 10}
    trained = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["model"]
    assert trained["BNNecks.fc_bin"].shape[2] == 3, "the data show three people"
    stem = "Backbone.forward_block.conv1.conv.weight"
    moved = (trained[stem] - start.state_dict()[stem]).abs().max()
    assert 0 < moved < 0.1, "it starts where the checkpoint ends"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--bits", "w9a9"], "'w9a9' is not a bit-width recipe"),
        (["--bits", "w4a4", "--optimizer", "adam"], "--optimizer is for float training"),
        (["--bits", "w4a4", "--model", "gaitset"], "of gaitbase"),
        (
            ["--set", "batch.poeple=3"],
            "There is no key batch.poeple (in the command line). Fix: the nearest is batch.p",
        ),
        (["--config", "gaitbase-casia"], "Fix: the nearest is gaitbase-casia-b,"),
        (["--evaluate-every", "2"], "There are no test people to evaluate on."),
        (["--device", "gpu"], "There is no device called 'gpu'"),
        (["--resume"], "There is no run in"),
    ],
)
def test_impossible_options_are_refused_and_leave_nothing(
    options: list[str],
    problem: str,
    walkers: Path,
    float_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(walkers, float_checkpoint, tmp_path / "run", *SMALL, *options) == 2
    assert problem in refusal(capsys)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_refused(
    walkers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert narrow(walkers, tmp_path / "run", "--device", "cuda") == 2
    assert "Torch finds no CUDA device. Fix: use --device cpu" in refusal(capsys)


@pytest.mark.parametrize("protocol", ["oumvlp", "grew", "gait3d"])
def test_a_protocol_that_does_not_suit_the_test_people_is_refused_before_training(
    protocol: str, walkers: Path, partition: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert narrow(walkers, tmp_path / "run", "--partition", partition, "--protocol", protocol) == 2
    assert f"The test people do not suit the protocol {protocol}" in refusal(capsys)
    assert not (tmp_path / "run").exists()


def test_without_a_protocol_there_is_no_test(
    walkers: Path, partition: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untested = ["--partition", partition, "--set", "data.protocol=null", "--iterations", 1]
    assert narrow(walkers, tmp_path / "run", *untested) == 0
    assert "8 sequences of 2 people; no test people." in printed(capsys)


def test_the_configurations_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--list-configs"]) == 0
    said = printed(capsys)
    assert all(name in said for name in names())
    assert "GaitBase on Gait3D as OpenGait trains it." in said


def test_a_classifier_of_other_people_is_refused_and_may_be_left_out(
    walkers: Path,
    partition: Path,
    float_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(quantized, "calibrate", quick_calibration.calibrate)
    options = ["--bits", "w4a4", "--partition", str(partition), *SMALL, *LABELS]
    assert train(walkers, float_checkpoint, tmp_path / "a", *options) == 2
    said = refusal(capsys)
    assert "The classifier of gaitbase has 3 classes; the data have 2 people." in said
    assert "(--partition), or without it: --set losses.cross_entropy.weight=0." in said
    assert train(walkers, float_checkpoint, tmp_path / "a", *options, "--set", "losses.cross_entropy.weight=0") == 0


def test_people_who_are_not_there_are_told_of(
    walkers: Path, float_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "partition.json"
    path.write_text(json.dumps({"TRAIN_SET": ["001", "002", "004"], "TEST_SET": ["003", "005", "006"]}))
    evaluated = ["eval", str(float_checkpoint), "--level", "float", "--data", str(walkers), "--partition", str(path)]
    for command in (lambda: narrow(walkers, tmp_path / "run", "--partition", path), lambda: run(evaluated)):
        assert command() == 0
        said = refusal(capsys)
        assert f"1 of 3 subjects in the TRAIN_SET of {path} are not there." in said
        assert f"2 of 3 subjects in the TEST_SET of {path} are not there." in said
    path.write_text(json.dumps({"TRAIN_SET": ["201"], "TEST_SET": ["003"]}))
    assert narrow(walkers, tmp_path / "nobody", "--partition", path) == 2
    assert "None of the 1 subjects in the TRAIN_SET" in refusal(capsys)
    assert run(evaluated) == 2
    assert "None of the 1 subjects in the TRAIN_SET" in refusal(capsys)


def test_people_with_too_few_sequences_are_told_of(
    walkers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert narrow(walkers, tmp_path / "run", "--clips", 5, "--iterations", 1) == 0
    assert "3 of 3 people have fewer than 5 sequences; some come twice in a batch." in refusal(capsys)
