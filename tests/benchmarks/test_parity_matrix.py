"""The matrix of backbones and runtimes: exit codes, and that a wrong code is seen and named."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from benchmark_scripts import script
from float_models import small_model

from qgait.models import checkpoint
from qgait.runtime.reference import Reference
from qgait.targets.processors import all_targets
from qgait.verification.by_name import one_of_each_kind

LITTLE = ["--runtime", "reference", "--bits", "w4a4", "--sequences", "3", "--frames", "3"]


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    return script("parity_matrix")


def test_equal_codes_of_a_checkpoint(matrix: ModuleType, tmp_path: Path) -> None:
    checkpoint.save(small_model("gaitsimple", seed=1), tmp_path / "float.pt")
    facts = tmp_path / "matrix.json"
    assert matrix.run([*LITTLE, "--checkpoint", str(tmp_path / "float.pt"), "--json", str(facts)]) == 0
    found = json.loads(facts.read_text())
    assert found["sequences"] == [3, 2, 1]
    (row,) = found["rows"]
    assert row["codes"] == 3 * 16 * 10 and (row["fake, float64"], row["reference"]) == (0, 0)


def test_a_wrong_code_is_named(
    matrix: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = Reference.embed_many

    def wrong(self: Reference, clips: list[np.ndarray]) -> list[np.ndarray]:
        codes = right(self, clips)
        codes[1] = codes[1].copy()
        codes[1][0, 0] ^= 1
        return codes

    monkeypatch.setattr(Reference, "embed_many", wrong)
    assert matrix.run(["gaitsimple", *LITTLE]) == 1
    assert "Codes differ: gaitsimple w4a4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["gaitnet"],
        ["gaitset", "--runtime", "vax"],
        ["--sequences", "2"],
        ["--data", "nowhere"],
        ["--checkpoint", "no.pt"],
    ],
)
def test_wrong_use(matrix: ModuleType, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.run(words) == 2
    assert "Fix: " in capsys.readouterr().err


def test_every_variant_has_a_name_of_its_own(matrix: ModuleType) -> None:
    labels = [label for label, _ in matrix.networks(matrix.parser().parse_args(["gaitgl", "hstl", "--variants"]))]
    assert len(set(labels)) == len(labels) == 6
    assert "hstl channels=32-64-128-256 regions=gait3d" in labels


def test_one_runtime_of_each_kind() -> None:
    names = one_of_each_kind()
    assert names[:4] == ["reference", "ort", "tosa", "host"] and names[-1] == "npu"
    kinds = [(target.isa, target.qemu) for target in all_targets() if target.name in names]
    assert len(set(kinds)) == len(kinds) == len({(target.isa, target.qemu) for target in all_targets()})
