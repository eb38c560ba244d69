"""docs/training.md: its commands run as written, only smaller, its file is read, its table names every key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from qgait.cli import run
from qgait.training.configs import names
from qgait.training.configuration import Configuration, read

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
SMALLER = {
    "data": ["--subjects", "2", "--frames", "6"],
    "train": ["--people", "2", "--clips", "2", "--frames", "2", "--iterations", "3", "--learning-rate", "1e-3"],
    "verify": ["--sequences", "3", "--runtime", "ort"],
    "eval": ["--frames", "2"],
}
NARROW = {"gaitbase": "4,6,8,8", "gaitset": "4,6,8"}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


def smaller(words: list[str]) -> list[str]:
    if {"--resume", "--list-configs"} & set(words):
        return words
    words = words + SMALLER.get(words[0], [])
    if words[0] == "train" and "--init" not in words:
        name = "gaitbase" if any(word.startswith("gaitbase") for word in words) else "gaitset"
        words += ["--set", f"model.channels={NARROW[name]}", "--set", "model.embedding=10"]
    return words


def test_every_command_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) == 10
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "qgait"
        assert run(smaller(words[1:])) == 0, line
    assert read("wide/config.yaml").settings.losses.triplet.margin == 0.3
    assert read("base/config.yaml").settings.schedule == read("gaitbase-casia-b").settings.schedule
    assert torch.load("base/checkpoint.pt", weights_only=True)["iteration"] == 3


def test_the_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(text)
    mine, base = read(tmp_path / "mine.yaml"), read("gaitbase-gait3d")
    assert mine.settings.iterations == 100_000 and mine.settings.optimizer.learning_rate == 0.05
    assert mine.settings.batch.augmentations.flip == 0.5
    assert mine.settings.batch.augmentations.rotate == base.settings.batch.augmentations.rotate == 0.2


def test_every_published_configuration_is_in_the_table() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| [a-z0-9]+-[\w-]+ \|", line)]
    assert {row.split("|")[1].strip() for row in rows} == set(names())


def keys(settings: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in settings.items():
        yield from keys(value, f"{before}{name}.") if isinstance(value, Mapping) else [f"{before}{name}"]


def documented() -> Iterator[str]:
    """Keys in the table; ``.b`` after ``x.a`` in a row means ``x.b``."""
    _, _, table = PAGE.partition("| key | default | |\n")
    for row in table.split("\n\n")[0].splitlines()[1:]:
        cell = row.split("|")[1]
        parent = ""
        for token in re.findall(r"`([\w.]+)`", row):
            if token.startswith(".") and parent:
                yield f"{parent}{token}"
            elif f"`{token}`" in cell:
                parent = token.rpartition(".")[0]
                yield token


def test_the_table_has_every_key_and_no_other() -> None:
    there = {*keys(Configuration().plain()), "model.channels", "model.embedding"}
    said = set(documented())
    unknown = {key for key in said if key not in there and not any(k.startswith(f"{key}.") for k in there)}
    assert not unknown, f"docs/training.md has keys that do not exist: {unknown}"
    missing = {key for key in there if not any(key == s or key.startswith(f"{s}.") for s in said)}
    assert not missing, f"docs/training.md lacks the keys {missing}"
