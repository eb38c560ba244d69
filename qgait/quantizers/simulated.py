"""The ``fake`` level: a network whose values sit on integer grids, computed as integers held in floats.

Between layers travel integers, ``code - zero_point``, not real numbers. A convolution of integers is its int32
accumulator, and one multiplication by the float32 multiplier of the integer rule, a rounding half up and a clip give
the next integers. In float64 every step is exact, so the integers are those of the integer graph; in float32 an
accumulator above 2**24 may be off by a little and round differently. Gradients flow to weights and steps as in LSQ
(Esser et al., 2020): through the rounding by a surrogate, straight through unless training says otherwise, none through
the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qgait.fixedpoint import MAX_ACCUMULATOR, add_factors
from qgait.models.layers import INPUT, Layer, activate, shapes
from qgait.provenance import Provenance
from qgait.quantizers import traversal
from qgait.quantizers.grid import INPUT_GRID, INPUT_STEP, Grid, Recipe, weight_limit
from qgait.quantizers.integer_arithmetic import IntegerArithmetic
from qgait.quantizers.parameters import (
    beside_weight,
    initial_bias,
    only,
    parameter,
    parameters,
    weight_layers,
    weight_owner,
)
from qgait.quantizers.power_tables import power_tables
from qgait.quantizers.rounding import half_up, round_clip
from qgait.quantizers.step_owners import StepOwners, has_table
from qgait.quantizers.surrogates import Surrogates

FRAMES_AT_ONCE = 32


class SimulatedNetwork(nn.Module):
    """A list of layers with learned steps. Parameters are float32 and named after the layers.

    ``weights[name]``, ``biases[name]``: the folded weights in real units; ``weight_steps[name]``: [O] of a
    convolution, [P, O] of a part_linear; ``steps[tensor]``: scalar, or [P] for parts. What several layers share is
    there once, under the name of the first: ``owners`` for steps, ``weight_owner`` for weights.
    ``grids[tensor]`` and ``weight_bits[name]`` are fixed. ``surrogates`` shape gradients and nothing else;
    ``trained`` says that the weights were trained on these grids and are no longer those of the float network,
    ``provenance`` what it was made from.
    """

    def __init__(
        self,
        model: str,
        recipe: Recipe,
        layers: list[Layer],
        frame_size: tuple[int, int],
        weight_bits: dict[str, int],
        weight_steps: dict[str, Tensor],
        grids: dict[str, Grid],
        steps: dict[str, Tensor],
    ) -> None:
        super().__init__()
        self.model, self.recipe, self.layers, self.frame_size = model, recipe, layers, frame_size
        self.grids, self.weight_bits = grids, weight_bits
        self.surrogates, self.trained = Surrogates(), False
        self.provenance: Provenance = {}
        self.shapes = shapes(layers, frame_size)
        self.owners = StepOwners(layers, self.shapes)
        self.weights = parameters({layer.name: layer.weight for layer in weight_layers(layers)})
        self.biases = parameters({layer.name: initial_bias(layer) for layer in weight_layers(layers)})
        self.weight_steps = parameters(weight_steps)
        self.steps = parameters(steps)

    # What the integer graph is made from -----------------------------------------------------------------------

    def step(self, tensor: str) -> Tensor:
        """The step of any tensor, float64: scalar of a map, [P] of parts."""
        if tensor == INPUT:
            return torch.tensor(np.float32(INPUT_STEP), dtype=torch.float64)
        shape = self.shapes[tensor.removesuffix(".pre")]
        if tensor in self.owners.of:
            value = parameter(self.steps, self.owners.of[tensor]).double()
            return value.expand(shape[0]) if len(shape) == 2 and not value.ndim else value
        if len(shape) == 3:
            return self.step(next(self.owners.origins(tensor)))
        return torch.cat([self.step(name) for name in self.owners.pieces(tensor)])

    def grid(self, tensor: str) -> Grid:
        """The grid of any tensor; what is joined has one grid."""
        origin = next(self.owners.origins(tensor))
        return INPUT_GRID if origin == INPUT else self.grids[origin]

    def weight_integers(self, layer: Layer) -> Tensor:
        """Integer weights as float64, in the layer's own layout."""
        step = beside_weight(layer, parameter(self.weight_steps, weight_owner(layer)).double())
        limit = weight_limit(self.weight_bits[layer.name])
        weight = parameter(self.weights, weight_owner(layer))
        return round_clip(weight.double() / step, -limit, limit, self.surrogates.weights)

    def bias_integers(self, layer: Layer) -> Tensor:
        """Integer biases at scale s_in * s_w as float64, half the accumulator's range at most: [O] or [P, O]."""
        scale = self.accumulator_step(layer)
        return half_up(parameter(self.biases, weight_owner(layer)).double() / scale).clamp(
            -MAX_ACCUMULATOR // 2, MAX_ACCUMULATOR // 2
        )

    def multiplier(self, layer: Layer) -> Tensor:
        """The integer rule's real multiplier, rounded to float32 once, returned as float64."""
        result = self.step(f"{layer.name}.pre" if has_table(layer) else layer.name)
        if layer.kind == "add":
            ka, kb = self.add_factors(layer)
            a, b = (only(self.step(name)) for name in layer.inputs)
            real = (a / ka if ka >= kb else b / kb) / only(result)
        elif layer.kind == "multiply":
            a, gate = (self.step(name) for name in layer.inputs)
            real = a * (gate if a.ndim else only(gate)) / result
        elif layer.kind == "strip_pool":
            real = self.step(layer.inputs[0]) / (self.strip_sizes(layer) * result)
        elif layer.kind == "window_pool":
            real = self.step(layer.inputs[0]) / (layer.size * result)
        else:
            real = self.accumulator_step(layer) / (result.unsqueeze(-1) if result.ndim else result)
        return real.float().double()

    def add_factors(self, layer: Layer) -> tuple[int, int]:
        """The integers that bring both operands of a residual addition to one scale."""
        a, b = (float(only(self.step(name)).detach()) for name in layer.inputs)
        return add_factors(a, b)

    def strip_sizes(self, layer: Layer) -> Tensor:
        """Codes in each part's strip, float64 [P]."""
        _, height, width = self.shapes[layer.inputs[0]]
        sizes = [torch.full((bins,), height * width / bins, dtype=torch.float64) for bins in layer.bins]
        return torch.cat(sizes).to(self.step(layer.name).device)

    def power_tables(self, layer: Layer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Powers [R, 256] by code and thresholds [R, hi - lo] of a generalized mean."""
        source, width = layer.inputs[0], self.shapes[layer.inputs[0]][2]
        return power_tables(
            self.grid(source),
            float(self.step(source).detach()),
            self.grid(layer.name),
            self.step(layer.name).detach().cpu().numpy(),
            [rows * width for rows in layer.rows],
            layer.powers,
        )

    def table_integers(self, layer: Layer) -> Tensor:
        """The integers behind the layer's table, float64 [256] by the code before it; no gradient."""
        source, grid = f"{layer.name}.pre", self.grids[layer.name]
        integers = torch.arange(-128, 128, dtype=torch.float64) - self.grids[source].zero_point
        inner, outer = (value.detach().cpu() for value in self.table_scales(layer))
        exact = activate(integers * inner, layer.activation) * outer
        return torch.clamp(torch.floor(exact + 0.5), grid.min_integer, grid.max_integer)

    def table_scales(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """What a table multiplies by before and behind its activation, float64 scalars.

        A leaky ReLU needs the ratio of the two steps alone.
        """
        before, behind = only(self.step(f"{layer.name}.pre")), only(self.step(layer.name))
        if layer.activation == "leaky_relu":
            return before / behind, torch.ones_like(behind)
        return before, 1 / behind

    # Execution -------------------------------------------------------------------------------------------------

    def forward(
        self,
        frames: Tensor,
        dtype: torch.dtype = torch.float32,
        chunk: int | None = None,
        lengths: Sequence[int] | None = None,
        observe: Callable[[str, Tensor], None] | None = None,
    ) -> Tensor:
        """Silhouettes [n, s, H, W], values 0..255, to embedding integers [n, P, C] in ``dtype``.

        n clips of several ``lengths`` come one after the other: frames [1, sum(lengths), H, W].

        In bfloat16, for training alone, some integers differ from the integer graph's: see ``IntegerArithmetic``.
        ``observe`` sees the integers of every layer; ``real`` makes real numbers of them.
        """
        return traversal.run(self.layers, frames.to(dtype), IntegerArithmetic(self, dtype), chunk, observe, lengths)

    def real(self, tensor: str, integers: Tensor) -> Tensor:
        """The real numbers, float32, that integers of a layer's result stand for, with the gradient of its step."""
        step = self.step(tensor).float()
        return integers.float() * (step.unsqueeze(-1) if step.ndim else step)

    def embedding_step(self) -> Tensor:
        """The step of every part, float64 [P]."""
        return self.step(self.layers[-1].name)

    def embed(self, clip: NDArray[np.uint8], dtype: torch.dtype = torch.float32) -> NDArray[np.int8]:
        """Embedding codes [P, C] of one clip [s, H, W]."""
        with torch.inference_mode():
            integers = self(torch.from_numpy(clip)[None], dtype, FRAMES_AT_ONCE)[0]
        return (integers + self.grid(self.layers[-1].name).zero_point).numpy().astype(np.int8)

    def trace(self, clip: NDArray[np.uint8], dtype: torch.dtype = torch.float64) -> dict[str, NDArray[np.int8]]:
        """Codes of every layer of one clip, keyed by tensor name, in the integer graph's NHWC order."""
        codes = {}

        def observe(name: str, value: Tensor) -> None:
            array = (value + self.grid(name).zero_point).numpy().astype(np.int8)
            array = array.reshape(-1, *self.shapes[name.removesuffix(".pre")])
            codes[name] = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array

        with torch.inference_mode():
            frames = torch.from_numpy(clip)[None].to(dtype)
            traversal.run(self.layers, frames, IntegerArithmetic(self, dtype, observe), observe=observe)
        return codes

    def accumulator_step(self, layer: Layer) -> Tensor:
        step = self.step(layer.inputs[0])
        return (step.unsqueeze(-1) if step.ndim else step) * parameter(self.weight_steps, weight_owner(layer)).double()
