"""Backbones for tests: small ones with random weights, and an independent interpreter of recorded layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from qgait.models.layers import Backbone, Layer
from qgait.models.registry import build

SMALL = {
    "gaitset": {"channels": (4, 6, 8), "embedding": 10},
    "gaitbase": {"channels": (4, 6, 8, 12), "embedding": 10},
    "gaitsimple": {"channels": (4, 6, 8), "embedding": 10},
}


def small_model(name: str, seed: int = 0, **config: object) -> Backbone:
    """A small backbone in eval mode, its batch-norm statistics and affine parameters far from their defaults."""
    torch.manual_seed(seed)
    model = build(name, **(SMALL[name] | config))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.3, 2)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return model.eval()


def interpret(layers: Sequence[Layer], frames: torch.Tensor) -> torch.Tensor:
    """Runs recorded layers on one clip, float64 [s, H, W], with nothing but torch functions -> [P, C]."""
    values = {"silhouette": frames[:, None].double()}
    for layer in layers:
        a, *rest = (values[name] for name in layer.inputs)
        if layer.kind == "conv":
            top, left, bottom, right = layer.padding
            y = F.conv2d(F.pad(a, (left, right, top, bottom)), layer.weight, layer.bias, layer.stride)
        elif layer.kind == "add":
            y = a + rest[0]
        elif layer.kind == "max_pool":
            k = layer.kernel
            y = a.unfold(2, k, k).unfold(3, k, k).amax((-1, -2))
        elif layer.kind == "frame_max":
            y = a.amax(0, keepdim=True)
        elif layer.kind == "strip_pool":
            strips = [s for b in layer.bins for s in a[0].split(a.shape[2] // b, dim=1)]
            y = torch.stack([s.mean((1, 2)) + s.amax((1, 2)) for s in strips])[None]
        elif layer.kind == "concat":
            y = torch.cat([a, *rest], dim=1)
        elif layer.kind == "part_linear":
            y = torch.einsum("npi,pio->npo", a, layer.weight)
        else:
            raise ValueError(layer.kind)
        if layer.activation == "relu":
            y = y.clamp(min=0)
        elif layer.activation == "leaky_relu":
            y = torch.where(y >= 0, y, 0.01 * y)
        assert layer.per_frame == (layer.kind != "frame_max" and values[layer.inputs[0]] is a and a.shape[0] != 1)
        values[layer.name] = y
    return values[layers[-1].name][0]
