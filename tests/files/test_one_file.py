"""One file: whole or not at all, never through a device, and nothing of a killed writer stays for ever."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qgait.errors import QgaitError
from qgait.files import replace_file, replacing


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with replacing(path) as file:
        file.write(b"new, ")
        file.flush()
        assert path.read_bytes() == b"old"
        file.write(b"and whole")
    assert path.read_bytes() == b"new, and whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with pytest.raises(type(error)), replacing(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "file", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"first", b"second"):  # a link to nothing makes its file
        replace_file(link, content)
        assert link.is_symlink() and target.read_bytes() == content and not target.is_symlink()
    assert list((tmp_path / "far").iterdir()) == [target]


def test_devices_pipes_and_folders_are_never_replaced(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    (tmp_path / "to-folder").symlink_to(folder)
    (tmp_path / "to-device").symlink_to("/dev/null")
    for path, said in (
        (Path("/dev/null"), "it is a device, not a file"),
        (tmp_path / "to-device", "it is a device, not a file"),
        (pipe, "it is a pipe, not a file"),
        (folder, "is a folder"),
        (tmp_path / "to-folder", "is a folder"),
    ):
        with pytest.raises(QgaitError, match=said):
            replace_file(path, b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and stat.S_ISFIFO(pipe.stat().st_mode)  # noqa: PTH116
    assert (tmp_path / "to-folder").is_symlink() and (tmp_path / "to-device").is_symlink()


def test_a_full_disk_leaves_the_older_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            replace_file(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_permissions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    path.chmod(0o640)
    replace_file(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    replace_file(path, b"x")
    assert path.read_bytes() == b"x"


KILLED = """
import os, signal, sys
from pathlib import Path
from qgait.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)]).returncode == -signal.SIGKILL
    (left,) = (other for other in tmp_path.iterdir() if other != path)
    assert path.read_bytes() == b"old" and left.read_bytes() == b"half"
    others = [tmp_path / name for name in (".file.partial-mine", f"{left.name}.bak", ".other" + left.name[5:], ".file")]
    for other in others:
        other.write_bytes(b"somebody's")
    with replacing(path) as living:
        living.write(b"first")
        living.flush()
        replace_file(path, b"second")  # the other one is alive, so its file stays
    assert path.read_bytes() == b"first"
    assert set(tmp_path.iterdir()) == {path, *others}
