"""Quick starts of quantized training."""

from __future__ import annotations

import pytest
import quick_calibration

from qgait.training import quantized


@pytest.fixture(autouse=True)
def _calibrated_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "calibrate", quick_calibration.calibrate)
