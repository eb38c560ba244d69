"""Data folders with entries that are no silhouettes, and damaged files beside them: named, never a traceback."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byte_mutations import mutated

from qgait.data import folders
from qgait.data.clip_files import load_clip
from qgait.data.opengait import Dataset
from qgait.data.partition import find_partition, read_partition
from qgait.data.prepare import prepare
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.walkers.dataset import LABEL, synthesize
from qgait.errors import QgaitError

WALK = pickle.dumps(np.zeros((2, 64, 64), np.uint8) + np.uint8(255), 4)


def data_set(root: Path, subjects: tuple[str, ...] = ("001", "002")) -> Path:
    for subject in subjects:
        (root / subject / "nm-01" / "000").mkdir(parents=True)
        (root / subject / "nm-01" / "000" / "000.pkl").write_bytes(WALK)
    return root


def test_what_cannot_be_used_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data_set(tmp_path / "data")
    os.mkfifo(root / "001" / "nm-01" / "000" / "zzz.pkl")
    (root / "001" / "nm-01" / "000" / "yyy.pkl").mkdir()
    (root / "001" / "nm-01" / "000" / "xxx.pkl").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "001" / "up").symlink_to(root)  # so loop and the last one are there twice
    (root / os.fsdecode(b"\xff\xfe")).mkdir()
    dataset = Dataset.open(root)
    assert [s.name for s in dataset.sequences] == ["001-nm-01-000", "002-nm-01-000"]
    said = capsys.readouterr().err
    assert "7 entries cannot be used and are left out" in said, said
    left_out: list[str] = []
    list(folders.sequence_folders(root, (".pkl",), left_out))
    reasons = {text.split(": ")[0].rsplit("/")[-1]: text.split(": ")[1] for text in left_out}
    assert reasons == {
        "zzz.pkl": "it is no file",
        "yyy.pkl": "it is a folder",
        "xxx.pkl": "it is no file",
        "loop": "it is a link that leads nowhere",
        "\\xff\\xfe": "its name is not UTF-8",
    }


def test_prepare_fails_for_them_by_name(tmp_path: Path) -> None:
    (tmp_path / "raw" / "001" / "nm-01" / "000").mkdir(parents=True)
    os.mkfifo(tmp_path / "raw" / "001" / "nm-01" / "000" / "1.png")
    (tmp_path / "raw" / "001" / "nm-01" / "000" / "2.png").write_bytes(b"")
    result = prepare(tmp_path / "raw", tmp_path / "out")
    assert result.failed["001/nm-01/000/1.png"] == "it is no file"
    with pytest.raises(QgaitError, match=r"1\.png: it is no file"):
        load_clip(tmp_path / "raw" / "001" / "nm-01" / "000")


def test_names_like_markup_are_names(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", ("[red]", "a\nb", "<b>", "*"))
    assert Dataset.open(root).subjects == sorted(["[red]", "a\nb", "<b>", "*"])
    with pytest.raises(QgaitError, match="goes by subject number"):
        Dataset.open(root, "casia-b")


@pytest.mark.parametrize("name", ["9" * 200, "²", "x" * 200])
def test_subjects_that_are_no_numbers_are_named(name: str) -> None:
    with pytest.raises(QgaitError, match="goes by subject number") as refused:
        find_partition("casia-b", ["001", name])
    assert len(str(refused.value)) < 200


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scan = data_set(tmp_path / "data"), os.scandir

    def refused(path: Any) -> Any:
        if Path(path).name == "nm-01":
            raise PermissionError(13, "Permission denied")  # root may read everything
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(QgaitError, match="001/nm-01 cannot be read: permission denied"):
        Dataset.open(root)


def test_thousands_of_empty_folders_are_one_sentence(tmp_path: Path) -> None:
    for number in range(2_000):
        (tmp_path / "data" / f"{number:05}" / "nm-01").mkdir(parents=True)
    with pytest.raises(QgaitError, match="has no sequences: expected"):
        Dataset.open(tmp_path / "data")
    with pytest.raises(QgaitError, match="does not exist"):
        Dataset.open(tmp_path / ("x" * 300))
    with pytest.raises(QgaitError, match="does not exist"):
        Dataset.open("a\0b")


GOOD = {"TRAIN_SET": ["001"], "TEST_SET": ["002"], "PROBE_SET": ["002-nm-01-000"]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "its text is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100_000, "nested more than 32 deep"),
        (b'{"a": ' * 50_000, "nested more than 32 deep"),
        (b'{"TRAIN_SET": ["\\udcff"], "TEST_SET": []}', "half a character"),
        (b"null", r"The partition .* has to be an object, not null"),
        (b"[1]", r"The partition .* has to be an object, not a list"),
        (b'{"TRAIN_SET": []}', "it has no entry TEST_SET"),
        (b'{"TRAIN_SET": 1, "TEST_SET": []}', "TRAIN_SET has to be a list, not a whole number"),
        (b'{"TRAIN_SET": ["1", 2], "TEST_SET": []}', r"TRAIN_SET\[1\] has to be text, not a whole number"),
        (b'{"TRAIN_SET": ["%s"], "TEST_SET": []}' % (b"x" * 300), "has to be text of length at most 255"),
        (b'{"TRAIN_SET": ["1"], "TEST_SET": ["1"]}', "1 subjects are in both sets"),
    ],
)
def test_broken_partitions_are_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "partition.json").write_bytes(content)
    with pytest.raises(QgaitError, match=sentence) as refused:
        read_partition(tmp_path / "partition.json")
    assert "TRAIN_SET" in refused.value.fix or "keep" in refused.value.fix
    assert len(str(refused.value)) < 400


def test_mutated_partitions_are_refused_or_read(tmp_path: Path) -> None:
    path, taken = tmp_path / "partition.json", 0
    for content in mutated([json.dumps(GOOD).encode()], seed=0, count=300):
        path.write_bytes(content)
        try:
            taken += bool(read_partition(path).train | {"read"})
        except QgaitError as error:
            assert len(str(error)) < 400 and "\n" not in str(error)
    assert 0 < taken < 300


def test_partitions_are_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(QgaitError, match="it is a named pipe"):
        find_partition(tmp_path / "pipe.json", [])
    with pytest.raises(QgaitError, match="it is a folder"):
        find_partition(tmp_path, [])
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(QgaitError, match="larger than 64 MiB"):
        find_partition(tmp_path / "big.json", [])


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"{}", b"9" * 5_000])
def test_another_label_of_walkers_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LABEL).write_bytes(content)
    with pytest.raises(QgaitError, match="other settings or by another version"):
        synthesize(tmp_path, 1, 0)


def test_damaged_caches_are_built_anew_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequences = Dataset.open(data_set(tmp_path / "data")).sequences
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    whole, rng, answers = path.read_bytes(), random.Random(0), set()
    index = whole.index(b'{"')
    clip = sequences[0].load()
    tails = mutated([whole[index:]], seed=0, count=150, head=200)
    for tail in tails:
        path.write_bytes(whole[:index] + tail if rng.random() < 0.9 else tail)
        capsys.readouterr()
        try:
            cache = SilhouetteCache.open(sequences, tmp_path / "cache")
        except QgaitError as error:
            assert "is no cache of silhouettes" in error.problem
            answers.add("refused")
            continue
        answers.add("rebuilt" if "built anew" in capsys.readouterr().err else "kept")
        found = cache.clip(sequences[0])
        assert found.shape == clip.shape and set(np.unique(found)) <= set(range(256))
        del cache
    assert {"rebuilt", "refused"} <= answers


@pytest.mark.parametrize(
    "entry",
    ["[1,2,3]", "[1,2,-3,8,null]", "[1,2,1000000000000,8,255]", "[1,2,2,8,256]", '[1,2,"3",8,null]', "null", "[]"],
)
def test_an_index_that_cannot_be_is_damage(entry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequences = Dataset.open(data_set(tmp_path / "data")).sequences
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    table = b'{"001/nm-01/000/000.pkl": %s}' % entry.encode()
    path.write_bytes(b"QGSILH01" + bytes(100) + table + len(table).to_bytes(8, "little") + b"QGSILH01")
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    assert "it is damaged" in capsys.readouterr().err
    np.testing.assert_array_equal(cache.frames(sequences[0], np.arange(2)), sequences[0].load())
