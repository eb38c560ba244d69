"""A run's own file gives its settings again, says only what differs from its base, and is refused where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qgait.errors import QgaitError
from qgait.models.registry import build
from qgait.training.configs import names
from qgait.training.configuration import Configuration, read, typed
from qgait.training.settings import OptimizerSettings


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
    assert short.settings.batch == read("gaitbase-gait3d").settings.batch
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
        (
            "batch: {people: eight}",
            "batch.people in {file} is 'eight', but has to be a whole number from 1 to 4,096.",
            "example 8.",
        ),
        ("precision: half", "precision in {file} is 'half', but has to be bfloat16 or float16 or float32.", "float32"),
        ("iterations: 0", "iterations in {file} is 0, but has to be a whole number from 1 to", "example 40000."),
        (
            "batch: {sampling: {frames_min: 90}}",
            "batch.sampling in {file}: No number is from frames_min 90 to frames_max 50.",
            "larger",
        ),
        ("quantized: {first_last: 16}", "quantized.first_last in {file}: There is no policy", "one of 8, same"),
        (
            "data: {protocol: casia}",
            "data.protocol in {file} is 'casia', but has to be casia-b or gait3d or grew or oumvlp or null.",
            "casia-b",
        ),
        (
            "data: {test_frames: 0}",
            "data.test_frames in {file} is 0, but has to be a whole number from 1 to",
            "leave it out",
        ),
        ("[1, 2]", "is [1, 2], but has to be a mapping", "leave it out"),
        ("seed: 1\nseed: 2", "{file} is no YAML in line 2: 'seed' is there twice.", "each key once"),
        ("base: gaitset-casiab", "There is no configuration called 'gaitset-casiab'.", "nearest is gaitset-casia-b,"),
        ("base: gone.yaml", "gone.yaml cannot be read: there is no such file.", "give a YAML file"),
        ("base: [1]", "base in {file} is [1], but has to be the name", "example deepgaitv2-casia-b"),
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
    with pytest.raises(QgaitError, match="is not text: it is not UTF-8"):
        read(tmp_path / "mine.yaml")
    with pytest.raises(QgaitError, match="cannot be read: it is a folder"):
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
