from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from qgait.data.align import align
from qgait.data.opengait import Dataset
from qgait.data.pickles import load_arrays
from qgait.data.pictures import read_image
from qgait.data.prepare import prepare
from qgait.errors import QgaitError


def picture(step: int) -> np.ndarray:
    """A walker of 120 x 40 whose foot is ``step`` columns in front."""
    image = np.zeros((240, 320), np.uint8)
    image[60:170, 150:180] = 255
    image[170:180, 150 + step : 180 + step] = 255
    return image


def write(folder: Path, images: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        assert cv2.imwrite(str(folder / name), image)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for subject in ("001", "002"):
        for view in ("000", "090"):
            frames = {f"{subject}-{i}.png": picture(i) for i in range(1, 13)}
            write(tmp_path / "raw" / subject / "nm-01" / view, frames)
    return tmp_path / "raw"


def test_pictures_become_a_data_set(raw: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    result = prepare(raw, tmp_path / "out", progress=lambda done, total: steps.append((done, total)))
    assert len(result.written) == 4 and not result.failed and not result.kept and not result.short
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    dataset = Dataset.open(tmp_path / "out")
    assert [s.name for s in dataset.sequences] == ["001-nm-01-000", "001-nm-01-090", "002-nm-01-000", "002-nm-01-090"]
    # in the order of the numbers: 2 before 10
    expected = np.stack([align(picture(i)) for i in range(1, 13)])  # type: ignore[misc]
    stored = load_arrays(dataset.sequences[0].path)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, expected)
    assert not any(path.name.startswith(".") for path in (tmp_path / "out").rglob("*"))


def test_processes_write_the_same(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path / "one")
    assert len(prepare(raw, tmp_path / "two", jobs=2).written) == 4
    for path in (tmp_path / "one").rglob("*.pkl"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_second_run_keeps_what_is_there(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(raw, out)
    files = sorted(out.rglob("*.pkl"))
    files[2].unlink()
    stamps = [path.stat().st_mtime_ns for path in files if path.exists()]
    result = prepare(raw, out)
    assert list(result.written) == ["002/nm-01/000"] and len(result.kept) == 3
    assert [path.stat().st_mtime_ns for path in files if path != files[2]] == stamps


def test_failures_are_listed_and_the_others_are_kept(raw: Path, tmp_path: Path) -> None:
    (raw / "001/nm-01/000/001-5.png").write_bytes(b"not a picture")
    (raw / "001/nm-01/090/001-0.png").write_bytes(b"")
    write(raw / "003/nm-01/000", {"1.png": np.zeros((240, 320), np.uint8)})
    write(raw / "004/nm-01/000", {"1.png": picture(1) // 255})
    (raw / "005/nm-01/000").mkdir(parents=True)
    for jobs in (1, 2):
        result = prepare(raw, tmp_path / f"out{jobs}", jobs=jobs)
        assert set(result.written) == {"002/nm-01/000", "002/nm-01/090"}
        assert "001-5.png is not a readable picture" in result.failed["001/nm-01/000"]
        assert "001-0.png is not a readable picture" in result.failed["001/nm-01/090"]
        assert result.failed["003/nm-01/000"] == "nobody is in any of its 1 pictures"
        assert "the person has to be 255" in result.failed["004/nm-01/000"]
        assert result.failed["005/nm-01/000"] == "there are no pictures in it"
        assert len(list((tmp_path / f"out{jobs}").rglob("*.pkl"))) == 2


def test_empty_frames_are_skipped_and_short_sequences_said(tmp_path: Path) -> None:
    frames = {"1.png": picture(1), "2.png": np.zeros((240, 320), np.uint8), "3.png": picture(3)}
    write(tmp_path / "raw/001/nm-01/000", frames)
    result = prepare(tmp_path / "raw", tmp_path / "out")
    assert result.written == {"001/nm-01/000": 2} and result.short == ["001/nm-01/000"]


def test_other_formats_and_colours(tmp_path: Path) -> None:
    colour = np.repeat(picture(2)[:, :, None], 3, axis=2)
    for name, image in (("a.bmp", picture(2)), ("b.jpg", picture(2)), ("c.PNG", colour)):
        write(tmp_path, {name: image})
        found = read_image(tmp_path / name)
        assert found.dtype == np.uint8 and found.shape == (240, 320)
        assert np.abs(found.astype(int) - picture(2)).max() <= (0 if name != "b.jpg" else 60)


def test_wrong_folders_get_a_sentence(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=r"expected .*SUBJECT/TYPE/VIEW/\*\.png, found .*1 folders deep"):
        prepare(raw / "001/nm-01", tmp_path / "out")
    with pytest.raises(QgaitError, match="does not exist"):
        prepare(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(QgaitError, match="0 jobs"):
        prepare(raw, tmp_path / "out", jobs=0)


def test_without_opencv_the_extra_is_named(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(QgaitError) as caught:
        prepare(raw, tmp_path / "out")
    assert "qgait[images]" in caught.value.fix
