"""The float network that a quantized model is compared with: that of a checkpoint, layer by layer the model's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qgait.errors import QgaitError

if TYPE_CHECKING:
    from qgait.models.layers import Layer
    from qgait.quantizers.simulated import SimulatedNetwork


def float_layers(path: Path, network: SimulatedNetwork) -> list[Layer]:
    """The layers in the checkpoint at ``path``, batch norm folded.

    QgaitError where it is no checkpoint, or one of another network than ``network``.
    """
    from qgait.models import checkpoint
    from qgait.models.backbone import describe

    layers = describe(checkpoint.load(path, network.model))
    for layer, wanted in zip(layers, network.layers, strict=False):
        if _form(layer) != _form(wanted):
            break
    else:
        if len(layers) == len(network.layers):
            return layers
    raise QgaitError(f"{path} is not the float network of this model.", "give the checkpoint that it was made from.")


def _form(layer: Layer) -> tuple[object, ...]:
    return layer.name, layer.kind, layer.inputs, None if layer.weight is None else tuple(layer.weight.shape)
