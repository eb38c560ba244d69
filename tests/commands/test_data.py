from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from qgait.cli import run


def write(root: Path, name: str, clip: np.ndarray) -> Path:
    path = root / name / f"{name.split('/')[-1]}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(clip))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    clip = np.zeros((5, 64, 64), np.uint8)
    clip[:, :, 10:21] = 255  # a quarter of the 44 columns in the middle
    write(tmp_path / "set", "001/nm-01/000", clip)
    write(tmp_path / "set", "001/nm-01/090", clip[:3, :, 10:54])
    clip[0] = 0
    write(tmp_path / "set", "080/bg-01/000", clip > 0)
    return tmp_path / "set"


def test_info_counts(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "info", str(root), "--partition", "casia-b", "--json", str(tmp_path / "i.json")]) == 0
    facts = json.loads((tmp_path / "i.json").read_text())
    assert facts["kind"] == "casia-b" and facts["subjects"] == 2 and facts["sequences"] == facts["readable"] == 3
    assert facts["types"] == {"bg-01": 1, "nm-01": 2} and facts["views"] == {"000": 2, "090": 1}
    assert facts["frames"] == {"min": 3, "median": 5, "max": 5, "total": 13}
    assert facts["formats"] == {"bool 64x64": 1, "uint8 64x44": 1, "uint8 64x64": 1}
    assert facts["foreground"] == {"min": 0.2, "median": 0.25, "max": 0.25} and facts["empty_frames"] == 1
    assert facts["partition"]["train"] == {"subjects": 1, "sequences": 2}
    assert facts["damaged"] == [] and facts["notes"] == []
    said = capsys.readouterr().out
    assert "nm-01" in said and "3 .. 5, median 5" in said and "2 sequences of 1 subjects" in said


def test_info_names_damaged_files(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = root / "001/nm-01/000/000.pkl"
    damaged.write_bytes(damaged.read_bytes()[:100])
    hostile = write(root, "002/nm-01/000", np.zeros(1))
    hostile.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert run(["data", "info", str(root), "--json", str(tmp_path / "i.json")]) == 2
    said = capsys.readouterr()
    assert "2 of 4 files are damaged" in said.err and "Traceback" not in said.err
    assert f"damaged: {damaged}" in said.out and "os.system" in said.out
    facts = json.loads((tmp_path / "i.json").read_text())
    assert [entry["file"] for entry in facts["damaged"]] == [str(damaged), str(hostile)]
    assert facts["readable"] == 2


def test_info_of_damaged_files_only(tmp_path: Path) -> None:
    write(tmp_path / "set", "001/nm-01/000", np.zeros(1)).write_bytes(b"")
    assert run(["data", "info", str(tmp_path / "set"), "--json", str(tmp_path / "i.json")]) == 2
    assert json.loads((tmp_path / "i.json").read_text())["frames"]["median"] is None


def test_info_of_a_wrong_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "info", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "expected" in said and "Fix: " in said and "Traceback" not in said


def pictures(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        image = np.zeros((100, 80), np.uint8)
        image[10:90, 20 + i : 50] = 255
        assert cv2.imwrite(str(folder / f"{i:03d}.png"), image)


def test_prepare_then_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "raw/001/nm-01/000")
    pictures(tmp_path / "raw/001/nm-01/018", 2)
    command = ["data", "prepare", str(tmp_path / "raw"), str(tmp_path / "out")]
    assert run(command) == 0
    said = capsys.readouterr().out
    assert "short: 001/nm-01/018: 2 frames" in said
    assert run(command) == 0
    assert run(["data", "info", str(tmp_path / "out"), "--json", str(tmp_path / "i.json")]) == 0
    facts = json.loads((tmp_path / "i.json").read_text())
    assert facts["frames"]["total"] == 8 and facts["formats"] == {"uint8 64x64": 2}


def test_prepare_lists_failures_and_keeps_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "raw/001/nm-01/000")
    pictures(tmp_path / "raw/002/nm-01/000")
    (tmp_path / "raw/002/nm-01/000/003.png").write_bytes(b"torn")
    assert run(["data", "prepare", str(tmp_path / "raw"), str(tmp_path / "out"), "--jobs", "2"]) == 2
    said = capsys.readouterr()
    assert "failed: 002/nm-01/000: " in said.out and "003.png is not a readable picture" in said.out
    assert "1 of 2 sequences failed" in said.err and "Traceback" not in said.err
    assert [p.name for p in (tmp_path / "out").rglob("*.pkl")] == ["000.pkl"]


def test_synth_is_the_same_by_any_number_of_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for jobs in ("1", "2"):
        command = ["data", "synth", str(tmp_path / jobs), "--subjects", "2", "--frames", "3", "--seed", "7"]
        assert run([*command, "--jobs", jobs]) == 0
    assert "220" in capsys.readouterr().out
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*.pkl"))
    assert len(files) == 220
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()
    assert run(["data", "info", str(tmp_path / "1")]) == 0


@pytest.mark.parametrize("option", [["--subjects", "0"], ["--jobs", "0"], ["--frames", "0"], ["--seed", "-1"]])
def test_synth_refuses_nonsense(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "synth", str(tmp_path / "x"), *option]) == 2
    assert "Fix: " in capsys.readouterr().err
