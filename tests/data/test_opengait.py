from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from qgait.data.opengait import Dataset, Sequence
from qgait.errors import QgaitError


def write(root: Path, name: str, file: str | None = None, value: int = 255) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    clip = np.full((3, 64, 64), value, np.uint8)
    (folder / (file or f"{folder.name}.pkl")).write_bytes(pickle.dumps(clip))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for subject in ("001", "074", "075", "124"):
        for view in ("018", "000"):
            write(tmp_path / "set", f"{subject}/nm-01/{view}")
    return tmp_path / "set"


def test_sequences_are_listed_in_order(root: Path) -> None:
    dataset = Dataset.open(root)
    assert [s.name for s in dataset.sequences[:3]] == ["001-nm-01-000", "001-nm-01-018", "074-nm-01-000"]
    assert dataset.sequences[1] == Sequence("001", "nm-01", "018", root / "001/nm-01/018/018.pkl")
    assert dataset.subjects == ["001", "074", "075", "124"]
    assert dataset.train == dataset.test == list(dataset.sequences)
    assert dataset.division is None and not dataset.notes and not dataset.probes


def test_sequences_load(root: Path) -> None:
    clip = Dataset.open(str(root)).sequences[0].load()
    assert clip.shape == (3, 64, 44) and clip.dtype == np.uint8 and clip.min() == 255
    assert Dataset.open(str(root)).sequences[0].load(wide=True).shape == (3, 64, 64)


def test_damaged_sequences_are_named(root: Path) -> None:
    path = root / "001/nm-01/000/000.pkl"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(QgaitError, match=r"000\.pkl is truncated"):
        Dataset.open(root).sequences[0].load()
    path.write_bytes(pickle.dumps(np.zeros((3, 30, 30), np.uint8)))
    with pytest.raises(QgaitError, match=r"000\.pkl has the shape"):
        Dataset.open(root).sequences[0].load()


def test_what_is_neither_file_nor_folder_is_ignored(root: Path) -> None:
    before = Dataset.open(root).sequences
    for folder in (root, root / "001", root / "001/nm-01", root / "001/nm-01/000"):
        os.mkfifo(folder / "0.pkl")
        (folder / "00.pkl").symlink_to("000.loop")
        (folder / "000.loop").symlink_to("00.pkl")
    (root / "001" / "up").symlink_to("..")
    assert [s for s in Dataset.open(root).sequences if s.type != "up"] == list(before)


def test_hidden_and_other_files_are_ignored(root: Path) -> None:
    write(root, ".git/objects/aa")
    write(root, "001/.cache/000")
    write(root, "001/nm-01/000", ".000.pkl")
    (root / "001/nm-01/000/notes.txt").write_text("x")
    (root / "walkers.json").write_text("{}")
    (root / "001/readme").write_text("x")
    dataset = Dataset.open(root)
    assert len(dataset.sequences) == 8 and not dataset.notes


def test_the_first_of_several_files_is_used_and_it_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, "001/nm-01/000", "000-b.pkl", value=0)
    write(root, "001/nm-01/000", "000-a.pkl", value=128)
    dataset = Dataset.open(root)
    assert dataset.sequences[0].path.name == "000-a.pkl" and len(dataset.sequences) == 8
    assert "1 folders have several .pkl files" in dataset.notes[0]
    assert dataset.notes[0] in capsys.readouterr().err


def test_view_folders_without_sequence_are_left_out_and_it_is_said(root: Path) -> None:
    (root / "001/nm-01/036").mkdir()
    dataset = Dataset.open(root)
    assert len(dataset.sequences) == 8 and "001/nm-01/036" in dataset.notes[0]


def test_wrong_folders_get_a_sentence(root: Path, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="does not exist"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(QgaitError, match="is no folder"):
        Dataset.open(root / "001/nm-01/000/000.pkl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(QgaitError, match=r"expected .*SUBJECT/TYPE/VIEW/\*\.pkl, found nothing"):
        Dataset.open(tmp_path / "empty")
    with pytest.raises(QgaitError, match=r"\.pkl files 4 folders deep, such as set/001/nm-01"):
        Dataset.open(tmp_path)
    with pytest.raises(QgaitError, match=r"\.pkl files 2 folders deep"):
        Dataset.open(root / "001")
    pictures = tmp_path / "raw/001/nm-01/000"
    pictures.mkdir(parents=True)
    (pictures / "1.png").write_bytes(b"")
    with pytest.raises(QgaitError) as caught:
        Dataset.open(tmp_path / "raw")
    assert "qgait data prepare" in caught.value.fix


def test_casia_b_is_divided_at_subject_74(root: Path) -> None:
    dataset = Dataset.open(root, "casia-b")
    assert {s.subject for s in dataset.train} == {"001", "074"}
    assert {s.subject for s in dataset.test} == {"075", "124"}
    assert dataset.division == {
        "train": {"subjects": 2, "sequences": 4},
        "test": {"subjects": 2, "sequences": 4},
    }


def test_empty_halves_are_refused_when_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "003/nm-01/000")
    dataset = Dataset.open(tmp_path, "casia-b")
    assert len(dataset.train) == 1
    with pytest.raises(QgaitError, match="no test sequences"):
        _ = dataset.test


def test_casia_b_needs_subject_numbers(tmp_path: Path) -> None:
    write(tmp_path, "anna/nm-01/000")
    with pytest.raises(QgaitError, match="anna"):
        Dataset.open(tmp_path, "casia-b")


def partition(folder: Path, content: object) -> Path:
    path = folder / "partition.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_partition_files(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"TRAIN_SET": ["001", "002"], "TEST_SET": ["075"], "PROBE_SET": ["075-nm-01-000", "075-nm-01-090"]}
    dataset = Dataset.open(root, partition(tmp_path, content))
    assert [s.subject for s in dataset.train] == ["001", "001"]
    assert [s.view for s in dataset.test] == ["000", "018"]
    assert dataset.probes == {"075-nm-01-000", "075-nm-01-090"}
    assert dataset.division is not None and dataset.division["probe"] == {"subjects": 1, "sequences": 1}
    said = capsys.readouterr().err
    assert "1 of 2 subjects in the TRAIN_SET" in said
    assert "1 of 2 sequences in the PROBE_SET" in said
    assert "2 of 4 subjects are in neither set" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested more than 32 deep"),
        ([], "has to be an object, not a list"),
        ({"TRAIN_SET": []}, "no entry TEST_SET"),
        ({"TRAIN_SET": [1], "TEST_SET": []}, r"TRAIN_SET\[0\] has to be text, not a whole number"),
        ({"TRAIN_SET": "001", "TEST_SET": []}, "TRAIN_SET has to be a list, not text"),
        ({"TRAIN_SET": ["001"], "TEST_SET": ["001"]}, "both sets"),
        ({"TRAIN_SET": ["001"], "TEST_SET": ["900", "901"]}, "None of the 2 subjects in the TEST_SET"),
    ],
)
def test_wrong_partitions_get_a_sentence(content: object, said: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=said):
        Dataset.open(root, partition(tmp_path, content))


def test_unknown_partition_names_the_built_in_ones(root: Path) -> None:
    with pytest.raises(QgaitError) as caught:
        Dataset.open(root, "casia-c")
    assert "casia-b" in caught.value.fix


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["001/nm-01/000", "124/cl-02/180"], "casia-b"),
        (["00001/00/000", "10307/01/270"], "oumvlp"),
        (["00001train/00/4XPn5Z28", "00001/01/abc", "probe/03/xyz"], "grew"),
        (["0001/camid0_videoid2/seq0"], "gait3d"),
        (["anna/walk/front"], "other"),
        (["001/nm-01/000", "anna/nm-01/000"], "other"),
    ],
)
def test_kinds(names: list[str], kind: str, tmp_path: Path) -> None:
    for name in names:
        write(tmp_path, name)
    assert Dataset.open(tmp_path).kind == kind
