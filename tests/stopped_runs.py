"""Quantized runs that break off at an iteration."""

from __future__ import annotations

from pathlib import Path

import pytest
from blob_walks import WALKS
from tiny_runs import QUANTIZED, model

from qgait.quantizers.grid import Recipe
from qgait.training.quantized import MODEL, train_quantized
from qgait.training.runner import Run
from qgait.training.settings import QuantizedSettings


class StopError(Exception):
    pass


def stop_after(iteration: int, name: str, folder: Path, settings: QuantizedSettings = QUANTIZED) -> None:
    """Breaks off just before an iteration after the one whose checkpoint is wanted."""
    iterate = Run._iterate

    def counting(run: Run, position: float) -> object:
        if position == iteration:
            raise StopError
        return iterate(run, position)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_iterate", counting)
        with pytest.raises(StopError):
            train_quantized(model(name), WALKS, Recipe(4, 4), settings, folder)
    assert not (folder / MODEL).exists()
