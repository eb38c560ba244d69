"""Quantized training that is stopped, killed or diverges, and what goes on from it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from blob_walks import WALKS
from tiny_runs import QUANTIZED, model, stages

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.quantizers.grid import Recipe
from qgait.training import quantized_task
from qgait.training.quantized import MODEL, train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT
from qgait.training.settings import BatchSettings, Guidance, Schedule, Stages

SETTINGS = QUANTIZED
STAGES = QUANTIZED.stages
W4A4 = Recipe(4, 4)


COSINE = Schedule("cosine", lowest=1e-5, warmup=1, warmup_from=1e-6)
KINDS = {
    "plain": ("gaitbase", SETTINGS),
    "bfloat16, cosine, augmented": (
        "gaitset",
        dataclasses.replace(
            SETTINGS,
            stages=Stages(*(dataclasses.replace(s, schedule=COSINE) for s in (STAGES.first, STAGES.second))),
            precision="bfloat16",
            batch=BatchSettings(
                2,
                2,
                FrameSampling("unfixed", frames_min=1, frames_max=3),
                Augmentations(flip=0.5, rotate=0.5, erase=0.5),
            ),
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_with_the_same_losses_in_either_stage(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, settings = KINDS[kind]
    replace = Path.replace

    def keep(temporary: Path, target: Path) -> Path:
        moved = replace(temporary, target)
        if target.name == CHECKPOINT:
            shutil.copytree(target.parent, tmp_path / str(iterations_in(target)), dirs_exist_ok=True)
        return moved

    monkeypatch.setattr(Path, "replace", keep)
    whole = train_quantized(model(name), WALKS, W4A4, settings, tmp_path / "whole")
    monkeypatch.setattr(Path, "replace", replace)
    assert len(set(whole.losses)) == 5, "every batch is another"
    for iteration in (1, 3, 4):  # within stage 1, at the switch, within stage 2
        folder = tmp_path / str(iteration)
        assert not (folder / MODEL).exists() and iterations_in(folder / CHECKPOINT) == iteration
        resumed = train_quantized(model(name), WALKS, W4A4, settings, folder, resume=True)
        assert resumed.losses == whole.losses
        np.testing.assert_array_equal((resumed.before, resumed.after), (whole.before, whole.after))
        for key, value in whole.network.state_dict().items():
            assert torch.equal(resumed.network.state_dict()[key], value), key


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
import quick_calibration
from blob_walks import WALKS
from tiny_runs import QUANTIZED, model, stages
from qgait.quantizers.grid import Recipe
from qgait.training import quantized
quantized.calibrate = quick_calibration.calibrate
settings = replace(QUANTIZED, stages=stages((14, 7)))
quantized.train_quantized(model(), WALKS, Recipe(4, 4), settings, Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """``kill -9`` while a checkpoint is written at every iteration: what is in place is whole."""
    folder = tmp_path / "run"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        env=os.environ | {"PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and iterations_in(folder / CHECKPOINT) < 3:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = iterations_in(folder / CHECKPOINT)
    assert 3 <= done < 21
    settings = dataclasses.replace(SETTINGS, stages=stages((14, 7)), save_every=60)
    assert not (folder / MODEL).exists()
    resumed = train_quantized(model(), WALKS, W4A4, settings, folder, resume=True)
    whole = train_quantized(model(), WALKS, W4A4, settings, tmp_path / "whole")
    assert resumed.losses == whole.losses


def iterations_in(path: Path) -> int:
    return len(torch.load(path, weights_only=True)["quantized"]["losses"]) if path.exists() else 0


def test_divergence_stops_with_the_iteration_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = quantized_task.embedding_error, []

    def diverging(*embeddings: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(*embeddings) * (1 if len(calls) == 1 else torch.inf)

    monkeypatch.setattr(quantized_task, "embedding_error", diverging)
    with pytest.raises(QgaitError, match=r"The loss is inf at iteration 2 \(stage 1\)") as caught:
        train_quantized(model("gaitset"), WALKS, W4A4, dataclasses.replace(SETTINGS, save_every=1), tmp_path)
    assert iterations_in(tmp_path / CHECKPOINT) == 1 and "still holds iteration 1" in caught.value.fix
    assert not (tmp_path / MODEL).exists()


def test_a_nan_gradient_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = quantized_task.inter_class_distance_loss, []

    def poisoned(student: torch.Tensor, *rest: object, **switches: object) -> torch.Tensor:
        calls.append(1)
        loss = real(student, *rest, **switches)  # type: ignore[arg-type]
        if len(calls) == 4:
            student.register_hook(lambda gradient: gradient * torch.nan)
        return loss

    monkeypatch.setattr(quantized_task, "inter_class_distance_loss", poisoned)
    settings = dataclasses.replace(SETTINGS, save_every=3)
    with pytest.raises(QgaitError, match=r"gradient is not finite at iteration 4 \(stage 2\)") as caught:
        train_quantized(model("gaitset"), WALKS, W4A4, settings, tmp_path)
    assert "still holds iteration 3" in caught.value.fix
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]
    assert all(torch.isfinite(value).all() for value in kept.values())


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot be read: there is no such file"):
        train_quantized(model(), WALKS, W4A4, SETTINGS, tmp_path, resume=True)
    short = dataclasses.replace(SETTINGS, stages=stages((1, 0)))
    train_quantized(model(), WALKS, W4A4, short, tmp_path)
    with pytest.raises(QgaitError, match="already is a run"):
        train_quantized(model(), WALKS, W4A4, short, tmp_path)
    with pytest.raises(QgaitError, match="is at w4a4, not at w8a8"):
        train_quantized(model(), WALKS, Recipe(8, 8), short, tmp_path, resume=True)
    with pytest.raises(QgaitError, match="another float network"):
        train_quantized(model(seed=1), WALKS, W4A4, short, tmp_path, resume=True)
    with pytest.raises(QgaitError, match=r"begun with guidance.weight 1.0"):
        other = dataclasses.replace(short, guidance=Guidance(3.0))
        train_quantized(model(), WALKS, W4A4, other, tmp_path, resume=True)
    torch.save({"model": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(QgaitError, match="not written by quantized training"):
        train_quantized(model(), WALKS, W4A4, short, tmp_path, resume=True)


def test_a_classifier_for_other_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="has 3 classes; the data have 2 people"):
        train_quantized(model(), WALKS[:6], W4A4, dataclasses.replace(SETTINGS, labels=1.0), tmp_path)
