"""Float training: it learns, its checkpoints are OpenGait's, and a stopped run goes on as if it had not been."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from blob_walks import WALKS as SEQUENCES
from tiny_runs import FLOAT as SETTINGS
from tiny_runs import model

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.losses.objective import Losses, Softmax, Triplet
from qgait.losses.triplet import triplet_loss
from qgait.models.backbone import Backbone
from qgait.models.checkpoint import load
from qgait.models.embedding import embed_clip
from qgait.training.loop import train
from qgait.training.settings import BatchSettings, OptimizerSettings, Schedule, Settings

UNFIXED = FrameSampling("unfixed", frames_min=1, frames_max=3)
KINDS: dict[str, tuple[str, Settings]] = {
    "sgd": ("gaitset", SETTINGS),
    "adam": (
        "gaitbase",
        dataclasses.replace(SETTINGS, optimizer=OptimizerSettings("adam", 0.01), schedule=Schedule(milestones=(0.5,))),
    ),
    "cosine": (
        "gaitbase",
        dataclasses.replace(SETTINGS, schedule=Schedule("cosine", lowest=1e-4, warmup=2, warmup_from=1e-6)),
    ),
    "augmented": (
        "gaitbase",
        dataclasses.replace(
            SETTINGS, batch=BatchSettings(2, 2, UNFIXED, Augmentations(flip=0.5, rotate=0.5, erase=0.5))
        ),
    ),
    "chance in the loss": (
        "gaitset",
        dataclasses.replace(SETTINGS, losses=Losses(Triplet(0.0), softmax=Softmax(1.0, filter_from=1))),
    ),
    "bfloat16": ("gaitset", dataclasses.replace(SETTINGS, precision="bfloat16")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_with_the_same_losses(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, settings = KINDS[kind]
    whole = model(name)
    losses = train(whole, SEQUENCES, settings, tmp_path / "whole")
    assert len(set(losses)) == 6, "every batch is another"

    stopped = model(name)
    replace_file, saves = Path.replace, []

    def keep(temporary: Path, target: Path) -> Path:
        moved = replace_file(temporary, target)
        if target.suffix == ".pt":
            saves.append(shutil.copytree(target.parent, tmp_path / f"stopped {len(saves)}"))
        return moved

    monkeypatch.setattr(Path, "replace", keep)
    assert train(stopped, SEQUENCES, settings, tmp_path / "again") == losses
    monkeypatch.undo()
    for folder in saves[:2]:  # after 2 and after 4 iterations
        resumed = model(name, seed=1)
        assert train(resumed, SEQUENCES, settings, folder, resume=True) == losses
        for key, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[key], value), key


LEARN = dataclasses.replace(
    SETTINGS,
    iterations=30,
    batch=dataclasses.replace(SETTINGS.batch, people=3),
    optimizer=OptimizerSettings("adam", 3e-3, weight_decay=0.0),
    schedule=Schedule(milestones=()),
    save_every=30,
)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_triplet_loss_moves_people_apart(precision: str, tmp_path: Path) -> None:
    trained = model("gaitset")
    before = active_share(trained)
    train(trained, SEQUENCES, dataclasses.replace(LEARN, precision=precision), tmp_path)
    assert before > 0.5
    assert active_share(trained) < 0.7 * before


def test_the_classifier_learns_who_is_who(tmp_path: Path) -> None:
    losses = train(model("gaitbase"), SEQUENCES, LEARN, tmp_path)
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def active_share(m: Backbone) -> float:
    """Share of triplets of whole clips that are not apart by the margin."""
    embeddings = torch.from_numpy(np.stack([embed_clip(m, s.load()) for s in SEQUENCES]))
    return triplet_loss(embeddings, torch.tensor([int(s.subject) for s in SEQUENCES]))[1].item()


def test_the_checkpoint_is_opengaits_and_loads_as_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = model()
    train(trained, SEQUENCES, SETTINGS, tmp_path)
    capsys.readouterr()
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert list(content) == ["model", "optimizer", "scheduler", "iteration", "training"]
    assert content["iteration"] == 6
    loaded = load(tmp_path / "checkpoint.pt")
    frames = torch.rand(1, 2, 64, 44)
    with torch.no_grad():
        torch.testing.assert_close(loaded(frames), trained(frames))
    assert "left out" in capsys.readouterr().err


def test_the_learning_rate_falls_at_the_milestones(tmp_path: Path) -> None:
    train(model(), SEQUENCES, SETTINGS, tmp_path)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.005)


def test_a_run_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    train(model(), SEQUENCES, SETTINGS, tmp_path)
    with pytest.raises(QgaitError, match="already is a run"):
        train(model(), SEQUENCES, SETTINGS, tmp_path)


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot be read: there is no such file"):
        train(model(), SEQUENCES, SETTINGS, tmp_path, resume=True)
    torch.save({"model": model().state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(QgaitError, match="not written by float training"):
        train(model(), SEQUENCES, SETTINGS, tmp_path, resume=True)
    train(model(), SEQUENCES, SETTINGS, tmp_path / "run")
    with pytest.raises(QgaitError, match=r"begun with optimizer.learning_rate 0.05, schedule.milestones \(3,\)\."):
        other = dataclasses.replace(
            SETTINGS, optimizer=OptimizerSettings(weight_decay=0.0), schedule=Schedule(milestones=())
        )
        train(model(), SEQUENCES, other, tmp_path / "run", resume=True)
    with pytest.raises(QgaitError, match=r"lacks 'set_block1.forward_block.0.conv.weight'"):
        train(model("gaitset"), SEQUENCES, SETTINGS, tmp_path / "run", resume=True)


def test_a_run_can_be_made_longer_where_its_learning_rates_stay(tmp_path: Path) -> None:
    longer = dataclasses.replace(SETTINGS, iterations=8, save_every=5, evaluate_every=5)
    losses = train(model(), SEQUENCES, SETTINGS, tmp_path / "a")
    assert train(model(), SEQUENCES, longer, tmp_path / "a", resume=True)[:6] == losses
    cosine = dataclasses.replace(SETTINGS, schedule=Schedule("cosine"))
    train(model(), SEQUENCES, cosine, tmp_path / "b")
    with pytest.raises(QgaitError, match="begun with iterations 6"):
        longer = dataclasses.replace(cosine, iterations=8)
        train(model(), SEQUENCES, longer, tmp_path / "b", resume=True)


def test_a_classifier_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="has 3 classes; the data have 2 people"):
        train(model(), SEQUENCES[:6], SETTINGS, tmp_path)


def test_float16_is_for_cuda(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="float16 trains on CUDA only, not on cpu"):
        train(model(), SEQUENCES, dataclasses.replace(SETTINGS, precision="float16"), tmp_path)


def test_losses_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="this network has no classifier"):
        train(model("gaitset"), SEQUENCES, dataclasses.replace(SETTINGS, losses=Losses(Triplet(0.0))), tmp_path)
