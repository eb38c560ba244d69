"""Digests of what qgait makes: a change is seen and named, in a library by its member."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import benchmark_scripts
import pytest
from compiled_bundles import bundle

from qgait.errors import ParityError


@pytest.fixture
def script() -> ModuleType:
    return benchmark_scripts.script("artefact_bytes")


def test_a_flipped_bit_is_seen_in_its_member(script: ModuleType, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        shutil.copytree(bundle("tiny", "host").path, folder / "host")
    library = other / "host" / "libgait.a"
    content = bytearray(library.read_bytes())
    weights = content.rindex(b"weights.o/")
    content[weights + script.AR_HEADER + 200] ^= 1
    library.write_bytes(content)
    before, after = script.digests_of(one), script.digests_of(other)
    assert {"host/libgait.a(kernels.o)", "host/gait.h", "host/selftest/clip0.bin"} & before.keys()
    assert {name for name in before if before[name] != after[name]} >= {"host/libgait.a", "host/libgait.a(weights.o)"}
    assert before["host/libgait.a(kernels.o)"] == after["host/libgait.a(kernels.o)"]


def test_versions_and_signatures_do_not_count(script: ModuleType, tmp_path: Path) -> None:
    for name, version in (("one", "1"), ("other", "2")):
        (tmp_path / name).mkdir()
        facts = {"model": "gaitset", "versions": {"qgait": version}, "files": {}, "checksum": version}
        (tmp_path / name / "manifest.json").write_text(json.dumps(facts))
    assert script.digests_of(tmp_path / "one") == script.digests_of(tmp_path / "other")


def test_differences_are_named(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"walks": {"silhouettes": "0"}, "gaitset-w8a8": {"model.onnx": "1", "host/gait.h": "2"}}
    script.compare(made, made, Path("BEFORE"))
    changed = {**made, "gaitset-w8a8": {"model.onnx": "3", "arm/gait.h": "2"}}
    with pytest.raises(ParityError, match="3 of 4 artefacts differ"):
        script.compare(changed, made, Path("BEFORE"))
    said = capsys.readouterr().out
    assert "different: gaitset-w8a8/model.onnx\n" in said and "host/gait.h, only there" in said


@pytest.mark.parametrize("words", [["transformer"], ["--tree", "nowhere"], ["--against", "nowhere"]])
def test_wrong_use_exits_with_2(script: ModuleType, words: list[str], tmp_path: Path) -> None:
    assert script.run([str(tmp_path / "out"), *words]) == 2
    assert not (tmp_path / "out").exists()
