"""Which network of a run is kept: the nearest to the float one on walks that no batch shows."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from blob_walks import WALKS
from small_networks import backbone, network
from stopped_runs import stop_after
from tiny_runs import QUANTIZED, model, rows, stages

from qgait.models.backbone import describe
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training import validation
from qgait.training.batches import Batches
from qgait.training.quantized import MODEL, train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT
from qgait.training.validation import Best, Kept, Walks, clips_of, hold_out

W4A4 = Recipe(4, 4)
SETTINGS = dataclasses.replace(QUANTIZED, validation_clips=6)


def test_walks_are_held_out_of_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    begin = Batches.__init__

    def watching(self: Batches, sequences: list[object], *rest: object) -> None:
        seen.extend(sequences)
        begin(self, sequences, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Batches, "__init__", watching)
    train_quantized(model(), WALKS, W4A4, SETTINGS, tmp_path)
    shown, held = hold_out(WALKS, SETTINGS.validation_clips)
    assert seen == list(shown) and len(held) == 2 and not set(map(id, shown)) & set(map(id, held))


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (1, 0), (2, 2), (48, 2)])
def test_of_few_walks_few_are_held_out(count: int, wanted: int) -> None:
    shown, held = hold_out(WALKS, count)
    assert (len(shown), len(held)) == (len(WALKS) - wanted, wanted)
    assert [*hold_out(WALKS[:7], 48)[1]] == []


def test_nobody_loses_the_last_walk() -> None:
    """Of three people two have one walk each."""
    few = [WALKS[0], WALKS[3], *[WALKS[6], WALKS[7], WALKS[8]] * 4]
    shown, held = hold_out(few, 48)
    assert len(held) == 3 and {walk.subject for walk in held} == {WALKS[6].subject}
    assert {walk.subject for walk in shown} == {walk.subject for walk in few}
    assert not hold_out([WALKS[0], WALKS[3], WALKS[6]] * 1, 48)[1]


def test_the_error_is_zero_for_the_same_embeddings_and_one_for_the_same_of_everybody() -> None:
    net = network("gaitset", "w8a8")
    walks = Walks.of(describe(backbone("gaitset").eval()), clips_of(WALKS, None), "cpu")
    assert 0 < walks.error(net) < 0.1
    mean = walks.wanted.mean(0).expand_as(walks.wanted)
    ours = validation.embedding_error(mean, walks.wanted, walks.spread)
    assert ours.item() == pytest.approx(1, rel=1e-4)
    assert validation.embedding_error(walks.wanted, walks.wanted, walks.spread) == 0


class Scripted(Walks):
    """Errors from a list."""

    errors: list[float]

    def error(self, network: object) -> float:
        return self.errors.pop(0)


def scripted(errors: list[float]) -> tuple[Best, torch.nn.Linear]:
    walks = Scripted(torch.empty(0), torch.empty(0))
    object.__setattr__(walks, "errors", errors)
    net = torch.nn.Linear(1, 1)
    return Best(walks, net), net  # type: ignore[arg-type]


def number(net: torch.nn.Linear, value: float | None = None) -> float:
    if value is not None:
        torch.nn.init.constant_(net.bias, value)
    return net.bias.item()


def test_the_best_is_put_back_whenever_it_was() -> None:
    best, net = scripted([0.5, 0.4, 0.2, 0.3])
    number(net, 0)
    best.begin()
    for iteration, share in ((1, 0.2), (2, 0.21), (3, 0.5), (4, 1.0)):
        number(net, iteration)
        best.look(iteration, share)
    assert best.kept == Kept(0.5, 0.3, 0.2, 3)
    best.put_back()
    assert number(net) == 3


def test_a_training_that_only_harms_gives_back_what_it_was_given() -> None:
    best, net = scripted([0.5, 0.6, 0.7])
    number(net, 0)
    best.begin()
    for iteration in (1, 2):
        number(net, iteration)
        best.look(iteration, iteration / 2)
    best.put_back()
    assert number(net) == 0 and best.kept == Kept(0.5, 0.7, 0.5, 0)


def test_it_is_measured_twenty_times_and_at_the_end() -> None:
    best, _ = scripted([1.0] * 100)
    best.begin()
    looks = [i for i in range(1, 101) if best.look(i, i / 100) is not None]
    assert looks == [*range(5, 101, 5)]
    best, _ = scripted([1.0] * 100)
    best.begin()
    assert [best.look(i, i / 3) for i in (1, 2, 3)] == [1.0] * 3


def assert_in_file(path: Path, network: SimulatedNetwork) -> None:
    """The run's file has this network's integers, steps and biases."""
    tensors = torch.load(path, weights_only=True)["model"]
    found = copy.deepcopy(network)
    found.load_state_dict({name: tensors[f"network.{name}"] for name in found.state_dict()})
    for layer in network.layers:
        if layer.weight is not None:
            assert torch.equal(found.weight_integers(layer), network.weight_integers(layer)), layer.name
            assert torch.equal(found.bias_integers(layer), network.bias_integers(layer)), layer.name
            assert torch.equal(found.multiplier(layer), network.multiplier(layer)), layer.name


def test_a_rate_that_wrecks_the_network_costs_nothing(tmp_path: Path) -> None:
    """Every number moves by half of itself in each iteration, and the file holds what calibration gave."""
    settings = dataclasses.replace(SETTINGS, stages=stages((4, 0), (0.5, 0.5)))
    result = train_quantized(model("gaitset"), WALKS, W4A4, settings, tmp_path / "a")
    assert result.kept is not None
    assert result.kept.iteration == 0 and result.kept.end > result.kept.start == result.kept.error
    assert result.after == result.before
    stop_after(0, "gaitset", tmp_path / "b", settings)
    kept = model_file.load(tmp_path / "a" / MODEL)
    assert_in_file(tmp_path / "b" / CHECKPOINT, kept)
    assert not kept.trained
    assert [bool(row["validation"]) for row in rows(tmp_path / "a")] == [True] * 4


def test_with_nothing_held_out_the_last_network_is_given(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, validation_clips=0, stages=stages((2, 0), (0.5, 0.5)))
    result = train_quantized(model("gaitset"), WALKS, W4A4, settings, tmp_path)
    assert result.kept is None and result.network.trained
    assert_in_file(tmp_path / CHECKPOINT, result.network)
