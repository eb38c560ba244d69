"""A folder is there whole, the older or the newer one, whatever happens to who writes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qgait.errors import QgaitError
from qgait.files import replacing_folder, whole_folder


def fine() -> None: ...


def write(path: Path, text: str, parts: int = 1) -> None:
    with replacing_folder(path, fine) as folder:
        for part in range(parts):
            (folder / f"part{part}").write_text(text)


def content(path: Path) -> list[str]:
    return [file.read_text() for file in sorted(path.iterdir())]


@pytest.fixture(params=["exchanged", "in two steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of replacing: the kernel's own, and that of file systems without it."""
    if request.param == "in two steps":
        monkeypatch.setattr(whole_folder, "_exchanged", lambda one, other: False)
    return str(request.param)


def test_it_takes_the_place_of_the_older_one(way: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    for text in ("first", "second"):
        write(out, text)
        assert content(out) == [text]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_this_file_system_exchanges(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write(one, "one")
    write(other, "other")
    assert whole_folder._exchanged(one, other)
    assert content(one) == ["other"] and content(other) == ["one"]


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_older_one(kind: type[BaseException], way: str, tmp_path: Path) -> None:
    out, error = tmp_path / "out", kind(28, "No space left on device")
    write(out, "old")
    with pytest.raises(kind), replacing_folder(out, fine) as folder:
        (folder / "half").write_text("x")
        raise error
    assert content(out) == ["old"] and list(tmp_path.iterdir()) == [out]
    if isinstance(error, OSError):
        assert error.filename == str(out)


def test_an_interrupt_between_the_two_steps_puts_the_older_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_folder, "_exchanged", lambda one, other: False)
    out = tmp_path / "out"
    write(out, "old")
    replace = Path.replace

    def stop(self: Path, to: Path) -> Path:
        if ".partial-" in self.name:
            raise KeyboardInterrupt
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write(out, "new")
    assert content(out) == ["old"] and list(tmp_path.iterdir()) == [out]


def test_what_must_stay_is_looked_at_again_before_it_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def check() -> None:
        if out.exists():
            raise QgaitError("It came meanwhile.", "look.")

    with pytest.raises(QgaitError, match="meanwhile"), replacing_folder(out, check):
        out.mkdir()
        (out / "mine").write_text("mine")
    assert content(out) == ["mine"]


@pytest.mark.parametrize("spelled", ["../out", "../../outer/out", "{}"])
def test_the_current_folder_can_be_replaced(
    spelled: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "outer" / "out"
    write(out, "old")
    monkeypatch.chdir(out)
    write(Path(spelled.format(out)), "new")
    assert content(out) == ["new"] == content(Path())
    assert list(out.parent.iterdir()) == [out]


def test_a_path_through_itself(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("first", "second"):
        write(Path("out/../out"), text)
        assert content(tmp_path / "out") == [text]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from pathlib import Path
from qgait.files import replacing_folder, whole_folder

out, moment = Path(sys.argv[1]), sys.argv[2]

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "before it is exchanged":
    whole_folder._put = kill
elif moment == "before the older one is removed":
    whole_folder.sync_folder = lambda folder: kill() if folder == out.parent else None
elif moment == "between the two steps":
    whole_folder._exchanged = lambda one, other: False
    replace = Path.replace
    Path.replace = lambda self, to: kill() if ".partial-" in self.name else replace(self, to)
with replacing_folder(out, lambda: None) as folder:
    (folder / "part0").write_text("new")
    if moment == "while it is written":
        kill()
"""


@pytest.mark.parametrize(
    ("moment", "there"),
    [
        ("while it is written", ["old"]),
        ("before it is exchanged", ["old"]),
        ("between the two steps", None),
        ("before the older one is removed", ["new"]),
    ],
)
def test_after_a_kill_the_next_one_cleans_up(moment: str, there: list[str] | None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(out), moment]).returncode == -signal.SIGKILL
    assert (content(out) if out.exists() else None) == there
    assert len(list(tmp_path.iterdir())) == 2, "something is left"
    seen = []
    stranger = tmp_path / ".out.partial-notes"
    stranger.write_text("mine")
    with pytest.raises(ZeroDivisionError), replacing_folder(out, lambda: seen.append(content(out))):
        raise ZeroDivisionError  # also one that fails finds the older one again
    assert seen == [there or ["old"]] and content(out) == seen[0]
    assert set(tmp_path.iterdir()) == {out, stranger}


def test_writers_at_once_do_not_mix(way: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    failures: list[BaseException] = []

    def often(name: str) -> None:
        try:
            for _ in range(20):
                write(out, name, parts=5)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=often, args=(name,)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    assert content(out) in [[name] * 5 for name in "abc"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_lock_of_somebody_else_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_folder, "LONGEST_WAIT", 0.1)
    with whole_folder._alone_in(tmp_path):
        write(tmp_path / "out", "new")
    assert content(tmp_path / "out") == ["new"]


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with replacing_folder(out, fine) as slow:
        (slow / "part0").write_text("slow")
        write(out, "fast")
        assert content(out) == ["fast"] and slow.exists()
    assert content(out) == ["slow"] and list(tmp_path.iterdir()) == [out]
    assert not any(name.startswith(".") for name in os.listdir(tmp_path))  # noqa: PTH208
