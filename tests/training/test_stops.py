"""Ctrl-C and SIGTERM in a run: what it has done is saved, and going on gives the losses of one never stopped."""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from blob_walks import WALKS
from float_models import small_model
from tiny_runs import FLOAT, QUANTIZED, model, rows, stages

from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.models import checkpoint
from qgait.quantizers.grid import Recipe
from qgait.training import runner
from qgait.training.loop import train
from qgait.training.quantized import train_quantized

RARELY = ["--set", "save_every=100000"]  # and the clock does not come to its two minutes: signals alone save
SMALL = ["--people", "2", "--clips", "2", "--frames", "2", "--learning-rate", "0.001", *RARELY]
NARROW = ["--set", "model.channels=4,6,8", "--set", "model.embedding=10"]
MAIN = """
import quick_calibration
from qgait.training import quantized
quantized.calibrate = quick_calibration.calibrate
from qgait.__main__ import main
main()
"""
SLOW = """
import time
from qgait.training.runner import Run
iterate = Run._iterate
def slowly(run, number):
    if number == 2:
        print("busy", flush=True)
        time.sleep(600)
    return iterate(run, number)
Run._iterate = slowly
from qgait.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "walkers"
    synthesize(folder, 3, 0, 6, conditions=("nm-01",), views=(36, 90))
    return folder


def started(*words: object, program: str = MAIN, **variables: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", program, "train", *map(str, words)],
        env=os.environ | {"PYTHONPATH": path} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(path: Path) -> list[float]:
    """Losses in a checkpoint."""
    if not path.exists():
        return []
    content = torch.load(path, weights_only=True)
    return content["quantized" if path.name == "quantized.pt" else "training"]["losses"].tolist()


def wait_for_rows(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not ((out / "log.csv").exists() and len(rows(out)) >= count):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.005)


@pytest.mark.parametrize("kind", ["float", "quantized"])
def test_a_stop_at_any_moment_loses_no_iteration(kind: str, walkers: Path, tmp_path: Path) -> None:
    new: list[object] = ["--data", walkers, *SMALL, "--iterations", 60]
    saved = "checkpoint.pt"
    if kind == "quantized":
        checkpoint.save(small_model("gaitset"), tmp_path / "float.pt")
        new, saved = [*new, "--init", tmp_path / "float.pt", "--bits", "w4a4"], "quantized.pt"
    else:
        new += NARROW
    whole = tmp_path / "whole"
    assert run(["train", *map(str, new), "--out", str(whole)]) == 0

    out, words, chance, done = tmp_path / "it stops", new, random.Random(kind), 0
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = started(*words, "--out", out)
        wait_for_rows(out, done + chance.randint(1, 12), process)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == code, said
        done = len(kept(out / saved))
        assert said.splitlines()[-1] == (
            f"Stopped. `qgait train --resume --out '{out}'` goes on from iteration {done}."
        )
        assert 0 < done < 60 and len(rows(out)) == done
        assert not [path.name for path in out.iterdir() if "partial" in path.name]
        words = ["--resume"]
    assert run(["train", "--resume", "--out", str(out)]) == 0
    assert kept(out / saved) == kept(whole / saved)
    assert len(kept(out / saved)) == 60


def test_a_second_signal_does_not_wait(walkers: Path, tmp_path: Path) -> None:
    words = ["--data", walkers, *SMALL, *NARROW, "--set", "save_every=1", "--iterations", 9, "--out", tmp_path / "run"]
    process = started(*words, program=SLOW)
    assert process.stdout is not None and process.stderr is not None
    while process.stdout.readline() != "busy\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    while "Stopping after this iteration" not in process.stderr.readline():
        assert process.poll() is None
    assert process.poll() is None, "the first one waits"
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert (process.wait(), said.splitlines()[-1]) == (
        130,
        f"Stopped. `qgait train --resume --out {tmp_path / 'run'}` goes on from iteration 2.",
    )
    assert len(kept(tmp_path / "run" / "checkpoint.pt")) == 2
    assert not [path for path in (tmp_path / "run").iterdir() if "partial" in path.name]


@pytest.mark.parametrize("to", [(0, 1), (1,)], ids=["both", "the other one"])
def test_processes_stop_after_the_same_iteration(to: tuple[int, ...], walkers: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    out = tmp_path / "run"
    words = ["--data", walkers, *SMALL, *NARROW, "--iterations", 1000, "--out", out]
    both = [started(*words, **shared, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in (0, 1)]
    wait_for_rows(out, 5, both[0])
    for rank in to:
        both[rank].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [143, 143], said
    done = len(kept(out / "checkpoint.pt"))
    assert f"goes on from iteration {done}." in said[0] and "Stopped" not in said[1] and done >= 5

    assert run(["train", "--resume", "--out", str(out), "--iterations", str(done + 2)]) == 0
    assert len(kept(out / "checkpoint.pt")) == done + 2


def test_the_clock_saves_between_two_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rarely = dataclasses.replace(FLOAT, save_every=100)
    monkeypatch.setattr(runner, "CLOCK", 0.0)
    expected = train(model(), WALKS, rarely, tmp_path / "a")
    assert re.findall(r"iteration (\d)", capsys.readouterr().err) == ["1", "2", "3", "4", "5", "6"]
    monkeypatch.setattr(runner, "CLOCK", 1e9)
    assert train(model(), WALKS, rarely, tmp_path / "b") == expected
    assert re.findall(r"iteration (\d)", capsys.readouterr().err) == ["6"]


def test_the_clock_begins_again_with_every_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An iteration takes a minute."""
    seconds = iter(range(0, 60_000, 60))
    monkeypatch.setattr(runner.time, "monotonic", lambda: float(next(seconds)))
    settings = dataclasses.replace(FLOAT, iterations=9, save_every=5)
    held = []
    save = runner.Run._save
    monkeypatch.setattr(runner.Run, "_save", lambda run: (held.append(len(run.losses)), save(run)))
    train(model(), WALKS, settings, tmp_path)
    assert held[-1] == 9 and 5 in held
    assert all(later - earlier <= 2 for earlier, later in zip([0, *held], held, strict=False))


@pytest.mark.parametrize("kind", ["float", "quantized"])
def test_a_library_call_is_stopped_like_a_command(kind: str, tmp_path: Path) -> None:
    """KeyboardInterrupt, from Python's own handler, in the middle of an iteration."""

    def go(folder: Path, **how: bool) -> list[float]:
        if kind == "float":
            return train(model(), WALKS, dataclasses.replace(FLOAT, iterations=12, save_every=100), folder, **how)
        settings = dataclasses.replace(QUANTIZED, stages=stages((6, 6)), save_every=100)
        return train_quantized(model(), WALKS, Recipe(4, 4), settings, folder, **how).losses

    expected = go(tmp_path / "whole")
    iterate = runner.Run._iterate

    def interrupted(run: runner.Run, number: int) -> object:
        if number == 7:
            signal.raise_signal(signal.SIGINT)
        return iterate(run, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.Run, "_iterate", interrupted)
        with pytest.raises(KeyboardInterrupt) as stop:
            go(tmp_path / "run")
    assert stop.value.args == (8,), "the iteration that was under way is whole"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert go(tmp_path / "run", resume=True) == expected


def test_in_another_thread_no_handler_is_touched(tmp_path: Path) -> None:
    losses: list[list[float]] = []
    thread = threading.Thread(target=lambda: losses.append(train(model(), WALKS, FLOAT, tmp_path)))
    thread.start()
    while thread.is_alive():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        time.sleep(0.01)
    assert len(losses[0]) == 6
