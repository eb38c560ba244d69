"""Model file, ONNX file and manifest say from what they were made, and the same always has the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import silhouettes
from safetensors import safe_open
from small_networks import backbone

import qgait
from qgait import provenance
from qgait.export.onnx.metadata import PROVENANCE_KEY, set_metadata
from qgait.models import checkpoint
from qgait.quantizers import model_file
from qgait.version import __version__


def sha256(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def clips() -> list[np.ndarray]:
    return [silhouettes(frames, 3 + frames, 64, 44) for frames in (6, 7)]


def make(folder: Path, float_weights: Path) -> None:
    """A checkpoint, and everything after it up to a bundle."""
    folder.mkdir()
    shutil.copy(float_weights, folder / "float.pt")
    quantized = qgait.calibrate(qgait.load(folder / "float.pt"), clips(), method="minmax")
    model_file.save(quantized, folder / "model.safetensors")
    qgait.write_onnx(qgait.fold(qgait.load(folder / "model.safetensors")), folder / "model.onnx")
    qgait.compile(folder / "model.onnx", "host", folder / "bundle", data=clips())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    checkpoint.save(backbone("gaitset"), folder / "float.pt")
    for name in ("one", "another"):
        make(folder / name, folder / "float.pt")
    return folder


def of_model(path: Path) -> dict[str, str]:
    with safe_open(str(path), "pt") as file:
        return dict(json.loads(file.metadata()["qgait"])["provenance"])


def of_onnx(path: Path) -> dict[str, str]:
    return dict(json.loads({p.key: p.value for p in onnx.load(path).metadata_props}[PROVENANCE_KEY]))


def of_bundle(path: Path) -> dict[str, str]:
    return dict(json.loads((path / "manifest.json").read_text())["provenance"])


def test_every_file_says_what_it_was_made_from(made: Path) -> None:
    one = made / "one"
    this = f"qgait {__version__}"
    model = {
        "made_by": this,
        "method": "calibration by minmax",
        "checkpoint": sha256(one / "float.pt"),
        "clips": provenance.of_clips(clips()),
    }
    assert of_model(one / "model.safetensors") == model
    graph = model | {"model": sha256(one / "model.safetensors"), "exported_by": this}
    assert of_onnx(one / "model.onnx") == graph
    bundle = graph | {"onnx": sha256(one / "model.onnx")}
    bundle["program"] = "with musl, compiler-rt and std.crypto of ziglang"
    assert of_bundle(one / "bundle") == bundle
    assert list(of_bundle(one / "bundle")) == [*sorted(set(bundle) - {"program"}), "program"]


def test_the_same_has_the_same_bytes_wherever_it_is_made(made: Path) -> None:
    files = [file.relative_to(made / "one") for file in sorted((made / "one").rglob("*")) if file.is_file()]
    assert len(files) > 10
    for name in files:
        content = (made / "one" / name).read_bytes()
        assert content == (made / "another" / name).read_bytes(), name
        assert os.fsencode(made) not in content, name


def test_other_clips_have_another_digest() -> None:
    first, second = clips()
    changed = first.copy()
    changed[1, 30, 20] ^= 1
    found = [[first, second], [second, first], [changed, second], [first], [np.concatenate([first, second])]]
    assert len({provenance.of_clips(given) for given in found}) == len(found)


def test_what_was_never_in_a_file_is_left_out(tmp_path: Path) -> None:
    quantized = qgait.calibrate(backbone("gaitset").eval(), clips())
    assert set(quantized.provenance) == {"made_by", "method", "clips"}
    qgait.write_onnx(qgait.fold(quantized), tmp_path / "model.onnx")
    assert set(of_onnx(tmp_path / "model.onnx")) == {"made_by", "method", "clips", "exported_by"}


def test_a_model_that_is_saved_again_does_not_tell_its_own_digest(made: Path, tmp_path: Path) -> None:
    loaded = model_file.load(made / "one" / "model.safetensors")
    assert loaded.provenance["model"] == sha256(made / "one" / "model.safetensors")
    model_file.save(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (made / "one" / "model.safetensors").read_bytes()


def test_older_files_say_nothing_and_are_read(made: Path, tmp_path: Path) -> None:
    model = onnx.load(made / "one" / "model.onnx")
    entries = {p.key: p.value for p in model.metadata_props if p.key not in (PROVENANCE_KEY, "qgait.digest")}
    set_metadata(model, entries)
    onnx.save(model, tmp_path / "old.onnx")
    assert qgait.read_onnx(tmp_path / "old.onnx").provenance == {"onnx": sha256(tmp_path / "old.onnx")}
