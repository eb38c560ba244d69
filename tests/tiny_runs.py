"""Training runs of a few iterations on a few frames, float and quantized."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from float_models import small_model

from qgait.data.frames import FrameSampling
from qgait.models.backbone import Backbone
from qgait.training.settings import (
    BatchSettings,
    OptimizerSettings,
    QuantizedSettings,
    Schedule,
    Settings,
    Stages,
    SurrogateKind,
)

BATCH = BatchSettings(2, 2, FrameSampling(frames=2))
FLOAT = Settings(
    iterations=6,
    batch=BATCH,
    optimizer=OptimizerSettings(learning_rate=0.05, weight_decay=0.0),
    schedule=Schedule(milestones=(3,)),
    save_every=2,
)


def stages(
    iterations: tuple[int, int],
    rates: tuple[float, float] = (1e-3, 1e-4),
    surrogates: tuple[SurrogateKind, SurrogateKind] = ("straight", "soft"),
) -> Stages:
    """Two stages that differ from the defaults in what is given."""
    default = Stages()
    first, second = (
        replace(stage, iterations=length, learning_rate=rate, surrogate=kind)
        for stage, length, rate, kind in zip(
            (default.first, default.second), iterations, rates, surrogates, strict=True
        )
    )
    return Stages(first, second)


QUANTIZED = QuantizedSettings(stages((3, 2)), BATCH, calibration_clips=9, validation_clips=0, save_every=1)


def model(name: str = "gaitbase", seed: int = 0) -> Backbone:
    """A small backbone; GaitBase has a classifier for the three people of ``blob_walks``."""
    return small_model(name, seed, **({"classes": 3} if name == "gaitbase" else {}))


def rows(folder: Path) -> list[dict[str, str]]:
    """Of ``log.csv``."""
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))
