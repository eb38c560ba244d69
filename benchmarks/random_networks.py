"""Backbones with random widths and weights, each determined by its seed: what comparisons of runtimes are run on.

Layers are narrow and embeddings wide, so that comparing many codes takes few multiplications.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import nn

from qgait.models.backbone import Backbone
from qgait.models.blocks import GeM
from qgait.models.registry import BACKBONES, build

FORMS = [(name, variant) for name, backbone in BACKBONES.items() for variant in backbone.variants]
FIRST_WIDTHS = (2, 3, 4, 5, 6, 8)  # of the largest maps
WIDTHS = (3, 4, 5, 6, 7, 8, 12, 16, 17)
LAST_WIDTHS = (16, 20, 24, 32, 48, 64)
EMBEDDINGS = (256, 500, 1024)


def has_wide_embedding(name: str) -> bool:
    """Whether the embedding of a backbone has a width of its own, which may be large where all layers are narrow."""
    return "embedding" in inspect.signature(BACKBONES[name]).parameters


def random_backbone(name: str, variant: dict[str, Any], seed: list[int]) -> Backbone:
    """One published form of a backbone with other widths, in eval mode; its normalizations are no fresh ones."""
    rng = np.random.default_rng(seed)
    arguments = inspect.signature(BACKBONES[name]).parameters
    published = variant.get("channels", arguments["channels"].default)
    inner = rng.choice(WIDTHS, len(published) - 2)
    channels = [int(width) for width in (rng.choice(FIRST_WIDTHS), *inner, rng.choice(LAST_WIDTHS))]
    config: dict[str, Any] = {**variant, "channels": tuple(channels)}
    if has_wide_embedding(name):
        config["embedding"] = int(rng.choice(EMBEDDINGS))
    if "depths" in arguments:
        config["depths"] = tuple(int(depth) for depth in rng.integers(1, 3, 4))
    return unsettled(build_with_seed(name, config, int(rng.integers(2**31))))


def published_backbone(name: str, variant: dict[str, Any], seed: list[int]) -> Backbone:
    """One published form with its own widths, in eval mode."""
    return unsettled(build_with_seed(name, variant, int(np.random.default_rng(seed).integers(2**31))))


def build_with_seed(name: str, config: dict[str, Any], seed: int) -> Backbone:
    """Fresh weights, always the same ones; what is drawn from torch afterwards goes on behind them."""
    torch.manual_seed(seed)
    return build(name, **config)


def unsettled(model: Backbone) -> Backbone:
    """``model`` with random statistics, scales of both signs and exponents, which fresh networks do not have."""
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
