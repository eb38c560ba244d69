"""The integer graph of a backbone without its numbers: every weight is 0, every scale 1. Shapes and times are right."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.models.backbone import Backbone, describe
from qgait.models.blocks import GeM
from qgait.models.layers import FRAME_SHAPE, Layer, shapes
from qgait.models.registry import build
from qgait.quantizers.grid import INPUT_GRID, Grid


def without_numbers(name: str, **config: Any) -> Backbone:
    """A backbone that takes no memory: its tensors have shapes alone."""
    with torch.device("meta"):
        model = build(name, **config)
    for module in model.modules():
        if isinstance(module, GeM):
            module.p = torch.nn.Parameter(torch.ones(1))
    return model.eval()


def graph_of(model: Backbone) -> Graph:
    """What ``fold`` makes of the recorded layers of ``model``."""
    return fold(_Zeros(model.name, describe(model)))  # type: ignore[arg-type]


class _Zeros:
    """What ``fold`` asks of a simulated network, without values."""

    recipe = "w8a8"
    provenance: ClassVar[dict[str, str]] = {}

    def __init__(self, model: str, layers: list[Layer]) -> None:
        self.model, self.layers, self.shapes = model, layers, shapes(layers, FRAME_SHAPE)

    def grid(self, _: str) -> Grid:
        return INPUT_GRID

    def step(self, tensor: str) -> torch.Tensor:
        shape = self.shapes[tensor.removesuffix(".pre")]
        return torch.ones(shape[:1] if len(shape) == 2 else (), dtype=torch.float64)

    def weight_integers(self, layer: Layer) -> torch.Tensor:
        assert layer.weight is not None
        return torch.zeros((), dtype=torch.int8).expand(layer.weight.shape)

    def bias_integers(self, layer: Layer) -> torch.Tensor:
        return torch.zeros(self._outputs(layer))

    def multiplier(self, layer: Layer) -> torch.Tensor:
        if layer.weight is not None:
            return torch.full(self._outputs(layer), 0.5)
        shape = self.shapes[layer.name]
        return torch.full(shape[:1] if len(shape) == 2 and layer.kind != "add" else (1,), 0.5)

    def add_factors(self, _: Layer) -> tuple[int, int]:
        return 1, 1

    def power_tables(self, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(layer.rows), 256), np.int64), np.zeros((len(layer.rows), 255), np.int64)

    def table_integers(self, _: Layer) -> torch.Tensor:
        return torch.zeros(256)

    def _outputs(self, layer: Layer) -> tuple[int, ...]:
        assert layer.weight is not None
        return (layer.weight.shape[0], layer.weight.shape[2]) if layer.kind == "part_linear" else layer.weight.shape[:1]
