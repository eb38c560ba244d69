"""Backbones for tests: small ones with random weights, and an independent interpreter of recorded layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from qgait.models.backbone import Backbone
from qgait.models.blocks import GeM
from qgait.models.hstl import REGIONS
from qgait.models.layers import Layer
from qgait.models.registry import build

SMALL = {
    "gaitset": {"channels": (4, 6, 8), "embedding": 10},
    "gaitbase": {"channels": (4, 6, 8, 12), "embedding": 10},
    "gaitsimple": {"channels": (4, 6, 8), "embedding": 10},
    "gaitpart": {"channels": (4, 6, 8)},
    "gaitgl": {"channels": (3, 4, 6)},
    "hstl": {"channels": (3, 4, 6)},
    "deepgaitv2": {"channels": (4, 4, 6, 8), "depths": (1, 1, 2, 1)},
}
# the other published forms of these backbones: (name, arguments of the constructor)
OTHER_FORMS = [
    ("gaitpart", {"channels": (4, 4, 6, 8)}),
    ("gaitgl", {"channels": (2, 3, 4, 5)}),
    ("gaitgl", {"bnneck": True}),
    ("hstl", {"channels": (2, 3, 4, 5), "regions": REGIONS["oumvlp"]}),
    ("hstl", {"channels": (2, 3, 4, 5), "regions": REGIONS["gait3d"]}),
    ("deepgaitv2", {"mode": "2d"}),
    ("deepgaitv2", {"mode": "3d"}),
]
FORMS = [(name, {}) for name in SMALL] + OTHER_FORMS


def small_model(name: str, seed: int = 0, **config: object) -> Backbone:
    """A small backbone in eval mode, its batch-norm statistics and affine parameters far from their defaults."""
    torch.manual_seed(seed)
    model = build(name, **(SMALL[name] | config))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.3, 2)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, nn.Conv1d) and module.bias is not None:
            nn.init.normal_(module.bias)
        if isinstance(module, GeM):
            nn.init.uniform_(module.p, 2, 7)
    return model.eval()


def interpret(layers: Sequence[Layer], frames: torch.Tensor, whole: bool = False) -> torch.Tensor:
    """Runs recorded layers on one clip, float64 [s, H, W], with nothing but torch functions -> [P, C].

    ``whole``: the last layer's value with the axis of frames, [s, ...] or [1, ...].
    """
    values = {"silhouette": frames[:, None].double()}
    of_frames = {"silhouette"}
    for layer in layers:
        inputs = [values[name] for name in layer.inputs]
        values[layer.name] = ACTIVATIONS[layer.activation](_value(layer, inputs))
        assert layer.per_frame == (layer.kind != "frame_max" and set(layer.inputs) <= of_frames)
        if layer.per_frame:
            of_frames.add(layer.name)
    return values[layers[-1].name] if whole else values[layers[-1].name][0]


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda y: y,
    "relu": lambda y: y.clamp(min=0),
    "leaky_relu": lambda y: torch.where(y >= 0, y, 0.01 * y),
    "sigmoid": lambda y: 1 / (1 + torch.exp(-y)),
}


def _value(layer: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
    a, *rest = inputs
    if layer.kind == "conv":
        top, left, bottom, right = layer.padding
        return F.conv2d(F.pad(a, (left, right, top, bottom)), layer.weight, layer.bias, layer.stride)
    if layer.kind == "add":
        assert a.shape == rest[0].shape
        return a + rest[0]
    if layer.kind == "multiply":
        gate = rest[0]
        return a * gate if gate.shape == a.shape else torch.einsum("nchw,nkc->nchw", a, gate)
    if layer.kind == "max_pool":
        k = layer.kernel
        return a.unfold(2, k, k).unfold(3, k, k).amax((-1, -2))
    if layer.kind == "frame_max":
        return a.amax(0, keepdim=True)
    if layer.kind == "row_slice":
        return a[:, :, layer.start : layer.stop]
    if layer.kind == "strip_pool":
        strips = [s for b in layer.bins for s in a.split(a.shape[2] // b, dim=2)]
        means = torch.stack([s.mean((2, 3)) for s in strips], 1)
        return means if layer.pool == "mean" else means + torch.stack([s.amax((2, 3)) for s in strips], 1)
    if layer.kind == "gem_pool":
        regions = zip(a.split(layer.rows, dim=2), layer.powers, strict=True)
        return torch.stack([(r.clamp(min=1e-6) ** p).mean((2, 3)) ** (1 / p) for r, p in regions], 1)
    if layer.kind == "concat":
        return torch.cat(inputs, dim=1 if a.ndim == 3 else 2)
    if layer.kind == "part_linear":
        y = torch.einsum("npi,pio->npo", a, layer.weight)
        return y if layer.bias is None else y + layer.bias
    return torch.stack([_windowed(layer, a, j) for j in range(_count(layer, len(a)))])


def _count(layer: Layer, values: int) -> int:
    return (values + 2 * layer.frames_padding - layer.size) // layer.frames_stride + 1


def _windowed(layer: Layer, a: torch.Tensor, j: int) -> torch.Tensor:
    """Value j of a window over the values ``a``."""
    places = [j * layer.frames_stride - layer.frames_padding + i for i in range(layer.size)]
    there = [a[i] for i in places if 0 <= i < len(a)]
    everything = [a[i] if 0 <= i < len(a) else torch.zeros_like(a[0]) for i in places]
    if layer.kind == "window":
        return torch.cat(everything, dim=0 if a.ndim == 4 else 1)
    top = torch.stack(there).amax(0)
    if layer.kind == "window_max":
        return top
    assert layer.kind == "window_pool"
    return sum(everything) / layer.size + top
