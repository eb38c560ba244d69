"""What float and quantized runs share: their log, evaluation, and how they stop."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from blob_walks import WALKS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import FLOAT, model, rows
from torch import nn

from qgait.data.opengait import Sequence
from qgait.errors import QgaitError
from qgait.losses.objective import Losses, Triplet
from qgait.models import checkpoint
from qgait.training.evaluation import Evaluation
from qgait.training.loop import train
from qgait.training.run_log import RunLog

TIMED = "samples_per_second"


def timeless(folder: Path) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name != TIMED} for row in rows(folder)]


def figures(network: nn.Module) -> dict[str, float]:
    """Something that depends on the weights."""
    assert not network.training
    return {"rank1 nm": sum(float(p.detach().double().sum()) for p in network.parameters())}


def test_every_iteration_has_a_row_of_its_losses(tmp_path: Path) -> None:
    losses = train(model(), WALKS, FLOAT, tmp_path)
    found = rows(tmp_path)
    assert [int(row["iteration"]) for row in found] == [1, 2, 3, 4, 5, 6]
    assert [float(row["loss"]) for row in found] == losses
    for row in found:
        assert float(row["loss"]) == float(row["triplet"]) + float(row["cross_entropy"])
        assert 0 <= float(row["active"]) <= 1
        assert float(row["gradient_norm"]) > 0 and float(row[TIMED]) > 0
    assert [float(row["learning_rate"]) for row in found] == pytest.approx([0.05] * 3 + [0.005] * 3)


def test_tensorboard_shows_the_same(tmp_path: Path) -> None:
    settings = dataclasses.replace(FLOAT, iterations=20)
    losses = train(model("gaitset"), WALKS, settings, tmp_path, evaluate=figures)
    events = EventAccumulator(str(tmp_path)).Reload()
    shown = {event.step: event.value for event in events.Scalars("loss")}
    assert shown == pytest.approx({10: losses[9], 20: losses[19]})
    assert [event.step for event in events.Scalars("test/rank1/nm")] == [20]


def test_a_stopped_run_has_the_log_of_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while it evaluates, which saves what a checkpoint does not have yet."""
    settings = dataclasses.replace(FLOAT, iterations=7, save_every=3, evaluate_every=2)
    train(model(), WALKS, settings, tmp_path / "whole", evaluate=figures)
    expected = timeless(tmp_path / "whole")
    assert [bool(row["test rank1 nm"]) for row in expected] == [False, True, False, True, False, True, True]

    for stop in (1, 2, 3):  # at iterations 2, 4 and 6; 3 and 6 have had checkpoints, none is evaluated yet
        folder, calls = tmp_path / str(stop), []

        def interrupt(network: nn.Module, stop: int = stop, calls: list[int] = calls) -> dict[str, float]:
            calls.append(1)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return figures(network)

        with pytest.raises(KeyboardInterrupt):
            train(model(), WALKS, settings, folder, evaluate=interrupt)
        assert saved(folder) == 2 * stop
        train(model(), WALKS, settings, folder, evaluate=figures, resume=True)
        assert timeless(folder) == expected


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    losses = train(model(), WALKS, FLOAT, tmp_path, evaluate=figures)
    before = (tmp_path / "log.csv").read_bytes()
    assert train(model(), WALKS, FLOAT, tmp_path, evaluate=pytest.fail, resume=True) == losses
    assert (tmp_path / "log.csv").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.write_bytes(b"\xff" * 100),
        lambda log: log.write_bytes(log.read_bytes().replace(b"loss", b"\xff", 1)),
        lambda log: log.write_bytes(b"x" * 1_000_000),
        lambda log: log.write_bytes(
            b"".join(line.split(b",")[0] + b",a,b\n" for line in log.read_bytes().splitlines())
        ),
        lambda log: (log.unlink(), os.mkfifo(log)),
        lambda log: (log.unlink(), log.symlink_to("/dev/zero")),
    ],
    ids=["bytes", "names", "one line", "words", "pipe", "device"],
)
def test_a_log_that_is_another_file_is_refused(change: Callable[[Path], object], tmp_path: Path) -> None:
    train(model(), WALKS, FLOAT, tmp_path)
    change(tmp_path / "log.csv")
    with pytest.raises(QgaitError, match=r"no row of iteration|it is a pipe|it is a device"):
        train(model(), WALKS, FLOAT, tmp_path, resume=True)


def test_a_log_that_lacks_iterations_is_refused(tmp_path: Path) -> None:
    train(model(), WALKS, FLOAT, tmp_path)
    log = tmp_path / "log.csv"
    content = log.read_bytes()
    log.write_bytes(content[:-5])  # the end of the last row is missing
    with pytest.raises(QgaitError, match=r"no row of iteration 6; the checkpoint is at 6"):
        train(model(), WALKS, FLOAT, tmp_path, resume=True)
    log.unlink()
    with pytest.raises(QgaitError, match=r"There is no .*log.csv, which belongs to the run"):
        train(model(), WALKS, FLOAT, tmp_path, resume=True)


KILLED = """
import sys
from dataclasses import replace
from blob_walks import WALKS
from tiny_runs import FLOAT, model
from qgait.training.loop import train
train(model(), WALKS, replace(FLOAT, iterations=400, save_every=3), sys.argv[1])
"""


def test_a_killed_run_has_the_log_of_one_that_was_not(tmp_path: Path) -> None:
    """``kill -9`` somewhere between checkpoints, of a new run and of one that goes on."""
    folder, done = tmp_path / "run", 0
    script = KILLED
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and saved(folder) < done + 4:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        script = KILLED.replace("sys.argv[1])", "sys.argv[1], resume=True)")
        before, done = done, saved(folder)
        assert before < done < 400
    settings = dataclasses.replace(FLOAT, iterations=done + 2, save_every=3)
    resumed = train(model(), WALKS, settings, folder, resume=True)
    assert resumed == train(model(), WALKS, settings, tmp_path / "whole")
    assert timeless(folder) == timeless(tmp_path / "whole")


def saved(folder: Path) -> int:
    path = folder / "checkpoint.pt"
    return int(torch.load(path, weights_only=True)["iteration"]) if path.exists() else 0


def test_divergence_stops_with_the_iteration_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    wild = dataclasses.replace(FLOAT, optimizer=dataclasses.replace(FLOAT.optimizer, learning_rate=1e3))
    wild = dataclasses.replace(wild, losses=Losses(Triplet(weight=1e6)))
    with pytest.raises(QgaitError, match=r"not finite|loss is (nan|inf)") as caught:
        train(model("gaitset"), WALKS, dataclasses.replace(wild, save_every=1), tmp_path / "a")
    assert f"at iteration {saved(tmp_path / 'a') + 1}." in caught.value.problem
    assert f"still holds iteration {saved(tmp_path / 'a')}" in caught.value.fix
    assert len(rows(tmp_path / "a")) == saved(tmp_path / "a")
    with pytest.raises(QgaitError) as caught:
        train(model("gaitset"), WALKS, dataclasses.replace(wild, save_every=100), tmp_path / "b")
    assert "nothing has been saved yet" in caught.value.fix
    assert not (tmp_path / "b" / "checkpoint.pt").exists()


def test_a_nan_changes_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Losses.terms, []

    def poisoned(self: Losses, *rest: Any) -> Any:
        calls.append(1)
        terms, active = real(self, *rest)
        return ({"triplet": terms["triplet"] * torch.nan} if len(calls) == 4 else terms), active

    monkeypatch.setattr(Losses, "terms", poisoned)
    network = model("gaitset")
    with pytest.raises(QgaitError, match=r"The loss is nan at iteration 4\.") as caught:
        train(network, WALKS, dataclasses.replace(FLOAT, save_every=3), tmp_path)
    assert "still holds iteration 3" in caught.value.fix
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    for key, value in network.state_dict().items():
        assert torch.equal(value, kept[key]), key


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = checkpoint.replace_file, []

    def full(path: Path, content: memoryview) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(checkpoint, "replace_file", full)
    with pytest.raises(QgaitError, match=r"checkpoint.pt cannot be written: No space left") as caught:
        train(model(), WALKS, FLOAT, tmp_path)
    assert "free some space" in caught.value.fix
    assert saved(tmp_path) == 2
    monkeypatch.undo()
    assert train(model(), WALKS, FLOAT, tmp_path, resume=True) == train(model(), WALKS, FLOAT, tmp_path / "whole")


def test_a_full_disk_is_said_of_the_log(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    log._file.close()
    log._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115 - a device that is always full
    log._columns = ["iteration", "loss"]
    with pytest.raises(QgaitError, match=r"log.csv cannot be written: No space left"):
        log.write({"iteration": 1, "loss": 0.5})


def test_progress_is_said_at_every_checkpoint_and_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = dataclasses.replace(FLOAT, evaluate_every=3)
    losses = train(model(), WALKS, settings, tmp_path, evaluate=lambda _: {"rank1 nm": 12.3456})
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("iteration")]
    assert [line.split(":")[0] for line in said] == [f"iteration {i}" for i in (2, 3, 4, 6)]
    assert f"mean loss {sum(losses[4:]) / 2:.4f}" in said[3] and "of triplets active, rank1 nm 12.35" in said[3]
    assert "rank1" in said[1] and "rank1" not in said[2]


def test_evaluation_is_by_a_protocol(tmp_path: Path) -> None:
    """Three people who walk alike in gallery and probe are all recognised, float and quantized."""
    kinds = ("nm-01", "nm-05", "bg-01")
    walks = [dataclasses.replace(walk, type=kind) for walk in WALKS for kind in kinds]
    found = Evaluation(walks, "casia-b", frames=2)(model("gaitset"))
    assert set(found) == {"rank1 nm", "rank1 bg"}
    assert found["rank1 nm"] == found["rank1 bg"] > 50
    with pytest.raises(QgaitError, match="There is no protocol 'casia'"):
        Evaluation(walks, "casia")


class Empty(Sequence):
    """A walk whose file holds no frames."""

    def load(self, wide: bool = False) -> Any:
        from qgait.data.silhouettes import check_clip

        return check_clip(torch.zeros((0, 64, 64), dtype=torch.uint8).numpy(), "empty.pkl")


def test_empty_clips_are_named(tmp_path: Path) -> None:
    walks = [Empty(walk.subject, walk.type, walk.view, walk.path) for walk in WALKS]
    with pytest.raises(QgaitError, match=r"empty\.pkl"):
        train(model(), walks, FLOAT, tmp_path)


def test_people_with_too_few_sequences_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch = dataclasses.replace(FLOAT.batch, clips=4)
    train(model(), WALKS, dataclasses.replace(FLOAT, iterations=1, batch=batch), tmp_path)
    assert "3 of 3 people have fewer than 4 sequences" in capsys.readouterr().err


def test_float16_skips_steps_until_its_scale_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, where only tests let it run."""
    monkeypatch.setattr(
        "qgait.training.runner.gradient_scaler", lambda *_: torch.amp.GradScaler("cpu", 2.0**40, enabled=True)
    )
    settings = dataclasses.replace(FLOAT, iterations=40, precision="float16", losses=Losses(Triplet(1.0)))
    network = model("gaitset")
    losses = train(network, WALKS, settings, tmp_path)
    norms = [float(row["gradient_norm"]) for row in rows(tmp_path)]
    skipped = [norm for norm in norms if not norm < float("inf")]
    assert losses and 10 < len(skipped) < 30
    scaler = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["training"]["scaler"]
    assert scaler["scale"] == 2.0 ** (40 - len(skipped))
