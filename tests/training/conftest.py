"""Quick starts of quantized training."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from qgait.calibration.report import CalibrationReport
from qgait.models.layers import Layer
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training import quantized

CALIBRATED: dict[tuple[str, str], tuple[SimulatedNetwork, CalibrationReport]] = {}


@pytest.fixture(autouse=True)
def calibrated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration takes longer than the few iterations here, and is the same for the same network and bits."""

    def calibrate(model: str, layers: list[Layer], clips: list[np.ndarray], recipe: Recipe) -> object:
        key = (
            model + "".join(str(float(x.weight.sum())) for x in layers if x.weight is not None),
            f"{recipe!r} {len(clips)}",
        )
        if key not in CALIBRATED:
            CALIBRATED[key] = real(model, layers, clips, recipe)
        return copy.deepcopy(CALIBRATED[key])

    real = quantized.calibrate
    monkeypatch.setattr(quantized, "calibrate", calibrate)
