"""Quantized training from start to model file: it learns, resumes, stops on NaN, and its model is exact."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import small_networks
import torch
from blob_walks import WALKS
from float_models import small_model
from parity import assert_codes_equal

from qgait.errors import QgaitError
from qgait.export.folding import fold
from qgait.models.backbone import Backbone
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.runtime import reference
from qgait.runtime.embedders import open_embedder
from qgait.training import quantized
from qgait.training.quantized import MODEL, train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT, Run
from qgait.training.stages import QuantizedSettings

SETTINGS = QuantizedSettings(
    iterations=(3, 2), learning_rates=(1e-3, 1e-4), people=2, clips=2, frames=2, calibration_clips=9, save_every=1
)
W4A4 = Recipe(4, 4)


def model(name: str = "gaitbase", seed: int = 0) -> Backbone:
    return small_model(name, seed, **({"classes": 3} if name == "gaitbase" else {}))


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_a_stopped_run_goes_on_with_the_same_losses_in_either_stage(name: str, tmp_path: Path) -> None:
    whole = train_quantized(model(name), WALKS, W4A4, SETTINGS, tmp_path / "whole")
    assert len(set(whole.losses)) == 5, "every batch is another"
    for iteration in (1, 3, 4):  # within stage 1, at the switch, within stage 2
        folder = tmp_path / str(iteration)
        stop_after(iteration, name, folder)
        resumed = train_quantized(model(name), WALKS, W4A4, SETTINGS, folder, resume=True)
        assert resumed.losses == whole.losses
        np.testing.assert_array_equal((resumed.before, resumed.after), (whole.before, whole.after))
        for key, value in whole.network.state_dict().items():
            assert torch.equal(resumed.network.state_dict()[key], value), key


class StopError(Exception):
    pass


def stop_after(iteration: int, name: str, folder: Path) -> None:
    """Breaks off just before an iteration after the one whose checkpoint is wanted."""
    step, calls = quantized._step, []

    def counting(*arguments: object) -> float:
        calls.append(1)
        if len(calls) == iteration + 1:
            raise StopError
        return step(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantized, "_step", counting)
        with pytest.raises(StopError):
            train_quantized(model(name), WALKS, W4A4, SETTINGS, folder)
    assert not (folder / MODEL).exists()


KILLED = """
import sys
from pathlib import Path
from blob_walks import WALKS
from float_models import small_model
from qgait.quantizers.grid import Recipe
from qgait.training.quantized import train_quantized
from qgait.training.stages import QuantizedSettings
settings = QuantizedSettings(iterations=(40, 20), learning_rates=(1e-3, 1e-4), people=2, clips=2, frames=2,
                             calibration_clips=9, save_every=1)
train_quantized(small_model("gaitbase", 0, classes=3), WALKS, Recipe(4, 4), settings, Path(sys.argv[1]))
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
    assert 3 <= done < 60
    settings = dataclasses.replace(SETTINGS, iterations=(40, 20), save_every=60)
    assert not (folder / MODEL).exists()
    resumed = train_quantized(model(), WALKS, W4A4, settings, folder, resume=True)
    whole = train_quantized(model(), WALKS, W4A4, settings, tmp_path / "whole")
    assert resumed.losses == whole.losses


def iterations_in(path: Path) -> int:
    return len(torch.load(path, weights_only=True)["quantized"]["losses"]) if path.exists() else 0


@pytest.mark.parametrize(("name", "bits"), [("gaitset", "w4a4"), ("gaitbase", "w3a3"), ("gaitset", "w8a8")])
def test_the_trained_model_equals_the_integer_reference_in_every_code(name: str, bits: str, tmp_path: Path) -> None:
    recipe = Recipe.parse(bits)
    result = train_quantized(model(name), WALKS, recipe, SETTINGS, tmp_path)
    net = model_file.load(tmp_path / MODEL)
    assert net.trained and str(net.recipe) == bits
    for layer in net.layers:  # what reports compare the codes with: these weights and biases, not rounded
        if layer.weight is not None:
            torch.testing.assert_close(layer.bias, net.biases[layer.name].detach(), rtol=0, atol=0)
    graph = fold(net)
    for walk in WALKS[::4]:
        expected = reference.trace(graph, walk.load())
        for tensor, codes in net.trace(walk.load()).items():
            np.testing.assert_array_equal(codes, expected[tensor].reshape(codes.shape), err_msg=tensor)
        embedding = result.network.embed(walk.load(), torch.float64)
        assert_codes_equal(embedding, expected[graph.output].reshape(embedding.shape))
    start = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert start["quantized"]["bits"] == bits


def test_weights_biases_and_steps_all_move(tmp_path: Path) -> None:
    train_quantized(model("gaitset"), WALKS, W4A4, dataclasses.replace(SETTINGS, save_every=100), tmp_path / "a")
    stop_after(0, "gaitset", tmp_path / "b")
    first, last = (torch.load(tmp_path / f / CHECKPOINT, weights_only=True)["model"] for f in "ba")
    for key, value in first.items():
        assert not torch.equal(value, last[key]), key


def test_the_float_network_is_left_as_it_was(tmp_path: Path) -> None:
    teacher, untouched = model(), model().state_dict()
    train_quantized(teacher, WALKS, W4A4, SETTINGS, tmp_path)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, untouched[key]), key
    assert not teacher.training


LEARN = dataclasses.replace(SETTINGS, iterations=(24, 6), people=3, save_every=30)


def test_the_loss_falls_and_the_classifier_is_trained_along(tmp_path: Path) -> None:
    losses = train_quantized(model(), WALKS, W4A4, LEARN, tmp_path).losses
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    trained = torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]
    assert not torch.equal(trained["head.fc_bin"], model().BNNecks.fc_bin)
    assert not any("BNNecks" in key or "head" in key for key in model_file.load(tmp_path / MODEL).state_dict())


def test_guidance_brings_distances_closer_to_the_float_networks(tmp_path: Path) -> None:
    """At two bits calibration alone distorts them."""
    results = [
        train_quantized(
            small_networks.backbone("gaitset"),
            WALKS,
            Recipe(2, 2),
            dataclasses.replace(LEARN, guidance=guidance),
            tmp_path / str(guidance),
        )
        for guidance in (1.0, 0.0)
    ]
    assert results[0].before == results[1].before
    assert results[0].after[0] > results[0].before[0] + 0.05
    assert results[0].after[0] > results[1].after[0] + 0.05


def test_the_second_stage_starts_without_momentum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, states = quantized._step, []

    def watching(run: Run, *rest: object) -> float:
        states.append(len(run.optimizer.state) > 0)
        return step(run, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(quantized, "_step", watching)
    train_quantized(model(), WALKS, W4A4, SETTINGS, tmp_path)
    assert states == [False, True, True, False, True]


def weights_after(folder: Path, rate: float) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What is trained, before and after one iteration."""
    stop_after(0, "gaitbase", folder / "start")
    settings = dataclasses.replace(SETTINGS, iterations=(1, 0), learning_rates=(rate, rate))
    train_quantized(model(), WALKS, W4A4, settings, folder / "end")
    first, last = (torch.load(folder / f / CHECKPOINT, weights_only=True)["model"] for f in ("start", "end"))
    return first, last


def test_steps_move_by_their_scaled_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, scale = "weight_steps.layer2_conv1", 1 / (4 * 9 * 7) ** 0.5  # 4 channels in, 3 x 3, levels up to 7
    first, scaled = weights_after(tmp_path / "a", 1e-3)
    monkeypatch.setattr(quantized, "scale_gradients", lambda network, scales: None)
    _, plain = weights_after(tmp_path / "b", 1e-3)
    moved = [(w[f"network.{key}"] - first[f"network.{key}"]).double().norm() for w in (scaled, plain)]
    assert moved[0] > 0
    assert (moved[0] / moved[1]).item() == pytest.approx(scale, rel=0.01)


def test_no_learning_rate_makes_a_step_negative(tmp_path: Path) -> None:
    first, last = weights_after(tmp_path, 100.0)
    steps = [key for key in first if "steps." in key]
    assert all((last[key] >= first[key] / 2).all() for key in steps)
    assert any((last[key] == first[key] / 2).any() for key in steps)


@pytest.mark.parametrize("kind", ["soft", "sine", "dsq", "ewgs", "pact"])
def test_every_rival_trains_to_other_weights_than_straight_through(kind: str, tmp_path: Path) -> None:
    networks = []
    for name in ("straight", kind):
        settings = dataclasses.replace(SETTINGS, iterations=(2, 1), surrogates=(name, name))
        result = train_quantized(model("gaitbase"), WALKS, W4A4, settings, tmp_path / name)
        assert np.isfinite(result.losses).all()
        networks.append(result.network.state_dict())
    moved = "steps.layer2_conv1" if kind == "pact" else "weights.layer2_conv1"
    assert not torch.equal(networks[0][moved], networks[1][moved])


def test_divergence_stops_with_the_iteration_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    wild = dataclasses.replace(SETTINGS, learning_rates=(1e30, 1.0), save_every=1)
    with pytest.raises(QgaitError, match=r"not finite|loss is (nan|inf)") as caught:
        train_quantized(model("gaitset"), WALKS, W4A4, wild, tmp_path)
    assert "at iteration" in caught.value.problem
    done = iterations_in(tmp_path / CHECKPOINT)
    assert f"still holds iteration {done}" in caught.value.fix
    assert not (tmp_path / MODEL).exists()


def test_a_nan_gradient_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = quantized.inter_class_distance_loss, []

    def poisoned(student: torch.Tensor, *rest: object, **switches: object) -> torch.Tensor:
        calls.append(1)
        loss = real(student, *rest, **switches)  # type: ignore[arg-type]
        if len(calls) == 4:
            student.register_hook(lambda gradient: gradient * torch.nan)
        return loss

    monkeypatch.setattr(quantized, "inter_class_distance_loss", poisoned)
    settings = dataclasses.replace(SETTINGS, save_every=3)
    with pytest.raises(QgaitError, match=r"gradient is not finite at iteration 4 \(stage 2\)") as caught:
        train_quantized(model("gaitset"), WALKS, W4A4, settings, tmp_path)
    assert "still holds iteration 3" in caught.value.fix
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]
    assert all(torch.isfinite(value).all() for value in kept.values())


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="There is no checkpoint"):
        train_quantized(model(), WALKS, W4A4, SETTINGS, tmp_path, resume=True)
    short = dataclasses.replace(SETTINGS, iterations=(1, 0))
    train_quantized(model(), WALKS, W4A4, short, tmp_path)
    with pytest.raises(QgaitError, match="already is a run"):
        train_quantized(model(), WALKS, W4A4, short, tmp_path)
    with pytest.raises(QgaitError, match="is at w4a4, not at w8a8"):
        train_quantized(model(), WALKS, Recipe(8, 8), short, tmp_path, resume=True)
    with pytest.raises(QgaitError, match="another float network"):
        train_quantized(model(seed=1), WALKS, W4A4, short, tmp_path, resume=True)
    with pytest.raises(QgaitError, match=r"begun with guidance 1.0"):
        other = dataclasses.replace(short, guidance=3.0)
        train_quantized(model(), WALKS, W4A4, other, tmp_path, resume=True)
    torch.save({"model": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(QgaitError, match="not written by quantized training"):
        train_quantized(model(), WALKS, W4A4, short, tmp_path, resume=True)


def test_a_classifier_for_other_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="has 3 classes; the data have 2 people"):
        train_quantized(model(), WALKS[:6], W4A4, SETTINGS, tmp_path)


def test_a_trained_model_has_no_float_level_but_fake_and_int_agree(tmp_path: Path) -> None:
    train_quantized(model("gaitset"), WALKS, W4A4, dataclasses.replace(SETTINGS, iterations=(1, 1)), tmp_path)
    clips = [walk.load() for walk in WALKS[:2]]
    with ExitStack() as stack:
        with pytest.raises(QgaitError, match=r"was trained at w4a4.*give the float checkpoint"):
            open_embedder(tmp_path / MODEL, "float", None, stack)
        fake = open_embedder(tmp_path / MODEL, "fake", None, stack).codes_many(clips)
        integer = open_embedder(tmp_path / MODEL, "int", "reference", stack).codes_many(clips)
    assert fake is not None and integer is not None
    assert np.count_nonzero(fake != integer) <= fake.size / 1000
