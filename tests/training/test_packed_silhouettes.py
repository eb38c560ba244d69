"""Where ``qgait train`` keeps silhouettes, and runs on thresholded ones."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from float_models import small_model

from qgait.calibration.calibrate import calibrate
from qgait.cli import run
from qgait.data import cache_building, cache_folder
from qgait.data.opengait import Dataset
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.walkers.dataset import synthesize
from qgait.models import checkpoint
from qgait.training import quantized
from qgait.training.configuration import read
from qgait.training.evaluation import open_evaluation

SMALL = ["--people", "2", "--clips", "2", "--frames", "2", "--iterations", "2", "--learning-rate", "0.001"]
NARROW = ["--set", "model.channels=4,6,8", "--set", "model.embedding=10"]


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Walkers of two values."""
    folder = tmp_path_factory.mktemp("data") / "walkers"
    synthesize(folder, 3, 0, 4, conditions=("nm-01", "nm-05"), views=(36, 90))
    for sequence in Dataset.open(folder).sequences:
        clip = sequence.load(wide=True)
        sequence.path.write_bytes(pickle.dumps(np.where(clip >= 128, np.uint8(255), np.uint8(0))))
    return folder


@pytest.fixture(scope="module")
def soft(hard: Path) -> Path:
    """The same walkers in shades that are on their own side of 128."""
    folder, rng = hard.parent / "soft", np.random.default_rng(0)
    for sequence in Dataset.open(hard).sequences:
        clip = sequence.load(wide=True)
        path = folder / sequence.path.relative_to(hard)
        path.parent.mkdir(parents=True)
        shades = rng.integers(0, 128, clip.shape) + np.where(clip > 0, 128, 0)
        path.write_bytes(pickle.dumps(shades.astype(np.uint8)))
    return folder


def narrow(data: Path, out: Path, *more: str) -> list[float]:
    assert run(["train", "--data", str(data), "--out", str(out), *SMALL, *NARROW, *more]) == 0
    return torch.load(out / "checkpoint.pt", weights_only=True)["training"]["losses"].tolist()


def caches(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.silhouettes")]


def test_runs_share_silhouettes_or_have_their_own_folder_or_none(
    hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    shared = narrow(hard, tmp_path / "shared")
    assert "caching silhouettes" in capsys.readouterr().err
    assert not caches(tmp_path / "shared") and len(caches(tmp_path / "home/qgait/silhouettes")) == 1
    assert read(tmp_path / "shared" / "config.yaml").data.cache is None
    assert narrow(hard, tmp_path / "again") == shared
    assert "caching silhouettes" not in capsys.readouterr().err
    away = narrow(hard, tmp_path / "away", "--cache", str(tmp_path / "packed"))
    assert not caches(tmp_path / "away") and len(caches(tmp_path / "packed")) == 1
    off = narrow(hard, tmp_path / "off", "--cache", "off")
    assert not caches(tmp_path / "off") and not Path("off").exists()
    assert shared == away == off


@pytest.mark.parametrize("trouble", ["file", "full", "homeless"])
def test_without_a_folder_of_the_user_the_run_keeps_its_silhouettes(
    trouble: str, hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    if trouble == "file":
        home.write_text("")
    elif trouble == "full":
        asked = cache_building.require_space

        def full(folder: Path, needed: int, what: str) -> None:
            asked(folder, 1 << 62 if folder.is_relative_to(home) else needed, what)

        monkeypatch.setattr(cache_building, "require_space", full)
    else:
        monkeypatch.setattr(cache_folder, "cache_folder", lambda: None)
    narrow(hard, tmp_path / "run")
    assert len(caches(tmp_path / "run")) == 1
    said = capsys.readouterr().err
    assert trouble == "homeless" or f"So this run keeps its silhouettes in {tmp_path / 'run'}." in said


def test_an_older_run_goes_on_with_the_silhouettes_in_its_folder(
    hard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    SilhouetteCache.open(Dataset.open(hard).train, tmp_path / "run")
    narrow(hard, tmp_path / "run")
    assert run(["train", "--resume", "--out", str(tmp_path / "run"), "--iterations", "3"]) == 0
    assert not (tmp_path / "home").exists() and capsys.readouterr().err.count("caching") == 1


def test_thresholded_training_sees_two_values_and_so_does_its_test(
    hard: Path, soft: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partition = tmp_path / "partition.json"
    partition.write_text(json.dumps({"TRAIN_SET": ["001", "002"], "TEST_SET": ["003"]}))
    expected = narrow(hard, tmp_path / "hard", "--partition", str(partition))
    capsys.readouterr()
    options = ["--partition", str(partition), "--set", "data.binary=true"]
    assert narrow(soft, tmp_path / "soft", *options) == expected
    assert "thresholded at 128, in training and in the test" in " ".join(capsys.readouterr().out.split())
    begun = read(tmp_path / "soft" / "config.yaml")
    assert begun.data.binary
    tests = [open_evaluation(begun, Dataset.open(data, partition)) for data in (hard, soft)]
    first, second = ([test._clip(sequence) for sequence in test.sequences] for test in tests if test is not None)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)

    assert run(["train", "--resume", "--out", str(tmp_path / "soft"), "--set", "data.binary=false"]) == 2
    assert "was begun with thresholded silhouettes. Fix: leave data.binary" in " ".join(capsys.readouterr().err.split())


def test_quantized_training_calibrates_on_thresholded_silhouettes(
    hard: Path, soft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = partial(calibrate, method="minmax")  # the quickest
    monkeypatch.setattr(quantized, "calibrate", ranges)
    checkpoint.save(small_model("gaitset"), tmp_path / "float.pt")
    found = []
    for data, more in ((hard, ["--cache", "off"]), (soft, ["--set", "data.binary=true"])):
        out = tmp_path / data.name
        options = ["--data", str(data), "--init", str(tmp_path / "float.pt"), "--bits", "w4a4", "--out", str(out)]
        assert run(["train", *options, *SMALL, "--set", "quantized.calibration_clips=4", *more]) == 0
        kept = torch.load(out / "quantized.pt", weights_only=True)["quantized"]
        found.append((kept["losses"].tolist(), kept["before"], kept["grids"]))
    assert found[0] == found[1]


def test_evaluation_thresholds_where_it_is_asked_to(hard: Path, soft: Path, tmp_path: Path) -> None:
    checkpoint.save(small_model("gaitset"), tmp_path / "float.pt")
    facts = []
    for data, more in ((hard, []), (soft, ["--binary"]), (soft, [])):
        path = tmp_path / "facts.json"
        options = ["--data", str(data), "--level", "float", "--json", str(path)]
        assert run(["eval", str(tmp_path / "float.pt"), *options, *more]) == 0
        facts.append(json.loads(path.read_text()))
    assert [fact.pop("binary") for fact in facts] == [False, True, False]
    assert facts[0] == facts[1] != facts[2]


def test_thresholded_silhouettes_need_a_cache(hard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(hard), "--out", str(tmp_path / "run"), "--cache", "off", "--set", "data.binary=true"]
    assert run(["train", *options]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Thresholded silhouettes are kept in a cache. Fix: leave cache: off or binary: true out." in said
    assert not (tmp_path / "run").exists()
