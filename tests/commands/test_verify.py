"""qgait verify: what is said before it begins, and what goes to a pipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_networks import network

from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.export.folding import fold
from qgait.export.onnx.writer import write
from qgait.quantizers import model_file


@pytest.mark.parametrize(("options", "frames"), [([], "at most 12"), (["--frames", "0"], "all")])
def test_it_says_what_it_looks_at_and_what_that_takes(
    options: list[str], frames: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_file.save(network("gaitset"), tmp_path / "model.safetensors")
    write(fold(network("gaitset")), tmp_path / "model.onnx")
    synthesize(tmp_path / "walks", 1, 0, 6, conditions=("nm-01", "nm-02"), views=(90,))
    words = ["verify", str(tmp_path / "model.onnx"), "--model", str(tmp_path / "model.safetensors")]
    asked = [*words, "--data", str(tmp_path / "walks"), "--runtime", "reference", "--json", "-", *options]
    assert run(asked) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["runtimes"]["reference"]["mismatches"] == 0
    said = " ".join(printed.err.split())
    assert (
        f"2 sequences of {frames} frames (fewer: --frames, --sequences), on reference: this takes less than a minute."
        in said
    )
    assert said.index("this takes") < said.index("differing codes"), "before the table"
