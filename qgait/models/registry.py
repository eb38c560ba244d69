"""The backbones by name, and what is known of each without weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qgait.errors import QgaitError
from qgait.models.gaitbase import GaitBase
from qgait.models.gaitset import GaitSet
from qgait.models.gaitsimple import GaitSimple
from qgait.models.layers import FRAME_SHAPE, Backbone, Layer, describe, shapes

BACKBONES: dict[str, type[Backbone]] = {"gaitset": GaitSet, "gaitbase": GaitBase, "gaitsimple": GaitSimple}


def build(name: str, **config: Any) -> Backbone:
    """A backbone with fresh weights; ``config`` is its constructor's: channels, embedding[, classes]."""
    if name not in BACKBONES:
        raise QgaitError(f"There is no backbone called {name!r}.", f"choose one of {', '.join(BACKBONES)}.")
    return BACKBONES[name](**config)


def macs(layers: Sequence[Layer], frame: tuple[int, int] = FRAME_SHAPE) -> tuple[int, int]:
    """Multiply-accumulates of (one frame, one embedding); an embedding's are spent once a clip."""
    sizes = shapes(layers, frame)
    per_frame = per_clip = 0
    for layer in layers:
        if layer.weight is None:
            continue
        positions = sizes[layer.name][1] * sizes[layer.name][2] if layer.kind == "conv" else 1
        count = layer.weight.numel() * positions
        per_frame, per_clip = (per_frame + count, per_clip) if layer.per_frame else (per_frame, per_clip + count)
    return per_frame, per_clip


@dataclass(frozen=True)
class Facts:
    """A line of a listing of models. ``parameters`` are those inference needs; ``embedding`` is (parts, channels)."""

    name: str
    parameters: int
    macs_per_frame: int
    macs_per_embedding: int
    embedding: tuple[int, ...]


def facts(model: Backbone) -> Facts:
    """Size and cost of ``model`` on 64 x 44 frames; a training classifier is not counted."""
    layers = describe(model)
    parameters = sum(p.numel() for key, p in model.named_parameters() if not key.startswith("BNNecks."))
    return Facts(model.name, parameters, *macs(layers), shapes(layers)[layers[-1].name])
