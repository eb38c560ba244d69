"""Ctrl-C and SIGTERM at any moment: one line, the code that shells know, nothing half-written, nobody left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIGTERM_CAUGHT = 1 << (signal.SIGTERM - 1)


def started(*words: str, program: tuple[str, ...] = ("-m", "qgait"), **options: object) -> subprocess.Popen[bytes]:
    """A command that has just begun to listen for signals: Python itself does not catch SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, *program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    status = Path(f"/proc/{process.pid}/status")
    for _ in range(5000):
        caught = [line for line in status.read_text().splitlines() if line.startswith("SigCgt")]
        if not caught or int(caught[0].split()[1], 16) & SIGTERM_CAUGHT:
            return process
        time.sleep(0.001)
    raise AssertionError("it never listened")


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> tuple[int, list[str]]:
    """Exit code and lines on standard error after a signal to all processes of the command."""
    os.killpg(process.pid, number)
    said = process.communicate(timeout=30)[1].decode().splitlines()
    return process.returncode, said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_from_the_first_import_on(number: signal.Signals, code: int) -> None:
    delays = random.Random(code)
    for _ in range(4):
        process = started("train", "--help")
        time.sleep(delays.uniform(0, 0.3))
        found, said = ended(process, number)
        assert (found, said) in [
            (code, ["qgait: interrupted; nothing is left half-written."]),
            (code, []),  # its last moment, after its work
            (0, []),  # too late
        ]


def test_the_first_moment_is_no_traceback() -> None:
    process = started("train", "--help")
    assert ended(process, signal.SIGINT) == (130, ["qgait: interrupted; nothing is left half-written."])


SWALLOWED = """
import os, signal, sys, time
import qgait.cli
from qgait.__main__ import main

class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)  # raises here, where Python drops exceptions
        time.sleep(0.01)

def into_another():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:
        raise ImportError("cannot import name x")

def run(prepare):
    if sys.argv[1] == "destructor":
        Deaf()
        time.sleep(5)
    into_another()

qgait.cli.run = run
main()
"""


@pytest.mark.parametrize("where", ["destructor", "library"])
def test_what_a_library_makes_of_it_changes_nothing(where: str) -> None:
    done = subprocess.run([sys.executable, "-c", SWALLOWED, where], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (130, "qgait: interrupted; nothing is left half-written.\n")


WRITING = """
import sys, time
import qgait.cli
from pathlib import Path
from qgait.__main__ import main
from qgait.files import replacing, replacing_folder, work_folder

def run(prepare):
    out = Path(sys.argv[1])
    with replacing(out / "file") as file, replacing_folder(out / "folder", lambda: None) as folder, work_folder():
        file.write(b"half")
        (folder / "half").write_text("half")
        print("writing", flush=True)
        time.sleep(30)

qgait.cli.run = run
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_temporary_files_go_away(number: signal.Signals, code: int, tmp_path: Path) -> None:
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    out.mkdir()
    temporary.mkdir()
    process = started(str(out), program=("-c", WRITING), env=os.environ | {"TMPDIR": str(temporary)})
    assert process.stdout is not None and process.stdout.readline() == b"writing\n"
    assert len(list(out.iterdir())) == 2 and len(list(temporary.iterdir())) == 1
    assert ended(process, number) == (code, ["qgait: interrupted; nothing is left half-written."])
    assert list(out.iterdir()) == [] == list(temporary.iterdir())


def test_an_ignored_signal_stays_ignored() -> None:
    code = (
        "import signal, os, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from qgait.interrupts import listen\nlisten()\nos.kill(os.getpid(), signal.SIGHUP)\nprint('alive')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).stdout == b"alive\n"


def test_importing_the_library_changes_no_handler() -> None:
    code = (
        "import signal, qgait, qgait.cli; "
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler; "
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
