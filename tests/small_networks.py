"""Small quantized networks with random weights: seconds to build, every kind of layer, any bit width."""

from __future__ import annotations

import functools

import numpy as np
import torch
from example_graphs import silhouettes
from numpy.typing import NDArray

from qgait.calibration.calibrate import calibrate
from qgait.calibration.report import CalibrationReport
from qgait.models.backbone import Backbone, describe
from qgait.models.layers import Layer
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork

CONFIG = {
    "gaitset": {"channels": (8, 12, 16), "embedding": 20},
    "gaitbase": {"channels": (8, 12, 16, 20), "embedding": 20},
    "gaitsimple": {"channels": (8, 12, 16), "embedding": 20},
}


def clips(count: int = 6, frames: int = 6, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Blobs of about a person's size, uint8 [frames, 64, 44] each."""
    return [silhouettes(frames, seed + i) for i in range(count)]


def backbone(name: str, seed: int = 0) -> Backbone:
    """A float network whose batch norms have statistics of their own, in eval mode."""
    torch.manual_seed(seed)
    model = build(name, **CONFIG[name])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@functools.cache
def layers(name: str, seed: int = 0) -> tuple[Layer, ...]:
    """The recorded layers of ``backbone``."""
    return tuple(describe(backbone(name, seed)))


@functools.cache
def calibrated(
    name: str, bits: str = "w8a8", method: str = "mse", seed: int = 0
) -> tuple[SimulatedNetwork, CalibrationReport]:
    """Do not change what this returns: it is shared between tests."""
    return calibrate(name, list(layers(name, seed)), clips(), Recipe.parse(bits), method)


def network(name: str, bits: str = "w8a8", method: str = "mse", seed: int = 0) -> SimulatedNetwork:
    """A calibrated network that is shared between tests."""
    return calibrated(name, bits, method, seed)[0]
