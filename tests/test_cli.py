"""Wrong use and bad input: one sentence, the fix, exit code 2, nothing lost, no traceback."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from example_graphs import tiny_graph
from small_networks import backbone, network

from qgait.cli import run
from qgait.export.folding import fold
from qgait.export.onnx.writer import write
from qgait.models import checkpoint
from qgait.models.registry import BACKBONES
from qgait.quantizers import model_file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    checkpoint.save(backbone("gaitset"), root / "float.pt")
    model_file.save(network("gaitset"), root / "model.safetensors")
    write(fold(network("gaitset")), root / "model.onnx")
    write(tiny_graph(), root / "tiny.onnx")
    assert run(["data", "synth", str(root / "walkers"), "--subjects", "2", "--frames", "12"]) == 0
    return root


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a command that must be refused and returns what it says."""
    assert run([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.startswith("qgait: ") and "Fix: " in said
    return said


def test_unknown_targets_and_runtimes_name_the_nearest(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "compile", files / "tiny.onnx", "--target", "rpi44", "--out", files / "x")
    assert "rpi4" in said
    verify = ["verify", files / "model.onnx", "--model", files / "model.safetensors", "--data", files / "walkers"]
    assert "ortt" in refused(capsys, *verify, "--runtime", "ortt")
    assert not (files / "x").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["calibrate", "--checkpoint", "{}/gone.pt", "--data", "{}/walkers", "--out", "{}/y"],
        ["calibrate", "--checkpoint", "{}/float.pt", "--data", "{}/gone", "--out", "{}/y"],
        ["calibrate", "--checkpoint", "{}/float.pt", "--data", "{}/walkers", "--out", "{}/y", "--bits", "w9a9"],
        ["calibrate", "--checkpoint", "{}/float.pt", "--data", "{}/walkers", "--out", "{}/y", "--model", "gaitbase"],
        ["calibrate", "--checkpoint", "{}/model.onnx", "--data", "{}/walkers", "--out", "{}/y"],
        ["export", "{}/gone.safetensors", "--out", "{}/y"],
        ["export", "{}/float.pt", "--out", "{}/y"],
        ["verify", "{}/gone.onnx", "--model", "{}/model.safetensors", "--data", "{}/walkers"],
        ["verify", "{}/float.pt", "--model", "{}/model.safetensors", "--data", "{}/walkers"],
        ["verify", "{}/tiny.onnx", "--model", "{}/model.safetensors", "--data", "{}/walkers"],
        ["verify", "{}/model.onnx", "--model", "{}/model.safetensors", "--data", "{}/walkers", "--sequences", "0"],
        ["eval", "{}/model.safetensors", "--data", "{}/walkers", "--protocol", "casia"],
        ["eval", "{}/model.safetensors", "--data", "{}/walkers", "--level", "double"],
        ["eval", "{}/model.safetensors", "--data", "{}/walkers", "--level", "fake", "--runtime", "host"],
        ["eval", "{}/model.onnx", "--data", "{}/walkers", "--level", "float"],
        ["embed", "{}/model.safetensors", "{}/gone.pkl", "--out", "{}/y.npz"],
        ["embed", "{}/model.safetensors", "{}/float.pt", "--out", "{}/y.npz"],
        ["compile", "{}/float.pt", "--target", "host", "--out", "{}/y"],
        ["bench", "{}/walkers"],
        ["bench", "{}/gone"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("{}/", ""),
)
def test_bad_input_is_a_sentence_and_the_fix(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    before = sorted(path.name for path in files.iterdir())
    refused(capsys, *[argument.format(files) for argument in arguments])
    assert sorted(path.name for path in files.iterdir()) == before


@pytest.mark.parametrize("byte", [0.3, 0.6, 0.98])
def test_an_altered_onnx_file_is_refused(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], byte: float
) -> None:
    data = bytearray((files / "model.onnx").read_bytes())
    data[int(len(data) * byte)] ^= 1
    (tmp_path / "altered.onnx").write_bytes(data)
    refused(capsys, "compile", tmp_path / "altered.onnx", "--target", "host", "--out", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["altered.onnx"]


def test_nan_weights_are_refused(tmp_path: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = backbone("gaitset")
    next(model.parameters()).data.view(-1)[0] = float("nan")
    checkpoint.save(model, tmp_path / "nan.pt")
    said = refused(
        capsys, "calibrate", "--checkpoint", tmp_path / "nan.pt", "--data", files / "walkers", "--out", tmp_path / "m"
    )
    assert "nan" in said.lower()


def test_clips_that_are_no_silhouettes_are_refused_by_name(
    tmp_path: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, array in {
        "empty.npy": np.zeros((0, 64, 64), np.uint8),
        "size.npy": np.zeros((4, 32, 22), np.uint8),
        "range.npy": np.full((4, 64, 64), 300.0),
    }.items():
        np.save(tmp_path / name, array)
        said = refused(capsys, "embed", files / "model.safetensors", tmp_path / name, "--out", tmp_path / "e.npz")
        assert name in said


def test_a_full_disk_is_a_sentence(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "model.safetensors"))

    monkeypatch.setattr(model_file, "save", full)
    arguments = ["--data", files / "walkers", "--out", tmp_path / "model.safetensors", "--sequences", "3"]
    said = refused(capsys, "calibrate", "--checkpoint", files / "float.pt", *arguments)
    assert "No space left" in said and "free some space" in said


def test_ctrl_c_exits_with_130(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_file, "load", interrupted)
    assert run(["export", str(files / "model.safetensors"), "--out", str(files / "z.onnx")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (files / "z.onnx").exists()


def test_a_missing_package_names_the_extra(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(model_file, "load", absent)
    said = refused(capsys, "export", files / "model.safetensors", "--out", files / "z.onnx")
    assert "The package onnx is not installed." in said and "pip install 'qgait[onnx]'" in said


def test_help_and_version_need_no_heavy_package() -> None:
    code = (
        "import sys; from qgait.cli import run; assert run(['--help']) == 0; assert run(['targets']) == 0; "
        "heavy = {'torch', 'tvm', 'onnx', 'onnxruntime', 'cv2', 'jinja2'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("command", ["train", "calibrate"])
def test_help_names_every_backbone(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert set(BACKBONES) <= set(re.findall(r"\w+", capsys.readouterr().out))
