"""Pickles that attack whoever reads them. Each one is first shown to work on pickle.load, then to do nothing here."""

from __future__ import annotations

import copyreg
import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qgait.data.pickles import load_arrays
from qgait.errors import QgaitError


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Hashable(Calls):
    """A call that may be an element of a set."""


def touch(flag: Path) -> str:
    return f"touch {flag}"


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def array_with(**parts: Any) -> Calls:
    """A pickle of an array, a part of which (shape, dtype, raw) is something else."""
    pieces: dict[str, Any] = {"shape": (3,), "dtype": np.dtype("u1"), "raw": b"abc"} | parts

    class Array:
        def __reduce__(self) -> tuple[Any, ...]:
            state = (1, pieces["shape"], pieces["dtype"], False, pieces["raw"])
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state

    return Array()  # type: ignore[return-value]


def of_command(flag: Path) -> dict[str, tuple[bytes, str]]:
    """Attack -> (file, the name it has to be refused by)."""
    command, python = touch(flag), f"open({str(flag)!r}, 'w')"
    system = Calls(os.system, command)
    shell = f"{os.system.__module__}.system"
    good = pickle.dumps(np.zeros(3, np.uint8), 4)
    return {
        "reduce": (pickle.dumps(system), shell),
        "reduce, protocol 0": (pickle.dumps(system, 0), shell),
        "eval": (pickle.dumps(Calls(eval, python)), "builtins.eval"),
        "exec": (pickle.dumps(Calls(exec, python), 2), "__builtin__.exec"),
        "getattr": (pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system")), "builtins.getattr"),
        "numpy writes a file": (pickle.dumps(Calls(np.savetxt, str(flag), [1])), "numpy.savetxt"),
        "numpy maps a file": (pickle.dumps(Calls(np.memmap, str(flag), "u1", "w+", 0, (1,))), "numpy.memmap"),
        "numpy reads a file": (pickle.dumps(Calls(np.fromfile, str(flag), "u1")), "numpy.fromfile"),
        "numpy loads a file": (pickle.dumps(Calls(np.load, str(flag), None, True)), "numpy.load"),
        "a pickle in a pickle": (pickle.dumps(Calls(pickle.loads, pickle.dumps(system))), "_pickle.loads"),
        "in a list": (pickle.dumps([1, [system]]), shell),
        "in a dictionary": (pickle.dumps({"a": 1.5, "b": {"c": system}}, 0), shell),
        "in a set": (pickle.dumps(frozenset([Hashable(os.system, command)])), shell),
        "in the shape": (pickle.dumps(array_with(shape=(system,))), shell),
        "in the number format": (pickle.dumps(array_with(dtype=system)), shell),
        "in the contents": (pickle.dumps(array_with(dtype=np.dtype("O"), raw=(system,))), shell),
        "dotted name": (
            b"\x80\x04" + text("logging") + text("os.system") + b"\x93" + text(command) + b"\x85R.",
            "logging",
        ),
        "old instance": (b"(S'" + command.encode() + b"'\nios\nsystem\n.", "os.system"),
        "old object": (b"(cos\nsystem\nS'" + command.encode() + b"'\no.", "os.system"),
        "after a good array": (good[:-1] + b"0cos\nsystem\n(S'" + command.encode() + b"'\ntR.", "os.system"),
        "before a good array": (b"cos\nsystem\n(S'" + command.encode() + b"'\ntR0" + good, "os.system"),
        "copyreg": (b"ccopyreg\nadd_extension\n(S'os'\nS'getcwd'\nK\xf0tR.", "copyreg.add_extension"),
    }


# these change or read something instead of leaving the file; that they work needs no proof here
QUIET = {"getattr", "numpy reads a file", "numpy loads a file", "copyreg"}


@pytest.mark.parametrize("attack", of_command(Path("flag")))
def test_nothing_runs(attack: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    content, name = of_command(flag)[attack]
    if attack not in QUIET:
        try:
            pickle.loads(content)
        except Exception as error:  # an attack may fail after it has done its work
            assert flag.exists(), error
        assert flag.exists(), "this is no attack"
        flag.unlink()
    path = tmp_path / "stranger.pkl"
    path.write_bytes(content)
    with pytest.raises(QgaitError, match=r"stranger\.pkl is refused: it asks for") as caught:
        load_arrays(path)
    assert name in caught.value.problem
    assert not flag.exists()


def test_extension_codes_are_refused(tmp_path: Path) -> None:
    flag, path = tmp_path / "flag", tmp_path / "stranger.pkl"
    content = b"\x82\xf0(S'" + touch(flag).encode() + b"'\ntR."
    path.write_bytes(content)
    copyreg.add_extension(os.system.__module__, "system", 0xF0)
    try:
        pickle.loads(content)
        assert flag.exists()
        flag.unlink()
        with pytest.raises(QgaitError, match="EXT1"):
            load_arrays(path)
        assert not flag.exists()
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 0xF0)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04P1\n.",
        b"\x80\x04K\x01Q.",
        b"\x80\x05\x97.",
        # state for something that is not an array under construction
        b"\x80\x04K\x01N\x85b.",
        b"cnumpy\nndarray\n(NN\x86b.",
        b"cnumpy\ndtype\n)R)R.",
    ],
)
def test_unusual_instructions_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "stranger.pkl"
    path.write_bytes(content)
    with pytest.raises(QgaitError, match=r"stranger\.pkl"):
        load_arrays(path)


BOMBS = {
    "shape": pickle.dumps(array_with(shape=(1 << 20, 1 << 20))),
    "empty shape": pickle.dumps(array_with(shape=(0, 1 << 62), raw=b"")),
    "numbers as large as a file": pickle.dumps(array_with(shape=(1 << 4000,) * 8)),
    "announced bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
    "announced bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
    "announced text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"abc.",
    "memo": b"\x80\x04Nr" + struct.pack("<I", (1 << 32) - 1) + b".",
    "many small things": b"\x80\x04" + b"))" * 1_000_000 + b".",
    "doubling tuples": b"\x80\x04)" + b"q\x00h\x00\x86" * 400 + b".",
    "doubling tuples as a name": b"\x80\x04)" + b"q\x00h\x00\x86" * 200 + b"q\x00h\x00\x93.",
    "bytes of a number": b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_small(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "stranger.pkl"
    path.write_bytes(BOMBS[bomb])
    tracemalloc.start()
    try:
        with pytest.raises(QgaitError, match=r"stranger\.pkl"):
            load_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < len(BOMBS[bomb]) * 3 + 2_000_000
    finally:
        tracemalloc.stop()


def test_files_of_gigabytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "stranger.pkl"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(QgaitError, match="1 GiB"):
        load_arrays(path)
