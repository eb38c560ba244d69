"""Calibration as people ask for it: a float network, silhouettes and bit widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from qgait import provenance
from qgait.calibration.calibrate import calibrate
from qgait.calibration.report import CalibrationReport
from qgait.data.selection import clips_of
from qgait.errors import QgaitError
from qgait.models.backbone import Backbone, describe
from qgait.progress import Progress, untold
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork


def calibrate_network(
    network: Backbone,
    data: Path | Sequence[NDArray[Any]],
    bits: str = "w8a8",
    first_last: str = "8",
    method: str = "mse",
    sequences: int = 48,
    partition: str | None = None,
    progress: Progress = untold,
) -> tuple[SimulatedNetwork, CalibrationReport]:
    """The quantized network, and what every tensor's range is; the arguments are those of `qgait.calibrate`."""
    if not isinstance(network, Backbone):
        raise QgaitError(
            f"A {type(network).__name__} cannot be calibrated.", "load a float checkpoint: qgait.load(path)."
        )
    recipe = replace(Recipe.parse(bits), first_last=first_last)  # type: ignore[arg-type]  # it refuses others
    clips = clips_of(data, sequences, progress=progress, partition=partition)
    quantized, report = calibrate(network.name, describe(network), clips, recipe, method, progress)
    made = {"made_by": provenance.THIS, "method": f"calibration by {method}", "clips": provenance.of_clips(clips)}
    quantized.provenance = {**network.provenance, **made}
    return quantized, report
