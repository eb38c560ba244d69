"""Only regular files of a bounded size are read, and nothing that is not one is waited for."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from qgait.errors import QgaitError
from qgait.reading import MIB, file_sha256, open_regular, read_bytes, read_text, size

FIX = "give another one."


def refused(path: Path, limit: int = MIB) -> str:
    with pytest.raises(QgaitError) as caught:
        read_bytes(path, limit, FIX)
    assert caught.value.fix == FIX
    return caught.value.problem


def test_a_regular_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"gait")
    (tmp_path / "link").symlink_to(file)
    assert read_bytes(file, 4, FIX) == read_bytes(tmp_path / "link", 4, FIX) == b"gait"
    assert read_text(file, 4, FIX) == "gait"


def test_pipes_devices_folders_sockets_and_links_in_a_circle_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's path is short
        try:
            listening.bind("sock")
        finally:
            os.chdir(here)
        assert "a socket" in refused(tmp_path / "sock")
    assert f"{tmp_path / 'pipe'} cannot be read: it is a named pipe, not a file." == refused(tmp_path / "pipe")
    assert "a device" in refused(Path("/dev/zero"))
    assert "a device" in refused(Path("/dev/null"))
    assert "a folder" in refused(tmp_path)
    assert "leads back to itself" in refused(tmp_path / "one")
    assert "too long" in refused(tmp_path / ("a" * 300))
    assert "NUL" in refused(tmp_path / "a\0b")
    assert "no such file" in refused(tmp_path / "nobody")
    assert "a part of its path is a file" in refused(Path(__file__) / "below")


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "larger than 1 MiB" in refused(file)
    with pytest.raises(QgaitError, match="larger than 3 bytes"):
        open_regular(file, 3, FIX)


def test_a_file_that_says_nothing_of_its_size_is_bounded_while_it_is_read() -> None:
    assert "grew beyond 10 bytes" in refused(Path("/proc/self/status"), 10)  # its size is said to be 0


def test_text_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(QgaitError, match="not UTF-8"):
        read_text(tmp_path / "latin", MIB, FIX)


def test_sizes_in_words() -> None:
    assert [size(n) for n in (3, 1024, 3 << 20, 1 << 30, (1 << 20) + 1)] == [
        "3 bytes",
        "1 KiB",
        "3 MiB",
        "1 GiB",
        "1,048,577 bytes",
    ]


def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    for content in (b"", b"abc", bytes(range(256)) * 5000):
        path = tmp_path / "file"
        path.write_bytes(content)
        assert file_sha256(path, len(content), "") == hashlib.sha256(content).hexdigest()
    with pytest.raises(QgaitError, match="is larger than 16 bytes"):
        file_sha256(path, 16, "give another.")
    with pytest.raises(QgaitError, match="it is a device, not a file"):
        file_sha256(Path("/dev/zero"), 16, "give another.")
