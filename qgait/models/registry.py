"""The backbones by name, and what is known of each without weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgspec
import torch

from qgait.errors import QgaitError
from qgait.field_bounds import converted, hints_of
from qgait.models.backbone import Backbone, describe
from qgait.models.deepgaitv2 import DeepGaitV2
from qgait.models.gaitbase import GaitBase
from qgait.models.gaitgl import GaitGL
from qgait.models.gaitpart import GaitPart
from qgait.models.gaitset import GaitSet
from qgait.models.gaitsimple import GaitSimple
from qgait.models.hstl import HSTL
from qgait.models.layers import FRAME_SHAPE, Layer, shapes
from qgait.models.series import series_of
from qgait.schema_words import wanted
from qgait.shown import shown

MAX_PARAMETERS = 1 << 28  # 1 GiB of float32, ten times the largest that was published

BACKBONES: dict[str, type[Backbone]] = {
    network.name: network for network in (GaitSet, GaitBase, GaitSimple, GaitPart, GaitGL, HSTL, DeepGaitV2)
}


def build(name: str, **config: Any) -> Backbone:
    """A backbone with fresh weights; ``config`` is its constructor's. QgaitError for what no network can be like."""
    if name not in BACKBONES:
        raise QgaitError(f"There is no backbone called {name!r}.", f"choose one of {', '.join(BACKBONES)}.")
    hints = hints_of(BACKBONES[name])
    for key, value in config.items():
        if key not in hints:
            raise QgaitError(f"{name} has no argument {shown(key)}.", f"it has {', '.join(hints)}.")
        try:
            converted(value, hints[key])
        except msgspec.ValidationError:
            problem = f"{key} of {name} is {shown(value)}, but has to be {wanted(hints[key])}."
            raise QgaitError(problem, "take those of a published network, or leave it out.") from None
    with torch.device("meta"):
        parameters = sum(p.numel() for p in BACKBONES[name](**config).parameters())
    if parameters > MAX_PARAMETERS:
        problem = (
            f"A {name} of these widths has {parameters:,} parameters; more than {MAX_PARAMETERS:,} are no network."
        )
        raise QgaitError(problem, "take fewer channels, blocks or classes.")
    return BACKBONES[name](**config)


def macs(layers: Sequence[Layer], frame: tuple[int, int] = FRAME_SHAPE) -> tuple[int, int]:
    """Multiply-accumulates of (one frame, one embedding); an embedding's are spent once a clip.

    Those of a layer behind a stride over time are spread over the frames of its stride, and the sum is rounded.
    """
    counts, series = _macs_of(layers, frame), series_of(layers)
    per_frame = sum(Fraction(counts[layer.name], series[layer.name].stride) for layer in layers if layer.per_frame)
    return round(per_frame), sum(counts[layer.name] for layer in layers if not layer.per_frame)


def clip_macs(layers: Sequence[Layer], frames: int, frame: tuple[int, int] = FRAME_SHAPE) -> int:
    """Multiply-accumulates of the embedding of one clip; what a convolution reads beyond the clip is counted."""
    counts, series = _macs_of(layers, frame), series_of(layers)
    return sum(counts[layer.name] * (series[layer.name].length(frames) if layer.per_frame else 1) for layer in layers)


def _macs_of(layers: Sequence[Layer], frame: tuple[int, int]) -> dict[str, int]:
    """Of one value of each layer."""
    sizes = shapes(layers, frame)
    return {
        layer.name: 0
        if layer.weight is None
        else layer.weight.numel() * (sizes[layer.name][1] * sizes[layer.name][2] if layer.kind == "conv" else 1)
        for layer in layers
    }


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
    parameters = sum(p.numel() for key, p in model.named_parameters() if not key.startswith(f"{model.classifier}."))
    return Facts(model.name, parameters, *macs(layers), shapes(layers)[layers[-1].name])
