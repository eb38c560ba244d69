from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qgait.data import cache_building, cache_folder
from qgait.data.cache_building import NoPlaceError
from qgait.data.cache_file import MARK, OLDER
from qgait.data.opengait import Dataset, Sequence
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.silhouettes import threshold
from qgait.errors import QgaitError

ALL = np.arange(5)


def clips() -> dict[str, np.ndarray]:
    """Two values, shades, another largest value, nothing at all; uint8 [5, 64, 64]."""
    rng = np.random.default_rng(0)
    black_white = rng.integers(0, 2, (5, 64, 64), dtype=np.uint8)
    shades = rng.integers(0, 256, (5, 64, 64), dtype=np.uint8)
    nothing = np.zeros((5, 64, 64), np.uint8)
    return {"000": black_white * np.uint8(255), "018": shades, "036": black_white * np.uint8(254), "054": nothing}


@pytest.fixture
def sequences(tmp_path: Path) -> tuple[Sequence, ...]:
    for view, clip in clips().items():
        write(tmp_path / "data/001/nm-01" / view / f"{view}.pkl", clip)
    return Dataset.open(tmp_path / "data").sequences


def write(path: Path, clip: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(clip))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("wide", [False, True])
def test_nothing_is_lost(sequences: tuple[Sequence, ...], wide: bool, tmp_path: Path) -> None:
    cache = SilhouetteCache.open(sequences, tmp_path / "cache", wide=wide)
    for sequence in sequences:
        expected = sequence.load(wide)
        assert cache.length(sequence) == 5
        np.testing.assert_array_equal(cache.frames(sequence, ALL), expected, strict=True)
        chosen = np.array([4, 0, 4])
        np.testing.assert_array_equal(cache.frames(sequence, chosen), expected[chosen], strict=True)


def test_two_values_take_one_bit_and_shades_eight(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    pixels = 5 * 64 * 44
    assert 0 < cache.path.stat().st_size - (pixels + 3 * pixels // 8) < 1000


def test_binary_thresholds_packs_and_says_so(
    sequences: tuple[Sequence, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # when it is built, and when it is there
        cache = SilhouetteCache.open(sequences, tmp_path / "cache", binary=True)
        assert "thresholded at 128" in capsys.readouterr().err
    for sequence in sequences:
        np.testing.assert_array_equal(cache.frames(sequence, ALL), threshold(sequence.load()), strict=True)
    assert 0 < cache.path.stat().st_size - 4 * 5 * 64 * 44 // 8 < 1000
    exact = SilhouetteCache.open(sequences, tmp_path / "cache")
    np.testing.assert_array_equal(exact.frames(sequences[1], ALL), sequences[1].load())


def test_the_threshold_is_128() -> None:
    np.testing.assert_array_equal(threshold(np.array([[[0, 127, 128, 255]]], np.uint8)), [[[0, 0, 255, 255]]])


def test_it_is_built_once(sequences: tuple[Sequence, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[tuple[str, int, int]] = []
    cache = SilhouetteCache.open(sequences, tmp_path / "cache", progress=lambda *step: steps.append(step))
    assert steps[-1] == ("caching silhouettes", 4, 4)
    assert "caching silhouettes" in capsys.readouterr().err
    built = cache.path.stat().st_mtime_ns
    for chosen in (sequences, sequences[1:3]):  # a part of the data set is in it too
        again = SilhouetteCache.open(chosen, tmp_path / "cache")
        np.testing.assert_array_equal(again.frames(sequences[1], ALL), sequences[1].load())
    assert cache.path.stat().st_mtime_ns == built
    assert capsys.readouterr().err == ""


def test_processes_build_the_same(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    cache = SilhouetteCache.open(sequences, tmp_path / "cache", jobs=2)
    for sequence in sequences:
        np.testing.assert_array_equal(cache.frames(sequence, ALL), sequence.load())


@pytest.mark.parametrize("change", ["content", "time", "new"])
def test_a_changed_data_set_is_cached_anew_and_that_is_said(
    change: str, sequences: tuple[Sequence, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = SilhouetteCache.open(sequences, tmp_path / "cache")
    expected_old = sequences[0].load()
    path = sequences[0].path
    match change:
        case "content":
            write(path, np.full((7, 64, 64), 255, np.uint8))
        case "time":
            os.utime(path, ns=(1, 1))
        case "new":
            write(tmp_path / "data/002/nm-01/000/000.pkl", np.full((7, 64, 64), 255, np.uint8))
    sequences = Dataset.open(tmp_path / "data").sequences
    capsys.readouterr()
    new = SilhouetteCache.open(sequences, tmp_path / "cache")
    assert "built anew, because 1 of" in capsys.readouterr().err
    for sequence in sequences:
        length = len(sequence.load())
        np.testing.assert_array_equal(new.frames(sequence, np.arange(length)), sequence.load())
    np.testing.assert_array_equal(old.frames(sequences[0], ALL), expected_old)  # whoever has it open goes on


@pytest.mark.parametrize("kept", [9, 2000, -1])
def test_a_truncated_cache_is_built_anew(
    kept: int, sequences: tuple[Sequence, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    path.write_bytes(path.read_bytes()[:kept])
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    assert "it is damaged" in capsys.readouterr().err
    np.testing.assert_array_equal(cache.frames(sequences[1], ALL), sequences[1].load())


@pytest.mark.parametrize(
    "index",
    [
        *(b"[]", b"[" * 100_000, b"{", b"7", b"\xff", b'{"a": 1}', b'{"a": [1, 2]}', b'{"a": [1, 2, 3, 1e9, null]}'),
        *(b'{"a": [1, 2, 1000000000, 8, null]}', b'{"a": [1, 2, -3, 8, null]}', b'{"a": [1, 2, 1, 8, 256]}'),
    ],
    ids=lambda index: index[:36],
)
def test_a_damaged_index_is_built_anew(
    index: bytes, sequences: tuple[Sequence, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SilhouetteCache.open(sequences, tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(MARK + bytes(100) + index + len(index).to_bytes(8, "little") + MARK)
    SilhouetteCache.open(sequences, tmp_path)
    assert "it is damaged" in capsys.readouterr().err and path.read_bytes() == whole


def test_a_cache_that_is_a_pipe_is_refused(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    path = SilhouetteCache.open(sequences, tmp_path).path
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(QgaitError, match="it is a named pipe"):
        SilhouetteCache.open(sequences, tmp_path)


def test_a_file_that_is_no_cache_is_left_alone(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    path.write_bytes(b"something of value")
    with pytest.raises(QgaitError, match="no cache of silhouettes"):
        SilhouetteCache.open(sequences, tmp_path / "cache")
    assert path.read_bytes() == b"something of value"


def test_a_full_disk_leaves_nothing(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does: with an OSError in the middle of writing."""
    program = (
        "import resource, signal, sys\n"
        "from qgait.data.opengait import Dataset\n"
        "from qgait.data.silhouette_cache import SilhouetteCache\n"
        "from qgait.errors import QgaitError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    SilhouetteCache.open(Dataset.open(sys.argv[1]).sequences, sys.argv[2])\n"
        "except QgaitError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "cannot be cached in" in done.stdout and "File too large" in done.stdout, done.stderr
    assert files(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_made_is_named(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QgaitError, match=r"cannot be cached in .*/file/.*File exists"):
        SilhouetteCache.open(sequences, tmp_path / "file")


def test_a_folder_without_permission_is_named(
    sequences: tuple[Sequence, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache_building, "replacing", refuse)  # root may write everywhere
    with pytest.raises(QgaitError, match=r"cannot be cached in .*Permission denied"):
        SilhouetteCache.open(sequences, tmp_path / "cache")


def test_a_damaged_sequence_is_named_and_the_old_cache_stays(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    before = path.read_bytes()
    sequences[3].path.write_bytes(b"damaged")
    with pytest.raises(QgaitError, match=r"054\.pkl"):
        SilhouetteCache.open(sequences, tmp_path / "cache")
    assert path.read_bytes() == before
    assert files(tmp_path / "cache") == [path.name]
    sequences[3].path.unlink()
    with pytest.raises(QgaitError, match=r"054\.pkl cannot be read"):
        SilhouetteCache.open(sequences, tmp_path / "cache")


def test_what_a_killed_process_left_is_removed(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    path.rename(path.with_name(f".{path.name}.partial-{'0' * 16}"))
    SilhouetteCache.open(sequences, tmp_path / "cache")
    assert files(tmp_path / "cache") == [path.name]


def test_processes_that_need_it_at_once_build_it_once(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from qgait.data.opengait import Dataset\n"
        "from qgait.data.silhouette_cache import SilhouetteCache\n"
        "sequences = Dataset.open(sys.argv[1]).sequences\n"
        "sys.stdin.readline()\n"
        "print(SilhouetteCache.open(sequences, sys.argv[2]).frames(sequences[1], [0]).sum())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data"), str(tmp_path / "cache")]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for worker in workers:
        worker.stdin.write("\n")  # type: ignore[union-attr]
        worker.stdin.flush()  # type: ignore[union-attr]
    outputs = [worker.communicate(timeout=60) for worker in workers]
    assert {out.strip() for out, _ in outputs} == {str(sequences[1].load()[0].sum())}
    assert sum("caching silhouettes" in error for _, error in outputs) == 1


def test_data_sets_do_not_share_a_cache(tmp_path: Path) -> None:
    for root in ("one/data", "two/data"):
        write(tmp_path / root / "001/nm-01/000/000.pkl", np.full((2, 64, 64), len(root), np.uint8))
        SilhouetteCache.open(Dataset.open(tmp_path / root).sequences, tmp_path / "cache")
    assert len(files(tmp_path / "cache")) == 2


def test_frames_without_the_edge_have_no_wide_cache(tmp_path: Path) -> None:
    write(tmp_path / "data/001/nm-01/000/000.pkl", np.zeros((2, 64, 44), np.uint8))
    sequences = Dataset.open(tmp_path / "data").sequences
    assert SilhouetteCache.open(sequences, tmp_path / "cache").length(sequences[0]) == 2
    with pytest.raises(QgaitError, match="perspective needs all 64"):
        SilhouetteCache.open(sequences, tmp_path / "cache", wide=True)


def test_what_is_in_it_of_other_people_stays(
    sequences: tuple[Sequence, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs on different people of one data set share a cache and do not make it again in turns."""
    folder = tmp_path / "cache"
    SilhouetteCache.open(sequences[:2], folder)
    sequences[0].path.touch()  # has changed since
    packed = []
    pack = cache_building._pack
    monkeypatch.setattr(cache_building, "_pack", lambda s, *form: (packed.append(s.view), pack(s, *form))[1])
    monkeypatch.setattr(cache_building, "SAMPLE", 1)
    SilhouetteCache.open(sequences[2:], folder)
    assert set(packed) == {"036", "054"}
    packed.clear()
    for chosen in (sequences[1:2], sequences[2:], sequences[1:]):
        cache = SilhouetteCache.open(chosen, folder)
        for sequence in chosen:
            np.testing.assert_array_equal(cache.frames(sequence, ALL), sequence.load())
    assert packed == []
    SilhouetteCache.open(sequences, folder)
    assert set(packed) == {"000"}
    sequences[1].path.unlink()
    sequences[2].path.touch()
    cache = SilhouetteCache.open(sequences[2:], folder)
    assert sorted(path.parent.name for path in cache._entries) == ["000", "036", "054"]


def test_a_changed_pixel_is_noticed(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    for sequence in sequences:
        cache.clip(sequence)
    content = bytearray(cache.path.read_bytes())
    content[cache._entries[sequences[1].path].start + 100] ^= 1
    cache.path.write_bytes(content)
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    cache.clip(sequences[0])
    with pytest.raises(QgaitError, match=r"is damaged: .*018\.pkl is not what was put there"):
        cache.frames(sequences[1], ALL[:1])
    sequences[0].path.touch()  # built anew: what is damaged is not copied
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    np.testing.assert_array_equal(cache.clip(sequences[1]), sequences[1].load())


def test_a_cache_of_the_form_before_is_read(
    sequences: tuple[Sequence, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without checksums, and without the place of the data."""
    path = SilhouetteCache.open(sequences, tmp_path / "cache").path
    content = path.read_bytes()
    length = int.from_bytes(content[-16:-8], "little")
    index = json.loads(content[-16 - length : -16])
    table = json.dumps({name: entry[:5] for name, entry in index["clips"].items()}).encode()
    path.write_bytes(OLDER + content[8 : -16 - length] + table + len(table).to_bytes(8, "little") + OLDER)
    capsys.readouterr()
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    assert capsys.readouterr().err == ""
    for sequence in sequences:
        np.testing.assert_array_equal(cache.clip(sequence), sequence.load())
    (kept,) = cache_folder.kept(tmp_path / "cache")
    assert kept.data is None and kept.name == path.stem


def test_space_is_asked_for_before_anything_is_packed(
    sequences: tuple[Sequence, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much as the cache will have, also where every pixel takes 8 bits."""
    asked: list[int] = []
    monkeypatch.setattr(cache_building, "require_space", lambda folder, needed, what: asked.append(needed))
    size = SilhouetteCache.open(sequences, tmp_path / "cache").path.stat().st_size
    assert len(asked) == 1 and 0.9 * size < asked[0] < 1.1 * size

    def full(*_: object) -> None:
        raise QgaitError("It needs more than there is.", "free some space.")

    monkeypatch.setattr(cache_building, "require_space", full)
    with pytest.raises(NoPlaceError, match="more than there is"):
        SilhouetteCache.open(sequences, tmp_path / "other")
    assert files(tmp_path / "other") == []


def test_whoever_has_it_open_keeps_it_when_it_is_removed(sequences: tuple[Sequence, ...], tmp_path: Path) -> None:
    cache = SilhouetteCache.open(sequences, tmp_path / "cache")
    assert [each.path for each in cache_folder.remove(tmp_path / "cache", None)] == [cache.path]
    assert files(tmp_path / "cache") == []
    np.testing.assert_array_equal(cache.clip(sequences[1]), sequences[1].load())
