"""Narrow quantized networks of every form of every backbone, calibrated on two clips."""

from __future__ import annotations

import functools

from float_models import FORMS, small_model
from small_networks import clips

from qgait.calibration.calibrate import calibrate
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.models.backbone import describe
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork

NAMES = [
    "-".join([name, *(str(value) for value in form.values())]).replace(" ", "")[:40] for name, form in FORMS
]  # of the forms, for people
PLACES = dict(zip(NAMES, FORMS, strict=True))
TEMPORAL = ["gaitpart", "gaitgl", "hstl", "deepgaitv2"]


@functools.cache
def quantized(name: str, bits: str = "w8a8", method: str = "minmax") -> SimulatedNetwork:
    """Do not change what this returns: it is shared between tests."""
    backbone, form = PLACES[name]
    layers = describe(small_model(backbone, seed=1, **form))
    return calibrate(backbone, layers, clips(2, 8), Recipe.parse(bits), method)[0]


@functools.cache
def folded(name: str, bits: str = "w8a8") -> Graph:
    """The integer graph of ``quantized``."""
    return fold(quantized(name, bits))
