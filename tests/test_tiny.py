"""The whole product on a tiny network: every command, from walkers to measured ARM code, as a user would type them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_networks import backbone

from qgait.cli import run
from qgait.models import checkpoint

RUNTIMES = ("reference", "ort", "tosa", "host", "arm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Walkers, a random checkpoint, its W8A8 model and ONNX file, and an ARM bundle."""
    root = tmp_path_factory.mktemp("tiny")
    checkpoint.save(backbone("gaitset"), root / "float.pt")
    data, model, onnx = root / "walkers", root / "model.safetensors", root / "model.onnx"
    assert run(["data", "synth", str(data), "--subjects", "2", "--frames", "16"]) == 0
    arguments = ["--data", str(data), "--out", str(model), "--sequences", "8", "--json", str(root / "calibrate.json")]
    assert run(["calibrate", "--checkpoint", str(root / "float.pt"), *arguments]) == 0
    assert run(["export", str(model), "--out", str(onnx), "--json", str(root / "export.json")]) == 0
    bundle = root / "bundle"
    assert run(["compile", str(onnx), "--target", "arm", "--out", str(bundle), "--data", str(data)]) == 0
    return root


def facts(path: Path) -> dict:  # type: ignore[type-arg]
    return json.loads(path.read_text())


def test_calibration_reports_every_tensor(folder: Path) -> None:
    found = facts(folder / "calibrate.json")
    assert found["clips"] == 8 and len(found["tensors"]) > 10


def test_the_onnx_file_is_about_as_large_as_its_weights(folder: Path) -> None:
    found = facts(folder / "export.json")
    assert found["file_bytes"] == (folder / "model.onnx").stat().st_size
    assert found["parameters"] < found["file_bytes"] < 2 * found["parameters"] + 60_000


def test_every_runtime_gives_the_same_integers(folder: Path) -> None:
    out = folder / "verify.json"
    runtimes = [part for name in RUNTIMES for part in ("--runtime", name)]
    given = ["--model", str(folder / "model.safetensors"), "--data", str(folder / "walkers")]
    arguments = [*given, *runtimes, "--sequences", "4", "--frames", "6", "--json", str(out)]
    assert run(["verify", str(folder / "model.onnx"), *arguments]) == 0
    found = facts(out)
    assert found["sequences"] == 4 and found["codes"] == 4 * 62 * 20
    assert set(found["fake"]) >= {"mismatches", "mismatches_float64", "max_difference", "min_cosine"}
    assert found["fake"]["mismatches_float64"] == 0 and found["fake"]["min_cosine"] > 0.99
    assert set(found["runtimes"]) == set(RUNTIMES)
    for result in found["runtimes"].values():
        assert result == {"mismatches": 0, "max_difference": 0, "first_layer": None, "real_mismatches": 0}


def test_verify_fails_when_the_model_is_not_the_one_that_was_exported(folder: Path, tmp_path: Path) -> None:
    checkpoint.save(backbone("gaitset", seed=1), tmp_path / "other.pt")
    other = tmp_path / "other.safetensors"
    data = ["--data", str(folder / "walkers")]
    assert (
        run(["calibrate", "--checkpoint", str(tmp_path / "other.pt"), *data, "--out", str(other), "--sequences", "4"])
        == 0
    )
    arguments = ["--model", str(other), *data, "--runtime", "reference", "--sequences", "2", "--frames", "4"]
    assert run(["verify", str(folder / "model.onnx"), *arguments]) == 1


@pytest.mark.parametrize("level", ["float", "fake", "int"])
def test_eval_gives_rank_1_by_condition(folder: Path, level: str) -> None:
    out = folder / f"{level}.json"
    model = folder / ("float.pt" if level == "float" else "model.safetensors")
    given = [str(model), "--data", str(folder / "walkers"), "--frames", "4"]
    assert run(["eval", *given, "--protocol", "casia-b", "--level", level, "--json", str(out)]) == 0
    found = facts(out)
    assert (found["protocol"], found["level"]) == ("casia-b", level)
    assert set(found["rank1"]) == {"nm", "bg", "cl"}
    assert all(0 <= value <= 100 for value in found["rank1"].values())


def test_bench_counts_executed_arm_instructions(folder: Path) -> None:
    out = folder / "bench.json"
    assert run(["bench", str(folder / "bundle"), "--device", "qemu", "--json", str(out)]) == 0
    found = facts(out)
    keys = {"target", "device", "frame_ms", "embedding_ms", "instructions_per_frame", "peak_memory_bytes"}
    assert set(found) >= keys | {"model_bytes", "macs_per_frame"}
    macs = found["macs_per_frame"]
    assert macs == facts(folder / "export.json")["macs_per_frame"]
    assert macs / 16 < found["instructions_per_frame"] < 2 * macs


def test_embeddings_of_the_bundle_the_onnx_file_and_the_simulation_are_equal(folder: Path) -> None:
    walks = [str(path) for path in sorted((folder / "walkers").rglob("*.pkl"))[:3]]
    embeddings = {}
    for name, model, *asked in (
        ("bundle", "bundle"),
        ("onnx", "model.onnx"),
        ("tosa", "model.safetensors", "--runtime", "tosa"),
        ("fake", "model.safetensors", "--level", "fake"),
    ):
        out = folder / f"{name}.npz"
        assert run(["embed", str(folder / model), *walks, "--out", str(out), *asked]) == 0
        embeddings[name] = np.load(out)
    for name in ("onnx", "tosa", "fake"):
        np.testing.assert_array_equal(embeddings[name]["codes"], embeddings["bundle"]["codes"])
        np.testing.assert_array_equal(embeddings[name]["embeddings"], embeddings["bundle"]["embeddings"])
    assert embeddings["bundle"]["embeddings"].shape == (3, 62, 20)
    assert len(np.unique(embeddings["bundle"]["codes"])) > 50
