"""What layers ask of a quantized network when they compute: its grids, its steps, and the integers made from them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qgait.models.layers import Layer
from qgait.quantizers.grid import Grid
from qgait.quantizers.surrogates import Surrogates


class LearnedNumbers(Protocol):
    """The numbers of a network, whoever learned them. Tensors are float64 and carry gradients unless it says otherwise.

    ``grids``: by the name of every tensor that is rounded.
    """

    grids: dict[str, Grid]
    surrogates: Surrogates

    def grid(self, tensor: str) -> Grid:
        """The grid of any tensor."""

    def step(self, tensor: str) -> Tensor:
        """The step of any tensor: scalar of a map, [P] of parts."""

    def weight_integers(self, layer: Layer) -> Tensor:
        """Integer weights in the layer's own layout."""

    def bias_integers(self, layer: Layer) -> Tensor:
        """Integer biases at the accumulator's scale: [O] or [P, O]."""

    def table_integers(self, layer: Layer) -> Tensor:
        """The integers behind the layer's table, [256] by the code before it; no gradient."""

    def table_scales(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """What a table multiplies by before and behind its activation, scalars."""

    def multiplier(self, layer: Layer) -> Tensor:
        """The integer rule's real multiplier, rounded to float32 once."""

    def add_factors(self, layer: Layer) -> tuple[int, int]:
        """The integers that bring both operands of a residual addition to one scale."""

    def power_tables(self, layer: Layer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Powers [R, 256] by code and thresholds [R, hi - lo] of a generalized mean."""
