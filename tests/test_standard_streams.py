"""Standard output that is closed, full or no longer read, and names that a terminal cannot show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

QGAIT = f"{sys.executable} -m qgait"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line: str, **environment: str) -> tuple[int, str]:
    """(exit code, what it printed on both) of a line of bash."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=os.environ | environment)
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("words", ["targets", "data --help", "targets --json -", "train --list-configs"])
def test_a_reader_that_has_gone_is_no_failure(words: str) -> None:
    code, said = shell(f"{QGAIT} {words} 2>&1 | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}")
    assert code in (0, 141) and said == ""


def test_nobody_reads_from_the_beginning_on() -> None:
    _, said = shell(f"(sleep 0.3; {QGAIT} targets; echo $? >&2) | true")
    assert said == "141\n"


@pytest.mark.parametrize("words", ["targets", "--help", "targets --json -"])
def test_a_full_disk_is_a_sentence(words: str) -> None:
    code, said = shell(f"{QGAIT} {words} 2>&1 >/dev/full")
    assert code == 2
    assert said.splitlines()[-2:] == [
        "qgait: Standard output cannot be written: no space left on device.",
        "Fix: send it somewhere else.",
    ]
    assert "Traceback" not in said and "ignored" not in said


def test_closed_streams() -> None:
    assert shell(f"{QGAIT} targets >&-") == (
        2,
        "qgait: Standard output is closed.\nFix: leave it open, or send it to /dev/null.\n",
    )
    code, said = shell(f"{QGAIT} --version <&- 2>&-")
    assert code == 0 and said.startswith("qgait")
    assert shell(f"{QGAIT} nothing 2>&-") == (2, "")


def test_no_file_gets_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """What is opened first would be descriptor 2, and warnings would go into it."""
    code, _ = shell(f"{QGAIT} targets --json {tmp_path}/facts.json 2>&- <&-")
    assert code == 0
    json.loads((tmp_path / "facts.json").read_text())


@pytest.mark.parametrize("environment", [{"PYTHONUTF8": "1"}, ASCII], ids=["utf-8", "ascii"])
def test_names_are_shown_as_they_are_or_escaped(environment: dict[str, str], tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff\x1b[1m[red]:dog:[/]")
    done = subprocess.run(
        [sys.executable, "-m", "qgait", "bench", name], capture_output=True, env=os.environ | environment, cwd=tmp_path
    )
    assert done.returncode == 2
    assert r"a\udcff\x1b[1m[red]:dog:[/] is not a bundle" in done.stderr.decode("ascii")


def test_a_table_and_json_of_such_names(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"w\xff[red]") / "001" / "[bold]\x1b[1m" / "[x]"
    folder.mkdir(parents=True)
    (folder / "a.pkl").write_bytes(b"nothing")
    root, facts = folder.parents[2], tmp_path / "facts.json"
    done = subprocess.run(
        [sys.executable, "-m", "qgait", "data", "info", str(root), "--json", str(facts)],
        capture_output=True,
        env=os.environ | ASCII,
    )
    assert done.returncode == 2
    shown = done.stdout.decode("ascii")
    assert r"w\udcff[red]: other" in shown and r"[bold]\x1b[1m/[x]/a.pkl" in shown
    assert json.loads(facts.read_text())["folder"] == str(root)
