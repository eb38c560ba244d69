"""qgait keygen, sign and verify --key: exit code 0, 1 when a check fails, 2 for bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from compiled_bundles import bundle
from signed_bundles import pair

from qgait.cli import run
from qgait.models import shipped

MODEL = Path(shipped.__file__).with_name("gaitset_walkers.safetensors")


def test_a_pair_signs_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(shutil.copy(MODEL, tmp_path / "model.safetensors"))
    made = Path(shutil.copytree(bundle("tiny", "host").path, tmp_path / "bundle"))
    keys = tmp_path / "maker"
    assert run(["keygen", "--out", str(keys), "--json", str(tmp_path / "k.json")]) == 0
    facts = json.loads((tmp_path / "k.json").read_text())
    assert set(facts) == {"private", "public", "key"} and Path(facts["private"]).exists()
    for path, files in ((model, 1), (made, 10)):
        assert run(["verify", str(path), "--key", facts["public"]]) == 1
        assert "is unsigned" in capsys.readouterr().err
        assert run(["sign", str(path), "--key", facts["private"], "--json", str(tmp_path / "s.json")]) == 0
        assert json.loads((tmp_path / "s.json").read_text())["key"] == facts["key"]
        assert run(["verify", str(path), "--key", facts["public"], "--json", str(tmp_path / "v.json")]) == 0
        assert json.loads((tmp_path / "v.json").read_text()) == {"signed_by": facts["key"], "files": files}
        assert f"is signed by the key {facts['key']}" in capsys.readouterr().out
        assert run(["verify", str(path), "--key", str(pair("stranger")[1])]) == 1
        assert f"is signed by another key, {facts['key']}" in capsys.readouterr().err
    assert run(["keygen", "--out", str(keys)]) == 2
    assert "a key is never replaced" in capsys.readouterr().err


def test_a_bundle_is_compiled_over_a_signed_one(tmp_path: Path) -> None:
    from compiled_bundles import clips, graph

    from qgait.compiler.bundle import write
    from qgait.targets.processors import find

    made = Path(shutil.copytree(bundle("tiny", "host").path, tmp_path / "bundle"))
    assert run(["sign", str(made), "--key", str(pair()[0])]) == 0
    write(graph("tiny"), find("host"), made, clips(graph("tiny"), 2, 3))
    assert not (made / "signature").exists()


def test_what_is_not_whole_is_not_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Path(shutil.copytree(bundle("tiny", "host").path, tmp_path / "bundle"))
    key = str(pair()[0])
    (made / "mine.txt").write_text("x")
    assert run(["sign", str(made), "--key", key]) == 2
    assert "also holds mine.txt, which qgait did not write" in capsys.readouterr().err
    (made / "mine.txt").unlink()
    (made / "gait.h").write_text("x")
    assert run(["sign", str(made), "--key", key]) == 2
    assert "gait.h in the bundle" in capsys.readouterr().err
    assert run(["sign", str(tmp_path), "--key", key]) == 2
    assert "is not a bundle" in capsys.readouterr().err
    assert not list(tmp_path.rglob("signature"))


def test_the_signature_comes_before_the_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of an unsigned file is read as what it claims to be."""
    onnx = tmp_path / "model.onnx"
    onnx.write_text("no ONNX")
    words = ["verify", str(onnx), "--model", "gone", "--data", "gone"]
    assert run([*words, "--key", str(pair()[1])]) == 1
    assert "is unsigned" in capsys.readouterr().err
    assert run(["sign", str(onnx), "--key", str(pair()[0])]) == 0
    assert run([*words, "--key", str(pair()[1])]) == 2
    assert "gone cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--data", "d"], ["--runtime", "ort"]])
def test_half_a_proof_is_no_proof(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "model.onnx", *words]) == 2
    assert "Missing option" in capsys.readouterr().err
