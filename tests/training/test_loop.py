from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from blob_walks import WALKS as SEQUENCES
from float_models import small_model

from qgait.errors import QgaitError
from qgait.losses.triplet import triplet_loss
from qgait.models.backbone import Backbone
from qgait.models.checkpoint import load
from qgait.models.embedding import embed_clip
from qgait.training.loop import Settings, train

SETTINGS = Settings(
    iterations=6, people=2, clips=2, frames=2, learning_rate=0.05, milestones=(3,), save_every=2, weight_decay=0.0
)


def model(name: str = "gaitbase") -> Backbone:
    return small_model(name, **({"classes": 3} if name == "gaitbase" else {}))


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_stopped_run_goes_on_with_the_same_losses(name: str, optimizer: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    whole = model(name)
    losses = train(whole, SEQUENCES, settings, tmp_path / "whole")
    assert len(set(losses)) == 6, "every batch is another"

    stopped = train(model(name), SEQUENCES, dataclasses.replace(settings, iterations=4), tmp_path / "parts")
    assert stopped == losses[:4]
    resumed = model(name)
    assert train(resumed, SEQUENCES, settings, tmp_path / "parts", resume=True) == losses
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_ctrl_c_loses_no_more_than_since_the_last_checkpoint(tmp_path: Path) -> None:
    losses = train(model(), SEQUENCES, SETTINGS, tmp_path / "whole")
    calls = []

    def interrupt(_: Backbone) -> str:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        train(model(), SEQUENCES, SETTINGS, tmp_path / "parts", evaluate=interrupt)
    assert train(model(), SEQUENCES, SETTINGS, tmp_path / "parts", resume=True) == losses


LEARN = dataclasses.replace(
    SETTINGS, iterations=30, people=3, learning_rate=3e-3, optimizer="adam", milestones=(), save_every=30
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


def test_evaluation_sees_the_model_in_eval_mode_and_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modes = []

    def evaluate(m: Backbone) -> str:
        modes.append(m.training)
        return f"rank-1 {len(modes)}"

    train(model(), SEQUENCES, SETTINGS, tmp_path, evaluate=evaluate)
    assert modes == [False, False, False]
    printed = capsys.readouterr().err
    for done in (1, 2, 3):
        assert f"iteration {2 * done}: mean loss" in printed
        assert f"rank-1 {done}" in printed


def test_the_learning_rate_falls_at_the_milestones(tmp_path: Path) -> None:
    train(model(), SEQUENCES, SETTINGS, tmp_path)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.005)


def test_a_run_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    train(model(), SEQUENCES, SETTINGS, tmp_path)
    with pytest.raises(QgaitError, match="already is a run"):
        train(model(), SEQUENCES, SETTINGS, tmp_path)


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="There is no checkpoint"):
        train(model(), SEQUENCES, SETTINGS, tmp_path, resume=True)
    torch.save({"model": model().state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(QgaitError, match="not written by this training loop"):
        train(model(), SEQUENCES, SETTINGS, tmp_path, resume=True)
    train(model(), SEQUENCES, SETTINGS, tmp_path / "run")
    with pytest.raises(QgaitError, match=r"begun with learning_rate 0.05, milestones \(3,\)"):
        other = dataclasses.replace(SETTINGS, learning_rate=0.1, milestones=())
        train(model(), SEQUENCES, other, tmp_path / "run", resume=True)
    with pytest.raises(QgaitError, match=r"lacks 'set_block1.forward_block.0.conv.weight'"):
        train(model("gaitset"), SEQUENCES, SETTINGS, tmp_path / "run", resume=True)


def test_a_classifier_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="has 3 classes; the data have 2 people"):
        train(model(), SEQUENCES[:6], SETTINGS, tmp_path)


def test_an_unknown_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="no optimizer called 'lion'"):
        train(model(), SEQUENCES, dataclasses.replace(SETTINGS, optimizer="lion"), tmp_path)


def test_divergence_is_said_and_not_saved(tmp_path: Path) -> None:
    wild = dataclasses.replace(SETTINGS, learning_rate=1e30, save_every=100, milestones=())
    with pytest.raises(QgaitError, match="loss is NaN after"):
        train(model("gaitset"), SEQUENCES, wild, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()
