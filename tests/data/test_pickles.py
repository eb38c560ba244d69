from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy._core.numeric import _frombuffer

from qgait.data.pickles import load_arrays
from qgait.errors import QgaitError

RNG = np.random.default_rng(3)
ARRAYS = {
    "silhouettes": RNG.integers(0, 256, (7, 64, 44), dtype=np.uint8),
    "columns first": np.asfortranarray(RNG.random((3, 4, 5))),
    "big endian": RNG.random((3, 4)).astype(">f4"),
    "half": RNG.random((3, 4)).astype(np.float16),
    "boolean": RNG.random((4, 5)) > 0.5,
    "long": RNG.integers(-(2**62), 2**62, (5,)),
    "transposed": RNG.random((3, 4, 5)).transpose(1, 0, 2),
    "every other": RNG.integers(0, 99, (6, 8))[::2, ::3],
    "no frames": np.zeros((0, 64, 64), np.uint8),
    "one number": np.array(2.5),
}


def write(folder: Path, content: bytes) -> Path:
    path = folder / "stranger.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(name: str, protocol: int, tmp_path: Path) -> None:
    array = ARRAYS[name]
    found = load_arrays(write(tmp_path, pickle.dumps(array, protocol)))
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape and found.dtype == array.dtype.newbyteorder("=")
    assert found.flags.c_contiguous and found.flags.writeable


def test_names_of_numpy_1(tmp_path: Path) -> None:
    array = ARRAYS["silhouettes"]
    content = pickle.dumps(array, 2)
    assert b"numpy._core.multiarray" in content
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    np.testing.assert_array_equal(load_arrays(write(tmp_path, old)), array)


def test_transposed_arrays_of_numpy_2_3(tmp_path: Path) -> None:
    base = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)

    class Transposed:
        def __reduce__(self) -> tuple[object, ...]:
            return _frombuffer, (base.tobytes(), base.dtype, base.shape, "K", (2, 0, 1))

    found = load_arrays(write(tmp_path, pickle.dumps(Transposed(), 5)))
    np.testing.assert_array_equal(found, base.transpose(2, 0, 1))


def test_files_of_python_2(tmp_path: Path) -> None:
    raw = bytes(range(250, 256))
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06" + raw + b"tb."
    )
    expected = pickle.loads(content, encoding="latin1")
    np.testing.assert_array_equal(load_arrays(write(tmp_path, content)), expected)
    assert expected.tolist() == [[250, 251, 252], [253, 254, 255]]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([1, "a", None], dtype=object), "Python objects"),
        (np.zeros(3, dtype=[("a", "u1"), ("b", "f4")]), "V5"),
        (np.array(["a", "bc"]), "U2"),
        (np.zeros(3, np.complex64), "c8"),
        (np.zeros(2, "M8[s]"), "M8"),
        (np.ma.masked_array([1, 2], [0, 1]), "numpy.ma.core"),
        ([], "list"),
        ([np.zeros(3), np.zeros(4)], "list"),
        ({"a": np.zeros(3)}, "dict"),
        ((np.zeros(3), np.zeros(4)), "tuple"),
        (set(), "set"),
        (None, "it holds nothing"),
        ("text", "str"),
        (np.float32(1), "numpy._core.multiarray.scalar"),
    ],
)
def test_other_contents_are_refused(value: object, said: str, tmp_path: Path) -> None:
    for protocol in (2, 4, 5):
        with pytest.raises(QgaitError, match=said) as caught:
            load_arrays(write(tmp_path, pickle.dumps(value, protocol)))
        assert "stranger.pkl" in caught.value.problem


def test_contents_that_do_not_fill_the_shape_are_refused(tmp_path: Path) -> None:
    content = pickle.dumps(np.zeros((3, 5), np.uint8), 4)
    for wrong in (b"K\x02K\x05", b"K\x03K\x06"):
        with pytest.raises(QgaitError, match=r"needs 1[08] bytes and the file has 15"):
            load_arrays(write(tmp_path, content.replace(b"K\x03K\x05", wrong)))


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    for protocol in (0, 2, 5):
        content = pickle.dumps(np.arange(5, dtype=np.uint8), protocol)
        for length in range(len(content)):
            with pytest.raises(QgaitError, match=r"stranger\.pkl"):
                load_arrays(write(tmp_path, content[:length]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Python, on damaged text
def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for protocol in range(6):
        whole = np.frombuffer(pickle.dumps(np.arange(20, dtype=np.uint8), protocol), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(len(whole), size=3)] = rng.integers(0, 256, 3)
            try:
                assert isinstance(load_arrays(write(tmp_path, damaged.tobytes())), np.ndarray)
                outcomes["read"] += 1
            except QgaitError:
                outcomes["refused"] += 1
    assert outcomes["refused"] > 60 and outcomes["read"] > 0, outcomes


def test_files_that_are_no_pickles(tmp_path: Path) -> None:
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n", bytes(1000), b"\xff" * 100):
        with pytest.raises(QgaitError, match=r"truncated or not a pickle|does not hold one plain"):
            load_arrays(write(tmp_path, content))
    with pytest.raises(QgaitError, match="cannot be read"):
        load_arrays(tmp_path / "absent.pkl")
    with pytest.raises(QgaitError, match="cannot be read"):
        load_arrays(tmp_path)
