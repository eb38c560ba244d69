"""Calibration for tests of quantized training: its usual search for ranges takes longer than their few iterations."""

from __future__ import annotations

import copy

import numpy as np

from qgait.calibration import calibrate as calibration
from qgait.calibration.report import CalibrationReport
from qgait.models.layers import Layer
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork

DONE: dict[tuple[str, str], tuple[SimulatedNetwork, CalibrationReport]] = {}


def calibrate(
    model: str, layers: list[Layer], clips: list[np.ndarray], recipe: Recipe
) -> tuple[SimulatedNetwork, CalibrationReport]:
    """Ranges from the smallest to the largest value; once for the same network, number of clips and bits."""
    key = (
        model + "".join(str(float(x.weight.sum())) for x in layers if x.weight is not None),
        f"{recipe!r} {len(clips)}",
    )
    if key not in DONE:
        DONE[key] = calibration.calibrate(model, layers, clips, recipe, "minmax")
    return copy.deepcopy(DONE[key])
