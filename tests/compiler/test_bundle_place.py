"""Where bundles are written: also from inside the older one, and not where there is no space."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from compiled_bundles import bundle, clips, graph

from qgait.compiler import bundle as bundle_writer
from qgait.compiler.assembly import assemble
from qgait.compiler.bundle import write
from qgait.errors import QgaitError
from qgait.files import space, temporary_work
from qgait.runtime.bundle import Bundle
from qgait.targets import elf
from qgait.targets.processors import find


def test_a_bundle_is_replaced_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    shutil.copytree(bundle("tiny", "host").path, out)
    monkeypatch.chdir(out)
    made = write(graph("tiny"), find("host"), Path("../out"), clips(graph("tiny"), 1, 4))
    assert made.manifest["selftest"]["frames"] == [1, 4] == Bundle.open(out).manifest["selftest"]["frames"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_space_is_asked_for_before_anything_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_writer, "assemble", pytest.fail)

    def no_space_in(module: ModuleType) -> None:
        monkeypatch.setattr(module, "free_space", lambda folder: 3 << 20)

    no_space_in(temporary_work)
    with pytest.raises(QgaitError, match=r"\(TMPDIR\), is full: 3 MiB are free"):
        write(graph("tiny"), find("host"), tmp_path / "out", clips(graph("tiny"), 1, 2))
    no_space_in(space)
    with pytest.raises(QgaitError, match=r"out needs about \d+ MiB, and .* has 3 MiB free"):
        write(graph("tiny"), find("host"), tmp_path / "out", clips(graph("tiny"), 1, 2))
    assert list(tmp_path.iterdir()) == []


def test_kernels_need_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where LLVM cannot write, it ends the process with the exit code of a check that failed."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assembly = assemble(graph("tiny"), find("host"))
    assert elf.machine(assembly.kernels) == find("host").elf_machine
