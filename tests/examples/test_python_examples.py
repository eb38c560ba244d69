"""What people copy from examples/ runs, on a small network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle
from example_graphs import silhouettes

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "checkpoint_to_bundle.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 6
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), "results are not committed"
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), "notebook", "exec"), names)
    assert "codes compared, equal: True" in capsys.readouterr().out
    assert (tmp_path / "bundle" / "libgait.so").is_file()


def test_frames_are_pushed_as_a_camera_gives_them(tmp_path: Path) -> None:
    for name, seed in (("one.npy", 1), ("two.npy", 2)):
        walk = np.zeros((9, 128, 100), np.uint8)
        walk[:, 32:96, 20:64] = silhouettes(9, seed)
        walk[4] = 0  # nobody
        np.save(tmp_path / name, walk)
    words = [
        sys.executable,
        str(EXAMPLES / "push_frames.py"),
        str(bundle("gaitset", "host").path),
        "one.npy",
        "two.npy",
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines[0] == "one.npy: 0.0000 from the first walk"
    assert lines[1].startswith("two.npy, 8 frames: ") and float(lines[2].split()[1]) > 0


def test_four_calls_are_all_that_ctypes_needs() -> None:
    folder = bundle("tiny", "host").path
    words = [sys.executable, "-I", str(EXAMPLES / "ctypes_embedding.py"), str(folder)]
    for number in (0, 1):
        done = subprocess.run(
            [*words, str(folder / "selftest" / f"clip{number}.frames")], capture_output=True, check=True
        )
        assert done.stdout == (folder / "selftest" / f"clip{number}.codes").read_bytes()
