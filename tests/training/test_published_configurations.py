"""The published configurations hold the published settings."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch

from qgait.models.hstl import REGIONS
from qgait.models.registry import BACKBONES, build
from qgait.training.configs import names, summary
from qgait.training.configuration import merged, read
from qgait.training.settings import OptimizerSettings, QuantizedSettings, Schedule, Settings

SMALL, LARGE, RESNET = (32, 64, 128), (64, 128, 256), (64, 128, 256, 512)
OFF, WILD, INDOORS = {}, {"perspective": 0.2, "flip": 0.2, "rotate": 0.2}, {"rotate": 0.3, "erase": 0.3}
FIXED, GAIT3D, GREW = ("fixed", 30), ("unfixed", 10, 50), ("unfixed", 20, 40)
SGD, ADAM, ADAM3D = ("sgd", 0.1, 5e-4), ("adam", 1e-4, 0.0), ("adam", 1e-3, 5e-4)
TRIPLET, WITH_CLASSES, RANKED = {"triplet"}, {"triplet", "cross_entropy"}, {"center_ranked"}

# OpenGait, and for GaitSet on Gait3D the authors of Gait3D: people, clips, frames, optimizer, milestones, iterations,
# channels, augmentations, losses, million parameters without classifier; the simple model of the Center-Ranked loss is
# our reading
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "gaitset-casia-b": (8, 16, FIXED, SGD, (10_000, 20_000, 30_000), 40_000, SMALL, OFF, TRIPLET, 2.60),
    "gaitset-oumvlp": (32, 16, FIXED, ADAM, (150_000,), 250_000, LARGE, OFF, TRIPLET, 6.31),
    "gaitset-grew": (32, 4, FIXED, ADAM, (150_000,), 250_000, LARGE, OFF, TRIPLET, 6.31),
    "gaitset-gait3d": (32, 4, FIXED, ADAM3D, (30_000, 90_000), 180_000, SMALL, OFF, TRIPLET, 2.60),
    "gaitbase-casia-b": (8, 16, FIXED, SGD, (20_000, 40_000, 50_000), 60_000, RESNET, INDOORS, WITH_CLASSES, 7.00),
    "gaitbase-gait3d": (32, 4, GAIT3D, SGD, (20_000, 40_000, 50_000), 60_000, RESNET, WILD, WITH_CLASSES, 7.00),
    "gaitbase-grew": (32, 4, GREW, SGD, (80_000, 120_000, 150_000), 180_000, RESNET, WILD, WITH_CLASSES, 7.00),
    "gaitbase-oumvlp": (32, 8, FIXED, SGD, (60_000, 80_000, 100_000), 120_000, RESNET, OFF, WITH_CLASSES, 7.00),
    "gaitsimple-casia-b": (8, 16, FIXED, ADAM, (), 80_000, SMALL, OFF, RANKED, 0.81),
}
# HSTL's authors, and OpenGait for the others: people, clips, frames more than 30 to pick from in order, optimizer,
# milestones, iterations, arguments, augmentations, scale and smoothing of cross-entropy, million parameters
# without classifier
THREE, FOUR = {"channels": (32, 64, 128)}, {"channels": (32, 64, 128, 256)}
LATE, RESNET9 = (150_000, 200_000), {"mode": "p3d", "channels": RESNET, "embedding": 256}
SHALLOW, DEEP = RESNET9 | {"depths": (1, 1, 1, 1)}, RESNET9 | {"depths": (1, 4, 4, 1)}
ADAM5, HARD, PLAIN, SMOOTH = ("adam", 1e-4, 5e-4), (1, 0), (16, 0.1), (1, 0.1)
OVER_TIME: dict[str, tuple[Any, ...]] = {
    "hstl-casia-b": (8, 8, 0, ADAM5, (70_000,), 90_000, THREE, OFF, HARD, 4.055),
    "hstl-oumvlp": (32, 8, 0, SGD, LATE, 250_000, FOUR, OFF, SMOOTH, 23.15),
    "hstl-gait3d": (32, 8, 4, SGD, (80_000, *LATE), 210_000, FOUR, OFF, PLAIN, 19.39),
    "gaitpart-casia-b": (8, 16, 10, ADAM, (100_000,), 120_000, THREE, OFF, None, 1.20),
    "gaitpart-oumvlp": (32, 16, 10, ADAM, (150_000,), 250_000, FOUR, OFF, None, 4.84),
    "gaitgl-casia-b": (8, 8, 0, ADAM5, (70_000,), 80_000, THREE, OFF, HARD, 2.49),
    "gaitgl-oumvlp": (32, 8, 0, ADAM, LATE, 210_000, FOUR, OFF, SMOOTH, 11.2),
    "deepgaitv2-casia-b": (8, 16, 4, SGD, (20_000, 40_000, 50_000), 60_000, SHALLOW, WILD, PLAIN, 8.04),
    "deepgaitv2-gait3d": (32, 4, 4, SGD, (20_000, 40_000, 50_000), 60_000, DEEP, WILD, PLAIN, 13.20),
    "deepgaitv2-grew": (32, 4, 4, SGD, (80_000, 120_000, 150_000), 180_000, DEEP, WILD, PLAIN, 13.20),
    "deepgaitv2-oumvlp": (32, 8, 4, SGD, (60_000, 80_000, 100_000), 120_000, SHALLOW, WILD, PLAIN, 8.04),
}
# the Generalized Inter-class Loss as its authors train GaitGL: data set, warm-up, losses
INTER_CLASS = {
    "gaitgl-casia-b-weighted-margin": ("casia-b", 2_000, {"weighted_margin"}),
    "gaitgl-oumvlp-weighted-margin": ("oumvlp", 4_000, {"weighted_margin", "softmax", "cross_entropy"}),
}
VARIANTS = {"gaitset-casia-b-weighted-margin": {"weighted_margin"}, "gaitset-casia-b-softmax": {"triplet", "softmax"}}
QUANTIZED = {  # iterations of QGait's stages where a number was given: two thirds and one third of the float ones
    "gaitbase-casia-b": (40_000, 20_000),
    "gaitbase-gait3d": (40_000, 20_000),
    "gaitbase-oumvlp": (80_000, 40_000),
    "gaitbase-grew": (120_000, 60_000),
}


def weighted(settings: Settings) -> set[str]:
    """The terms of the loss that are on."""
    return {f.name for f in dataclasses.fields(settings.losses) if getattr(settings.losses, f.name).weight}


def test_every_configuration_is_in_the_tables_and_every_backbone_has_one() -> None:
    assert set(names()) == set(PUBLISHED) | set(OVER_TIME) | set(INTER_CLASS) | set(VARIANTS)
    assert {name.split("-")[0] for name in names()} == set(BACKBONES)
    assert all(len(summary(name)) > 30 for name in names()), "a comment says what it is"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_holds_what_was_published(name: str) -> None:
    people, clips, frames, optimizer, milestones, iterations, channels, changes, losses, parameters = PUBLISHED[name]
    model, data = name.split("-", 1)
    configuration = read(name)
    settings = configuration.settings
    assert configuration.model == model and configuration.arguments == {"channels": channels, "embedding": 256}
    with torch.device("meta"):
        network = build(configuration.model, **configuration.arguments)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(1e6 * parameters, abs=1e4)
    assert configuration.data.protocol == data
    assert configuration.data.partition == ("casia-b" if data == "casia-b" else f"{_cased(data)}.json")
    assert configuration.bits is None and configuration.init is None and configuration.data.path is None

    batch = settings.batch
    assert (batch.people, batch.clips) == (people, clips)
    assert batch.sampling.order == "unordered" and batch.sampling.count == frames[0]
    limits = (batch.sampling.frames_min, batch.sampling.frames_max)
    assert (limits if frames[0] == "unfixed" else (batch.sampling.frames,)) == frames[1:]
    for change in ("perspective", "flip", "rotate", "erase", "affine"):
        assert getattr(batch.augmentations, change) == changes.get(change, 0), change

    assert settings.iterations == iterations
    kind, rate, decay = optimizer
    assert settings.optimizer == OptimizerSettings(kind, rate, 0.9, decay)
    assert settings.schedule == Schedule("milestones", milestones, 0.1)
    assert settings.precision == "float16", "OpenGait trains with AMP on"
    assert weighted(settings) == losses
    assert all(getattr(settings.losses, term).weight in (0, 1) for term in losses)
    if "triplet" in losses:
        assert settings.losses.triplet.margin == 0.2
    if "cross_entropy" in losses:
        assert (settings.losses.cross_entropy.scale, settings.losses.cross_entropy.smoothing) == (16, 0.1)
    if "center_ranked" in losses:
        ranked = settings.losses.center_ranked
        assert (ranked.mode, ranked.margin, ranked.temperature) == ("softrank", 0.2, 0.1)


@pytest.mark.parametrize("name", OVER_TIME)
def test_a_published_configuration_of_a_network_over_time_holds_what_was_published(name: str) -> None:
    people, clips, skip, optimizer, milestones, iterations, arguments, changes, classes, parameters = OVER_TIME[name]
    model, data = name.split("-", 1)
    configuration = read(name)
    settings = configuration.settings
    regions = {"regions": REGIONS[data]} if model == "hstl" else {}
    assert configuration.model == model and configuration.arguments == arguments | regions
    with torch.device("meta"):
        network = build(configuration.model, **configuration.arguments)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.05)
    assert configuration.data.protocol == data
    assert configuration.data.partition == ("casia-b" if data == "casia-b" else f"{_cased(data)}.json")
    sampling = settings.batch.sampling
    assert (settings.batch.people, settings.batch.clips, sampling.skip) == (people, clips, skip)
    assert (sampling.count, sampling.order, sampling.frames) == ("fixed", "ordered", 30)
    for change in ("perspective", "flip", "rotate", "erase", "affine"):
        assert getattr(settings.batch.augmentations, change) == changes.get(change, 0), change
    assert (settings.iterations, settings.precision) == (iterations, "float16")
    kind, rate, decay = optimizer
    assert settings.optimizer == OptimizerSettings(kind, rate, 0.9, decay)
    assert settings.schedule == Schedule("milestones", milestones, 0.1)
    assert weighted(settings) == (TRIPLET if classes is None else WITH_CLASSES)
    assert (classes is None) == (network.classifier is None)
    assert settings.losses.triplet.margin == 0.2
    if classes is not None:
        assert (settings.losses.cross_entropy.scale, settings.losses.cross_entropy.smoothing) == classes


@pytest.mark.parametrize("name", INTER_CLASS)
def test_the_inter_class_loss_trains_gaitgl_as_its_authors_do(name: str) -> None:
    data, warmup, losses = INTER_CLASS[name]
    base, variant = read(f"gaitgl-{data}"), read(name)
    settings = variant.settings
    assert weighted(settings) == losses and settings.losses.weighted_margin.margin == 0.2
    assert (settings.losses.softmax.temperature, settings.losses.softmax.normalize) == (0.1, False)
    assert settings.losses.cross_entropy.scale == 1
    assert settings.optimizer == OptimizerSettings("sgd", 0.1, 0.9, 5e-4)
    assert settings.schedule == Schedule("cosine", (), 0.1, 1e-4, warmup, 1e-6)
    assert settings.precision == ("float32" if data == "casia-b" else "float16"), "AMP is off on CASIA-B"
    own = ("losses", "optimizer", "schedule", "precision")
    assert merged(variant.plain(), {key: base.plain()[key] for key in own}) == base.plain()


@pytest.mark.parametrize("name", names())
def test_quantized_training_is_the_same_for_all_but_for_the_order_of_frames(name: str) -> None:
    found, default = read(name), QuantizedSettings()
    order = found.settings.batch.sampling.order
    batch = replace(default.batch, sampling=replace(default.batch.sampling, order=order))
    assert found.quantized == replace(default, batch=batch, losses=found.settings.losses)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_its_base_in_the_losses_alone(name: str) -> None:
    base, variant = read("gaitset-casia-b"), read(name)
    assert weighted(variant.settings) == VARIANTS[name]
    assert variant.settings.losses.weighted_margin.margin == 0.2
    assert (variant.settings.losses.softmax.temperature, variant.settings.losses.softmax.normalize) == (0.1, False)
    same = merged(variant.plain(), {"losses": base.plain()["losses"]})
    assert same == base.plain()


def _cased(data: str) -> str:
    return "Gait3D" if data == "gait3d" else data.upper()
