"""Pictures are as large as they may be before anything is decoded, and nobody but us speaks of damaged ones."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_mutations import FORMATS, chunk, encoded, picture_files, png, png_data, resized, small

from qgait.data.picture_sizes import announced
from qgait.data.pictures import MAX_PIXELS, read_image
from qgait.errors import QgaitError


@pytest.mark.parametrize("suffix", [*FORMATS, ".tiff"])
@pytest.mark.parametrize("shape", [(1, 1), (40, 30), (7, 300), (300, 7)])
@pytest.mark.parametrize("colour", [False, True])
def test_sizes_are_those_that_are_decoded(suffix: str, shape: tuple[int, int], colour: bool, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3) if colour else shape).astype(np.uint8)
    if suffix in (".pgm", ".ppm"):
        suffix = ".ppm" if colour else ".pgm"
    content = encoded(suffix, picture)
    size = announced(content)
    assert size is not None and (size.height, size.width) == shape and size.pixels == shape[0] * shape[1]
    (tmp_path / f"a{suffix}").write_bytes(content)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), expected)


def test_a_lossy_webp_has_its_size_elsewhere(tmp_path: Path) -> None:
    done, content = cv2.imencode(".webp", np.zeros((40, 30, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 50])
    assert done
    size = announced(content.tobytes())
    assert size is not None and (size.height, size.width) == (40, 30)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_announced_is_bounded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(resized(suffix, 60_000, 60_000))
    with pytest.raises(QgaitError, match=r"frame\..* has [0-9,]+ x [0-9,]+ pixels; more than 33,554,432 are no"):
        read_image(path)


BOMB = """
import resource, sys
from pathlib import Path
from qgait.data.pictures import read_image
from qgait.errors import QgaitError
import cv2
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_image(Path(path))
        print("read", path)
    except QgaitError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_small_files_take_little_memory(tmp_path: Path) -> None:
    length = len(png_data(small(".png")))
    files = {
        "bytes.png": png(60_000, 60_000, 1)[:277],
        "half.png": png(20_000, 90_000, 500, 1, 0),
        "tall.png": png(1, 1 << 30, 10),
        "a piece of 4 GB.png": small(".png").replace(struct.pack(">I", length) + b"IDAT", b"\xff\xff\xff\xffIDAT"),
        **{f"huge{suffix}": resized(suffix, 46_000, 46_000) for suffix in FORMATS},
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BOMB, *(str(tmp_path / name) for name in files)],
        capture_output=True,
        text=True,
        check=True,
    )
    *sentences, grown = done.stdout.splitlines()
    assert len(sentences) == len(files) and not any(line.startswith("read") for line in sentences), done.stdout
    assert int(grown) < 100_000 and done.stderr == ""
    assert time.perf_counter() - start < 20, "most of it is importing OpenCV"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2_000_000


def test_the_largest_picture_is_read(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5)
    (tmp_path / "8k.png").write_bytes(png(side, side, side, 1))
    assert read_image(tmp_path / "8k.png").shape == (side, side)


def test_damaged_pictures_are_refused_or_read_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, read = tmp_path / "frame.png", 0
    for content in picture_files(seed=0, count=400):
        path.write_bytes(content)
        try:
            picture = read_image(path)
            assert picture.dtype == np.uint8 and picture.ndim == 2 and picture.size <= MAX_PIXELS
            read += 1
        except QgaitError as error:
            assert len(str(error)) < 300
    assert 0 < read < 400
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff" + b"\xff" * 100_000,
        b"\xff\xd8" + b"\xff\xd0" * 100_000,
        b"\xff\xd8\xff\xe0\xff\xff",
        b"BM" + bytes(10),
        b"RIFF\0\0\0\0WEBPVP8X",
        b"RIFF\0\0\0\0AVI LIST" + bytes(20),
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\x01\0" + bytes(12),
        b"P5\n# no end",
        b"P5\n" + b"9" * 50 + b" 1\n255\n",
        b"P5\n-1 -1\n255\n",
        b"P7\nWIDTH 1\n",
        small(".png").replace(b"IHDR", b"IDAT"),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)),
        b"GIF89a" + bytes(100),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
        b"\x76\x2f\x31\x01" + bytes(100),
        b"#?RADIANCE\n" + bytes(100),
    ],
    ids=range(21),
)
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(QgaitError, match=r"a\.png is not a readable picture"):
        read_image(tmp_path / "a.png")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(QgaitError, match="it is a named pipe"):
        read_image(tmp_path / "pipe.png")
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(QgaitError, match="larger than 256 MiB"):
        read_image(tmp_path / "big.png")
