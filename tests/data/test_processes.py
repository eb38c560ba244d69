from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qgait.data.pickle_instructions import FIX
from qgait.data.pickles import load_arrays
from qgait.data.processes import run_each
from qgait.errors import QgaitError


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_piece_is_done_once(jobs: int) -> None:
    assert sorted(run_each(math.comb, [(5, 2), (6, 1), (4, 4)], jobs)) == [(0, 10), (1, 6), (2, 1)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_come_back_as_they_are(jobs: int, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot be read") as caught:
        list(run_each(load_arrays, [(tmp_path / "a",), (tmp_path / "b",)], jobs))
    assert caught.value.fix == FIX


def test_dead_workers_get_a_sentence() -> None:
    with pytest.raises(QgaitError, match="worker process died"):
        list(run_each(os._exit, [(3,), (3,)], 2))


def test_no_jobs_are_refused() -> None:
    with pytest.raises(QgaitError, match="0 jobs"):
        list(run_each(math.comb, [(5, 2)], 0))


WORKING = """
import os, sys, time
from pathlib import Path
from qgait.data.processes import run_each

def work(folder, seconds):
    Path(folder, str(os.getpid())).touch()
    time.sleep(seconds)

if __name__ == "__main__":
    for _ in run_each(work, [(sys.argv[1], 0.01), (sys.argv[1], 60), (sys.argv[1], 60)], 2):
        print("one is done", flush=True)
"""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_who_waits_for_them(number: signal.Signals, tmp_path: Path) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "workers"
    program.write_text(WORKING)
    folder.mkdir()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, str(program), str(folder)], start_new_session=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == b"one is done\n"
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    workers = [int(file.name) for file in folder.iterdir()]
    assert all(map(alive, workers))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        os.kill(process.pid, number)
    said = process.communicate(timeout=20)[1].decode()
    assert process.returncode == -number
    assert said.count("Traceback") == (1 if number == signal.SIGINT else 0), "of this program alone, no worker's"
    for _ in range(500):
        if not any(map(alive, workers)):
            break
        time.sleep(0.01)
    assert not any(map(alive, workers))
