"""Synthetic walkers as a folder in OpenGait's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qgait.data.pickles import load_arrays
from qgait.data.walkers import dataset
from qgait.data.walkers.dataset import LABEL, sequence, sequence_length, synthesize
from qgait.errors import QgaitError


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_layout_counts_and_content(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    synthesize(
        tmp_path / "set",
        2,
        7,
        frames=6,
        conditions=("nm-01", "cl-02"),
        views=(0, 90),
        progress=lambda *c: calls.append(c),
    )
    expected = [f"{s}/{c}/{v}/{v}.pkl" for s in ("001", "002") for c in ("cl-02", "nm-01") for v in ("000", "090")]
    assert files(tmp_path / "set") == [*expected, LABEL]
    assert calls == [(i, 8) for i in range(1, 9)]
    clip = load_arrays(tmp_path / "set/002/cl-02/090/090.pkl")  # accepts nothing but a plain array
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, sequence(7, 2, "cl-02", 90, sequence_length(7, 2, "cl-02", 90, 6)))


def test_a_full_subject_has_ten_walks_from_eleven_views(tmp_path: Path) -> None:
    synthesize(tmp_path, 1, 7, frames=2, first_subject=124)
    assert len(list((tmp_path / "124").iterdir())) == 10
    assert len(list(tmp_path.rglob("*.pkl"))) == 110


def test_lengths_vary_around_the_mean_as_in_casia_b() -> None:
    lengths = [sequence_length(1, s, "nm-01", v, 60) for s in range(1, 60) for v in (0, 54, 90, 180)]
    assert min(lengths) >= 40
    assert max(lengths) <= 100
    assert 57 < np.mean(lengths) < 66
    assert len(set(lengths)) > 20


def test_the_folder_says_what_it_is(tmp_path: Path) -> None:
    synthesize(tmp_path, 1, 9, frames=2, conditions=("nm-01",), views=(0,))
    label = json.loads((tmp_path / LABEL).read_text())
    assert (label["seed"], label["mean_frames"], label["version"]) == (9, 2, dataset.VERSION)


def test_an_interrupted_call_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_after_three(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    options = {"frames": 3, "conditions": ("nm-01", "bg-01"), "views": (0, 90)}
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, 1, 1, progress=stop_after_three, **options)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.pkl")}
    assert len(kept) == 3
    made: list[tuple] = []
    monkeypatch.setattr(dataset, "silhouettes", lambda *a: made.append(a) or np.zeros((a[-1], 64, 64), np.uint8))
    synthesize(tmp_path, 1, 1, **options)
    assert len(made) == 1
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items())
    synthesize(tmp_path, 1, 1, first_subject=2, **options)
    assert len(made) == 1 + 4


def test_other_peoples_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(QgaitError, match="not empty"):
        synthesize(tmp_path, 1, 1, frames=2)
    assert files(tmp_path) == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(QgaitError, match="not empty"):
        synthesize(tmp_path / "set", 1, 1, frames=2)


@pytest.mark.parametrize("change", [{"seed": 2}, {"frames": 3}])
def test_other_settings_are_not_mixed_into_a_set(tmp_path: Path, change: dict[str, int]) -> None:
    settings = {"seed": 1, "frames": 2}
    synthesize(tmp_path, 1, conditions=("nm-01",), views=(0,), **settings)
    with pytest.raises(QgaitError, match="other settings"):
        synthesize(tmp_path, 1, conditions=("nm-01",), views=(0,), **{**settings, **change})


def test_a_damaged_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / LABEL).write_text("{")
    with pytest.raises(QgaitError, match=LABEL):
        synthesize(tmp_path, 1, 1, frames=2)


def test_nonsense_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for subjects, frames, first in ((0, 60, 1), (1, 1, 1), (1, 60, 0)):
        with pytest.raises(QgaitError):
            synthesize(tmp_path / "set", subjects, 1, frames=frames, first_subject=first)
    with pytest.raises(QgaitError, match="nm-09"):
        synthesize(tmp_path / "set", 1, 1, conditions=("nm-09",))
    assert not (tmp_path / "set").exists()
