"""The command that tries single changes: it passes where all are seen, and fails where one is not."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from benchmark_scripts import script
from small_networks import network

from qgait.quantizers import model_file


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    return script("proof_mutations")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    model_file.save(network("gaitsimple"), tmp_path / "model.safetensors")
    asked = ["--model", str(tmp_path / "model.safetensors"), "--count", "60"]
    return [*asked, "--json", str(tmp_path / "figures.json")]


def test_every_change_is_seen(mutations: ModuleType, words: list[str]) -> None:
    assert mutations.run(words) == 0
    found = json.loads(Path(words[-1]).read_text())
    assert found["changes"] == 180 and found["unseen"] == 0
    kinds = " ".join(row[0] for row in found["rows"])
    for kind in ("constant: weight", "metadata: ", "attribute", "input", "scale", "manifest: ", "a bit of"):
        assert kind in kinds


def test_a_change_that_is_not_seen_fails(
    mutations: ModuleType, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if only codes on data were compared."""
    monkeypatch.setattr(mutations, "file_differences", lambda model, graph: [])
    monkeypatch.setattr(mutations, "bundle_mutations", lambda *_: mutations.Counter())
    assert mutations.run(words) == 1
    assert "changes went unseen" in capsys.readouterr().err
