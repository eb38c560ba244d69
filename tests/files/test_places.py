"""Where nothing can be written is said in a sentence, before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qgait.errors import QgaitError
from qgait.files import (
    check_file,
    check_folder,
    check_new_folder,
    check_utf_8,
    places,
    replace_file,
    require_space,
    space,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("one").symlink_to("two")
    Path("two").symlink_to("one")
    Path("nowhere").symlink_to("gone")
    return tmp_path


NAMES = [
    ("one", "a link that leads back to itself"),
    ("a\0b", "no file has a NUL in its name"),
    ("n" * 256, "a name has at most 255 bytes"),
    ("gone/" + "n" * 256 + "/x", "a name has at most 255 bytes"),
    ("é" * 128, "a name has at most 255 bytes"),
    ("x/" * 3000, "a path 4095"),
    ("file/x", "file"),
    ("pipe", "is a pipe, not a"),
    ("/dev/zero", "is a device, not a"),
    ("/proc/qgait", "/proc/qgait cannot be written: no such file or directory"),
]


def problem(check: object, path: str) -> str:
    with pytest.raises(QgaitError) as caught:
        check(Path(path))  # type: ignore[operator]
    assert caught.value.fix and len(caught.value.problem) < 300
    caught.value.problem.encode()  # what is not UTF-8 is escaped
    return caught.value.problem


@pytest.mark.parametrize(("name", "said"), NAMES, ids=lambda text: ascii(text)[:20])
@pytest.mark.parametrize("check", [check_file, check_folder, check_new_folder])
def test_names_that_nothing_can_have(check: object, name: str, said: str, here: Path) -> None:
    assert said in problem(check, name)


def test_output_folders_are_utf_8_and_files_of_data_sets_need_not_be(here: Path) -> None:
    name = os.fsdecode(b"a\xff")
    for check in (check_folder, check_new_folder, check_utf_8):
        assert problem(check, name) == r"'a\udcff' cannot be written: it is not UTF-8."
    replace_file(Path(name), b"x")
    assert Path(name).read_bytes() == b"x"


@pytest.mark.parametrize("name", ["", ".", "..", "folder", "folder/.."])
def test_a_folder_is_no_output_file(name: str, here: Path) -> None:
    assert "is a folder" in problem(check_file, name)


@pytest.mark.parametrize("check", [check_folder, check_new_folder])
def test_a_file_is_no_output_folder(check: object, here: Path) -> None:
    assert problem(check, "file") == "file is a file, not a folder."
    assert "a link to nothing" in problem(check, "nowhere")


def test_a_folder_without_a_name_is_not_replaced(here: Path) -> None:
    for name in (".", "..", "folder/.."):
        assert "cannot be replaced as a whole" in problem(check_new_folder, name)
    check_folder(Path())  # but filled


def test_where_it_is_in_truth(here: Path) -> None:
    Path("link").symlink_to("folder")
    assert check_new_folder(Path("folder/../new")) == here / "new"
    assert check_new_folder(Path("link/new")) == here / "folder" / "new"
    assert check_file(Path("link/new")) == Path("link/new")
    Path("to-file").symlink_to("folder/deep")
    assert check_file(Path("to-file")) == here / "folder" / "deep"


def test_read_only_and_missing_folders(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no folder gone" in problem(check_file, "gone/x")
    check_folder(Path("gone/deep/x"))  # is made
    monkeypatch.setattr(places.os, "access", lambda path, mode: Path(path).name != "folder")
    for check in (check_file, check_folder, check_new_folder):
        assert "folder is write-protected" in problem(check, "folder/x")
    assert "folder is write-protected" in problem(check_folder, "folder")


def test_space_is_asked_for_before_the_work(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_space", lambda folder: 3 << 20)
    require_space(here / "gone" / "deep", 3 << 20, "it")
    with pytest.raises(QgaitError, match=f"it needs about 4 MiB, and {here} has 3 MiB free") as caught:
        require_space(here / "gone" / "deep", (3 << 20) + 1, "it")
    assert "free some space" in caught.value.fix
    monkeypatch.setattr(space, "free_space", lambda folder: 1000)
    assert "needs about 1 MiB" in problem(check_file, "x.json")
    monkeypatch.setattr(space, "free_space", lambda folder: None)  # it does not tell
    check_file(Path("x.json"))
