"""Quantized training from start to model file: it learns, and its model is exact."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import small_networks
import torch
from blob_walks import WALKS
from float_models import small_model
from parity import assert_codes_equal
from stopped_runs import stop_after
from tiny_runs import QUANTIZED, model, rows, stages

from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.export.folding import fold
from qgait.losses.objective import Losses, Triplet
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.runtime import reference
from qgait.training.evaluation import Evaluation
from qgait.training.quantized import MODEL, train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT
from qgait.training.settings import BatchSettings, Distillation, Guidance, SurrogateKind
from qgait.verification.embedders import open_embedder

SETTINGS = QUANTIZED
W4A4 = Recipe(4, 4)
RAGGED = BatchSettings(2, 2, FrameSampling("unfixed", frames_min=1, frames_max=3))


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
    for walk in WALKS[::8]:
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


def test_every_iteration_is_logged_and_evaluated_at_its_bits(tmp_path: Path) -> None:
    walks = [dataclasses.replace(walk, type=kind) for walk in WALKS for kind in ("nm-01", "nm-05")]
    settings = dataclasses.replace(
        SETTINGS,
        evaluate_every=2,
        first_last="same",
        precision="bfloat16",
        batch=RAGGED,
        losses=Losses(Triplet(2.0)),
        labels=0.5,
    )
    result = train_quantized(model(), WALKS, W4A4, settings, tmp_path, evaluate=Evaluation(walks, "casia-b"))
    assert set(result.network.weight_bits.values()) == {4}
    found = rows(tmp_path)
    assert [int(row["iteration"]) for row in found] == [1, 2, 3, 4, 5]
    assert [float(row["learning_rate"]) for row in found] == pytest.approx([1e-3, 7.5e-4, 2.5e-4, 1e-4, 5e-5])
    for row, loss in zip(found, result.losses, strict=True):
        assert float(row["loss"]) == loss
        terms = ("triplet", "cross_entropy", "embeddings", "features", "guidance")
        assert loss == pytest.approx(sum(float(row[term]) for term in terms))
        assert bool(row["test rank1 nm"]) == (row["iteration"] in ("2", "4", "5"))


def test_the_float_network_is_left_as_it_was(tmp_path: Path) -> None:
    teacher, untouched = model(), model().state_dict()
    train_quantized(teacher, WALKS, W4A4, dataclasses.replace(SETTINGS, stages=stages((1, 1))), tmp_path)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, untouched[key]), key
    assert not teacher.training


LEARN = dataclasses.replace(
    SETTINGS,
    stages=stages((10, 4), (1e-2, 1e-3)),
    batch=dataclasses.replace(SETTINGS.batch, people=3),
    save_every=30,
    labels=1.0,
)


def test_the_loss_falls_and_the_classifier_is_trained_along(tmp_path: Path) -> None:
    losses = train_quantized(model(), WALKS, W4A4, LEARN, tmp_path).losses
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    trained = torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]
    assert not torch.equal(trained["head.fc_bin"], model().BNNecks.fc_bin)
    assert not any("BNNecks" in key or "head" in key for key in model_file.load(tmp_path / MODEL).state_dict())


TEACHING = {
    "distances": (Guidance(1.0), Distillation(0.0, 0.0)),
    "embeddings": (Guidance(0.0), Distillation(1.0, 0.0)),
    "features": (Guidance(0.0), Distillation(0.0, 1.0)),
}


@pytest.mark.parametrize("taught", TEACHING)
def test_what_is_taught_brings_distances_closer_to_the_float_networks(taught: str, tmp_path: Path) -> None:
    """At three bits calibration alone distorts them."""
    guidance, distillation = TEACHING[taught]
    settings = dataclasses.replace(
        LEARN, stages=stages((20, 0), (3e-3, 3e-4)), guidance=guidance, distillation=distillation, labels=0.0
    )
    result = train_quantized(small_networks.backbone("gaitset"), WALKS, Recipe(3, 3), settings, tmp_path)
    assert result.after[0] > result.before[0] + 0.03
    assert np.mean(result.losses[-3:]) < 0.8 * np.mean(result.losses[:3])


def test_without_labels_there_is_no_classifier(tmp_path: Path) -> None:
    """Nor does it matter whom the float network's knows."""
    stranger = small_model("gaitbase", 0, classes=5)
    train_quantized(stranger, WALKS, W4A4, dataclasses.replace(SETTINGS, stages=stages((1, 0))), tmp_path / "a")
    assert "head.fc_bin" not in torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)["model"]
    with pytest.raises(QgaitError, match="5 classes; the data have 3 people"):
        train_quantized(stranger, WALKS, W4A4, LEARN, tmp_path / "b")


def test_every_rival_trains_to_other_weights_than_straight_through(tmp_path: Path) -> None:
    networks = {}
    kinds: tuple[SurrogateKind, ...] = ("straight", "soft", "sine", "dsq", "ewgs", "pact")
    for kind in kinds:
        settings = dataclasses.replace(SETTINGS, stages=stages((1, 1), surrogates=(kind, kind)))
        result = train_quantized(model("gaitbase"), WALKS, W4A4, settings, tmp_path / kind)
        assert np.isfinite(result.losses).all()
        networks[kind] = result.network.state_dict()
    for one, other in itertools.combinations(kinds, 2):
        moved = "steps.layer2_conv1" if "pact" in (one, other) else "weights.layer2_conv1"
        assert not torch.equal(networks[one][moved], networks[other][moved]), (one, other)


def test_a_model_file_has_no_float_level_but_fake_and_int_agree(tmp_path: Path) -> None:
    train_quantized(model("gaitset"), WALKS, W4A4, dataclasses.replace(SETTINGS, stages=stages((1, 1))), tmp_path)
    clips = [walk.load() for walk in WALKS[:2]]
    with ExitStack() as stack:
        with pytest.raises(QgaitError, match=r"holds integers only, not the float level.*give the float checkpoint"):
            open_embedder(tmp_path / MODEL, "float", None, stack)
        fake = open_embedder(tmp_path / MODEL, "fake", None, stack).codes_many(clips)
        integer = open_embedder(tmp_path / MODEL, "int", "reference", stack).codes_many(clips)
    assert fake is not None and integer is not None
    assert np.count_nonzero(fake != integer) <= fake.size / 1000
