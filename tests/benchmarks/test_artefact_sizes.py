"""The table of sizes on the shipped network: what is printed is what lies in the files."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import benchmark_scripts
import pytest


@pytest.fixture(scope="module")
def sizes() -> ModuleType:
    return benchmark_scripts.script("artefact_sizes")


def test_few_bits_take_few_bytes(sizes: ModuleType, tmp_path: Path) -> None:
    words = ["shipped", "--bits", "w8a8", "w4a4", "w2a2", "--first-last", "same", "--json", str(tmp_path / "s.json")]
    assert sizes.run(words) == 0
    eight, four, two = json.loads((tmp_path / "s.json").read_text())["sizes"]
    for row in (eight, four, two):
        for kind in ("model", "onnx"):
            assert row["wanted"] <= row[f"{kind}_weights"] <= 1.05 * row["wanted"]
            assert row[f"{kind}_weights"] < row[f"{kind}_file"]
    assert eight["parameters"] == eight["wanted"] == 2 * four["wanted"] == 4 * two["wanted"]
    assert four["model_file"] - two["model_file"] == pytest.approx(four["wanted"] - two["wanted"], abs=500)


def test_larger_weights_fail(sizes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "ROOM", 0.99)
    assert sizes.run(["shipped", "--bits", "w4a4"]) == 1


def test_an_unknown_network_is_wrong_use(sizes: ModuleType) -> None:
    assert sizes.run(["nothing"]) == 2
