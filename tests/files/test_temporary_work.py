"""Temporary folders: TMPDIR is named when it is full, and killed runs do not fill it for ever."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qgait.errors import QgaitError
from qgait.files import replacing_folder, require_work_space, temporary_work, work_folder


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_goes_away(top: Path) -> None:
    with work_folder() as folder:
        (folder / "deep").mkdir()
        assert folder.parent.parent == top
        with replacing_folder(folder / "bundle", lambda: None) as partial:  # does not wait for itself
            (partial / "x").touch()
    assert list(top.iterdir()) == []


def test_a_full_tmpdir_is_named_before_and_during_the_work(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with work_folder() as folder:
        error = OSError(errno.ENOSPC, "No space left on device", str(folder / "x"))
    with pytest.raises(QgaitError, match=rf"{top} \(TMPDIR\), is full"), work_folder():
        raise OSError(errno.ENOSPC, "No space left on device", str(next(top.iterdir()) / "x"))
    with pytest.raises(OSError, match="No space"), work_folder():
        raise error  # of another folder
    monkeypatch.setattr(temporary_work, "free_space", lambda folder: 5 << 20)
    with pytest.raises(QgaitError, match=r"5 MiB are free, and about 6 MiB are needed") as caught:
        require_work_space(6 << 20)
    assert "set TMPDIR" in caught.value.fix
    with pytest.raises(QgaitError, match="TMPDIR"), work_folder():
        raise OSError(errno.ENOSPC, "No space left on device")  # of an open file, and hardly anything is free
    assert list(top.iterdir()) == []


def test_what_killed_runs_left_is_cleared(top: Path) -> None:
    code = "import os\nfrom qgait.files import work_folder\nwith work_folder() as w:\n os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(top)})
    assert killed.returncode == -signal.SIGKILL and len(list(top.iterdir())) == 1
    with work_folder() as one, work_folder() as other:
        assert set(top.iterdir()) == {one.parent, other.parent}
