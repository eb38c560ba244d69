"""Every backbone by the same door: trained, trained at few bits, exported, compiled for ARM, equal in every code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from float_models import SMALL

from qgait.cli import run
from qgait.data.opengait import Dataset
from qgait.data.walkers.dataset import sequence
from qgait.export.onnx.reader import read
from qgait.models.registry import BACKBONES
from qgait.quantizers import model_file
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Compiled
from qgait.runtime.tosa import TosaRuntime
from qgait.verification.parity import compare, compare_fake, expected_codes

FRAMES = 8
BATCH = ["--people", "2", "--clips", "2", "--frames", "4", "--learning-rate", "1e-3"]
FLOATS: dict[str, Path] = {}  # the float run of a backbone serves both bit widths


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of each of two people, in OpenGait's layout under ``walks``."""
    root = tmp_path_factory.mktemp("every")
    for subject in (1, 2):
        for condition in ("nm-01", "cl-01"):
            place = root / "walks" / f"{subject:03}" / condition / "090"
            place.mkdir(parents=True)
            (place / "090.pkl").write_bytes(pickle.dumps(sequence(0, subject, condition, 90, FRAMES)))
    return root


def float_run(name: str, folder: Path) -> Path:
    if name not in FLOATS:
        narrow = [f"model.{key}={','.join(map(str, np.atleast_1d(value)))}" for key, value in SMALL[name].items()]
        settings = [word for text in narrow for word in ("--set", text)]
        out = folder / name
        asked = ["train", "--model", name, "--data", str(folder / "walks"), "--out", str(out), "--iterations", "2"]
        assert run([*asked, *BATCH, *settings]) == 0
        FLOATS[name] = out / "checkpoint.pt"
    return FLOATS[name]


def test_every_backbone_has_a_small_form_here() -> None:
    assert set(SMALL) == set(BACKBONES)


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_ends_in_a_verified_arm_bundle(name: str, bits: str, folder: Path, tmp_path: Path) -> None:
    init, data = str(float_run(name, folder)), str(folder / "walks")
    quantized, onnx, bundle = tmp_path / bits, tmp_path / "model.onnx", tmp_path / "bundle"
    asked = ["train", "--bits", bits, "--init", init, "--data", data, "--out", str(quantized), "--iterations", "3"]
    assert run([*asked, *BATCH, "--set", "quantized.calibration_clips=2"]) == 0
    model = quantized / "model.safetensors"
    assert run(["export", str(model), "--out", str(onnx)]) == 0
    assert run(["compile", str(onnx), "--target", "arm", "--out", str(bundle)]) == 0, "its self-test runs under QEMU"

    graph, network = read(onnx), model_file.load(model)
    assert (graph.model, graph.bits) == (name, bits)
    walks = [walk.load() for walk in Dataset.open(Path(data)).sequences]
    clips = [walks[0], walks[1][:2], walks[2][:1], walks[3][:5]]
    expected = expected_codes(graph, clips)
    assert compare_fake(network, graph, clips, expected).mismatches_float64 == 0
    result = compare(Compiled(Bundle.open(bundle)), graph, clips, expected)
    assert (result.mismatches, result.max_difference) == (0, 0)
    short = compare(TosaRuntime(graph), graph, clips[2:], expected[2:])
    assert (short.mismatches, short.max_difference) == (0, 0)
