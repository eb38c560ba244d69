"""``qgait calibrate``: bits of the first and the last layer."""

from __future__ import annotations

from pathlib import Path

import pytest
from float_models import small_model

from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.models import checkpoint
from qgait.quantizers import model_file


@pytest.mark.parametrize(("policy", "outer"), [([], 8), (["--first-last", "8"], 8), (["--first-last", "same"], 3)])
def test_the_first_and_the_last_layer_have_8_bits_or_those_of_all(
    policy: list[str], outer: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthesize(tmp_path / "walkers", 1, 0, 4, conditions=("nm-01",), views=(36, 90))
    checkpoint.save(small_model("gaitbase"), tmp_path / "float.pt")
    command = ["calibrate", "--checkpoint", "float.pt", "--data", "walkers", "--out", "model.safetensors"]
    command = [
        str(tmp_path / word) if word in ("float.pt", "walkers", "model.safetensors") else word for word in command
    ]
    assert run([*command, "--bits", "w3a4", "--method", "minmax", *policy]) == 0
    bits = model_file.load(tmp_path / "model.safetensors").weight_bits
    assert {bits["stem"], bits["embedding"]} == {outer} and bits["layer2_conv1"] == 3
    capsys.readouterr()
    assert run([*command, "--first-last", "fp"]) == 2
    assert "cannot stay in floating point" in capsys.readouterr().err
