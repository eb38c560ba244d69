"""The published configurations hold the published settings, and a run's own file gives its settings again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from qgait.errors import QgaitError
from qgait.models.registry import BACKBONES, build
from qgait.training.configs import names, summary
from qgait.training.configuration import Configuration, merged, read, typed
from qgait.training.settings import OptimizerSettings, Schedule, Settings

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
    assert set(names()) == set(PUBLISHED) | set(VARIANTS)
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


@pytest.mark.parametrize("name", names())
def test_quantized_training_has_two_stages_of_two_thirds_and_one_third_of_the_float_iterations(name: str) -> None:
    configuration = read(name)
    first, second = configuration.quantized.stages.first, configuration.quantized.stages.second
    total = configuration.settings.iterations
    assert (first.iterations, second.iterations) == QUANTIZED.get(
        name, (round(total * 2 / 3), total - round(total * 2 / 3))
    )
    assert first.optimizer == OptimizerSettings("sgd", 0.01, 0.9, 5e-4) and first.surrogate == "straight"
    assert first.schedule == Schedule("milestones", (0.5, 0.75), 0.1)
    assert second.optimizer == OptimizerSettings("sgd", 0.001, 0.9, 5e-4) and second.surrogate == "soft"
    assert second.schedule == Schedule("milestones", (2 / 3,), 0.1) and second.sharpness == (1, 4)
    assert configuration.quantized.guidance.weight == 1
    assert configuration.quantized.precision == "float32"
    assert configuration.quantized.batch == configuration.settings.batch
    assert configuration.quantized.losses == configuration.settings.losses


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_its_base_in_the_losses_alone(name: str) -> None:
    base, variant = read("gaitset-casia-b"), read(name)
    assert weighted(variant.settings) == VARIANTS[name]
    assert variant.settings.losses.weighted_margin.margin == 0.2
    assert (variant.settings.losses.softmax.temperature, variant.settings.losses.softmax.normalize) == (0.1, False)
    same = merged(variant.plain(), {"losses": base.plain()["losses"]})
    assert same == base.plain()


@pytest.mark.parametrize("name", names())
def test_a_written_configuration_is_read_as_the_same(name: str, tmp_path: Path) -> None:
    changes = ["data.path=/some where/1e-4", "seed=7", "bits=w4a4", "quantized.stages.first.iterations=5"]
    whole = read(name).changed(typed(changes), "here")
    whole.write(tmp_path / "run" / "config.yaml")
    again = read(tmp_path / "run" / "config.yaml")
    assert again == whole
    assert (again.data.path, again.settings.seed, again.quantized.seed) == ("/some where/1e-4", 7, 7)
    assert list(tmp_path.joinpath("run").iterdir()) == [tmp_path / "run" / "config.yaml"]


def test_the_defaults_are_written_and_read_too(tmp_path: Path) -> None:
    Configuration().write(tmp_path / "c.yaml")
    assert read(tmp_path / "c.yaml") == Configuration()


def test_a_file_says_what_differs_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "narrow.yaml").write_text("base: gaitbase-gait3d\nmodel: {channels: [8, 8, 8, 8]}\n")
    (tmp_path / "short.yaml").write_text("base: narrow.yaml\niterations: 1e2\nlosses: {triplet: {margin: 3e-1}}\n")
    short = read(tmp_path / "short.yaml")
    assert short.model == "gaitbase" and short.arguments == {"channels": (8, 8, 8, 8), "embedding": 256}
    assert short.settings.iterations == 100 and short.settings.losses.triplet.margin == 0.3
    assert short.settings.losses.cross_entropy == read("gaitbase-gait3d").settings.losses.cross_entropy
    assert short.settings.batch == short.quantized.batch == read("gaitbase-gait3d").settings.batch
    assert short.quantized.losses.triplet.margin == 0.3


def test_another_backbone_does_not_inherit_channels() -> None:
    other = read("gaitset-oumvlp").changed({"model": {"name": "gaitbase"}}, "here")
    assert other.arguments == {}
    with torch.device("meta"):
        assert build(other.model, **other.arguments).name == "gaitbase"


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read(tmp_path / "empty.yaml") == Configuration()


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("batch: {poeple: 3}", "There is no key batch.poeple (in {file}).", "the nearest is batch.people."),
        ("triplet: {margin: 1}", "There is no key triplet (in {file}).", "the nearest is losses.triplet.margin."),
        ("quantized: {seed: 1}", "There is no key quantized.seed (in {file}).", "the nearest is seed."),
        ("quantized: {stages: {second: {sharpnes: 1}}}", "no key quantized.stages.second.sharpnes", "sharpness."),
        ("model: {depth: 3}", "There is no key model.depth (in {file}).", "the nearest is"),
        ("model: {name: gaitst}", "There is no backbone called 'gaitst' (in {file}).", "choose one of gaitset"),
        ("model: {name: gaitset, channels: [1, x]}", "model.channels in {file} is [1, 'x'], but", "leave it out"),
        ("model: gaitset", "model in {file} is 'gaitset', but has to be a mapping", "leave it out"),
        ("batch: {people: eight}", "batch.people in {file} is 'eight', but has to be a whole number.", "example 8."),
        ("precision: half", "precision in {file} is 'half', but has to be float32 or bfloat16 or float16.", "float32"),
        ("iterations: 0", "{file}: 0 iterations are no training.", "ask for one or more."),
        ("batch: {sampling: {frames_min: 90}}", "batch.sampling in {file}: The numbers of frames", "at least one"),
        ("quantized: {first_last: 16}", "quantized.first_last in {file}: There is no policy", "one of 8, same"),
        ("data: {protocol: casia}", "data.protocol in {file} is 'casia', but has to be casia-b or oumvlp", "casia-b"),
        ("data: {test_frames: 0}", "data in {file}: A test of 0 frames is impossible.", "null for all"),
        ("[1, 2]", "is [1, 2], but has to be a mapping", "leave it out"),
        ("seed: 1\nseed: 2", "{file} is no YAML in line 2: 'seed' is there twice.", "each key once"),
        ("base: gaitset-casiab", "There is no configuration called 'gaitset-casiab'.", "nearest is gaitset-casia-b;"),
        ("base: gone.yaml", "gone.yaml cannot be read: No such file", "check the path"),
        ("base: [1]", "base in {file} is [1], but has to be the name", "example gaitbase-casia-b"),
        ("base: mine.yaml", "mine.yaml is its own base.", "leave out the key base"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_the_fix(text: str, problem: str, fix: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(QgaitError) as refused:
        read(path)
    assert problem.format(file=path) in refused.value.problem
    assert fix in refused.value.fix


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(QgaitError, match="is no UTF-8 text"):
        read(tmp_path / "mine.yaml")
    with pytest.raises(QgaitError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_typed_settings_nest_and_the_last_one_wins() -> None:
    said = [
        "batch.people=4",
        "batch.clips=2",
        "optimizer={kind: adam}",
        "optimizer.learning_rate=1e-4",
        "batch.people=5",
    ]
    assert typed(said) == {
        "batch": {"people": 5, "clips": 2},
        "optimizer": {"kind": "adam", "learning_rate": 0.0001},
    }
    settings = Configuration().changed(typed([*said, "schedule.milestones=10,2e1"]), "the command line").settings
    assert settings.schedule.milestones == (10, 20)
    assert settings.optimizer == OptimizerSettings("adam", 1e-4)


@pytest.mark.parametrize("text", ["batch.people", "=3", "batch.=3", ".people=3", "a..b=1"])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(QgaitError, match="sets nothing"):
        typed([text])


def _cased(data: str) -> str:
    return "Gait3D" if data == "gait3d" else data.upper()
