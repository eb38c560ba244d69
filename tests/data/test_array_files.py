"""Every array that numpy writes of numbers is read; nothing else is, and a small file takes little memory."""

from __future__ import annotations

import io
import os
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from array_mutations import HOSTILE, array_files, npy

from qgait.data.array_files import load_array
from qgait.data.clip_files import load_clip
from qgait.errors import QgaitError


@pytest.mark.parametrize("code", ["b1", "u1", "i1", "<u2", ">i4", "<i8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 2), (0, 64, 44), (1, 1, 1, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_read(code: str, shape: tuple[int, ...], order: str, tmp_path: Path) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 2, shape)).astype(code, order=order)  # type: ignore[call-overload]
    for version in ((1, 0), (2, 0), (3, 0)):
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.lib.format.write_array(content, array, version)
        (tmp_path / "a.npy").write_bytes(content.getvalue())
        found = load_array(tmp_path / "a.npy")
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype.newbyteorder("=") and found.shape == array.shape
        assert found.flags.c_contiguous and found.flags.writeable


def test_headers_of_other_programs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for header in (
        b"{'shape': (2L, 3L), 'fortran_order': False, 'descr': '|u1'}\n",
        b"{ 'descr' : '|u1' ,'fortran_order':False,'shape':( 2 , 3 , ) , }   ",
    ):
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"abcdef")
        assert load_array(path).tolist() == [[97, 98, 99], [100, 101, 102]]


@pytest.mark.parametrize("case", HOSTILE)
def test_anything_else_is_one_sentence(case: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "walk.npy"
    path.write_bytes(HOSTILE[case])
    tracemalloc.start()
    try:
        with pytest.raises(QgaitError, match=r"walk\.npy (is not one numpy array|has the shape \[0)") as refused:
            load_clip(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(HOSTILE[case]) + 2_000_000
    finally:
        tracemalloc.stop()
    assert refused.value.fix and len(str(refused.value)) < 300 and not len(recwarn)


def test_damaged_files_are_refused_or_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, read = tmp_path / "walk.npy", 0
    for content in array_files(seed=0, count=600):
        path.write_bytes(content)
        try:
            clip = load_clip(path)
            assert clip.dtype == np.uint8 and clip.shape[1:] == (64, 44)
            read += 1
        except QgaitError as error:
            assert len(str(error)) < 400 and "\n" not in str(error)
    assert 0 < read < 600
    assert capfd.readouterr().err == ""


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    os.mkfifo(tmp_path / "pipe.pkl")
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    with (tmp_path / "big.npy").open("wb") as file:
        file.write(npy(np.zeros(1, np.uint8)))
        file.truncate((1 << 30) + 1)
    for name, why in {
        "pipe.npy": "it is a named pipe",
        "pipe.pkl": "it is a named pipe",
        "loop.npy": "leads back to itself",
        "zero.npy": "it is a device",
        "big.npy": "larger than 1 GiB",
        "gone.npy": "there is no such file",
        "x" * 300 + ".npy": "the name is too long",
        "a\0b.npy": "NUL",
    }.items():
        with pytest.raises(QgaitError, match=why):
            load_clip(tmp_path / name)
