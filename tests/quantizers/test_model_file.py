from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import clips, network

from qgait.errors import QgaitError
from qgait.quantizers import float_arithmetic, model_file


@pytest.mark.parametrize(("name", "bits"), [("gaitset", "w8a8"), ("gaitbase", "w4a4")])
def test_a_saved_network_computes_what_it_did(name: str, bits: str, tmp_path: Path) -> None:
    net = network(name, bits)
    model_file.save(net, tmp_path / "m.safetensors")
    again = model_file.load(tmp_path / "m.safetensors")
    clip = clips(1)[0]
    np.testing.assert_array_equal(again.embed(clip), net.embed(clip))
    np.testing.assert_allclose(float_arithmetic.embed(again.layers, clip), float_arithmetic.embed(net.layers, clip))
    assert str(again.recipe) == bits and again.model == name
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    model_file.save(network("gaitset"), path)
    return path


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        return dict(file.metadata())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=r"no model .*gone\.safetensors"):
        model_file.load(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 200, -40])
def test_a_truncated_file_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(QgaitError, match="not a qgait model"):
        model_file.load(saved)


def test_other_safetensors_are_told_to_be_calibrated(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(QgaitError, match="qgait calibrate"):
        model_file.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("prefix", ["weight:", "step:", "bias:"])
def test_nan_is_refused_by_name(saved: Path, prefix: str) -> None:
    tensors, metadata = load_file(saved), _metadata(saved)
    name = next(key for key in sorted(tensors) if key.startswith(prefix))
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, saved, metadata)
    with pytest.raises(QgaitError, match=name):
        model_file.load(saved)


def test_a_step_of_zero_is_refused(saved: Path) -> None:
    tensors, metadata = load_file(saved), _metadata(saved)
    name = next(key for key in tensors if key.startswith("step:"))
    tensors[name].zero_()
    save_file(tensors, saved, metadata)
    with pytest.raises(QgaitError, match="not positive"):
        model_file.load(saved)


def test_a_missing_tensor_is_damage(saved: Path) -> None:
    tensors, metadata = load_file(saved), _metadata(saved)
    tensors.pop(next(key for key in tensors if key.startswith("weight_step:")))
    save_file(tensors, saved, metadata)
    with pytest.raises(QgaitError, match="damaged"):
        model_file.load(saved)


def test_a_newer_format_asks_for_an_update(saved: Path) -> None:
    tensors, metadata = load_file(saved), _metadata(saved)
    metadata["qgait"] = json.dumps(json.loads(metadata["qgait"]) | {"format": 99})
    save_file(tensors, saved, metadata)
    with pytest.raises(QgaitError, match="update qgait"):
        model_file.load(saved)


def test_nothing_is_left_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        model_file.save(network("gaitset"), tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
