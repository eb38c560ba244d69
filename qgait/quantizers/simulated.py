"""The ``fake`` level: a network whose values sit on integer grids, computed as integers held in floats.

Between layers travel levels (code - zero point), not real numbers. A convolution of levels is its int32 accumulator,
and one multiplication by the float32 multiplier of the integer rule, a rounding half up and a clip give the next
levels. In float64 every step is exact, so the levels are those of the integer graph; in float32 an accumulator
above 2**24 may be off by a little and round differently. Gradients flow to weights and steps as in LSQ (Esser
et al., 2020): through the rounding by a surrogate, straight through unless training says otherwise, none through the
clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from qgait.fixedpoint import add_factors
from qgait.models.layers import INPUT, Layer, activate, shapes
from qgait.quantizers import traversal
from qgait.quantizers.grid import INPUT_GRID, INPUT_STEP, Grid, Recipe, weight_limit
from qgait.quantizers.rounding import forget_inside, half_up, round_clip
from qgait.quantizers.surrogates import StraightThrough, Surrogates

FRAMES_AT_ONCE = 32


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor that is rounded: the layer that makes it, and whether the layer's activation is still to come."""

    layer: str
    before_activation: bool

    @property
    def name(self) -> str:
        """The layer's name, with ``.pre`` before the activation."""
        return f"{self.layer}.pre" if self.before_activation else self.layer


def has_table(layer: Layer) -> bool:
    """Whether the layer's activation is a table on 8-bit codes; a ReLU is the clip of the requantization."""
    return layer.activation == "leaky_relu"


def quantized_tensors(layers: list[Layer]) -> list[QuantizedTensor]:
    """Every tensor with a grid of its own, in order. Pooling and joining keep codes."""
    tensors = []
    for layer in layers:
        if layer.kind in ("conv", "add", "strip_pool", "part_linear"):
            if has_table(layer):
                tensors.append(QuantizedTensor(layer.name, True))
            tensors.append(QuantizedTensor(layer.name, False))
    return tensors


class SimulatedNetwork(nn.Module):
    """A list of layers with learned steps. Parameters are float32 and named after the layers.

    ``weights[name]``, ``biases[name]``: the folded weights in real units; ``weight_steps[name]``: [O] of a
    convolution, [P, O] of a part_linear; ``steps[tensor]``: scalar, or [P] for parts.
    ``grids[tensor]`` and ``weight_bits[name]`` are fixed. ``surrogates`` shape gradients and nothing else;
    ``trained`` says that the weights were trained on these grids and are no longer those of the float network.
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
        self.shapes = shapes(layers, frame_size)
        self._by_name = {layer.name: layer for layer in layers}
        computed = [layer for layer in layers if layer.weight is not None]
        self.weights = _parameters({layer.name: layer.weight for layer in computed})
        self.biases = _parameters({layer.name: _bias(layer) for layer in computed})
        self.weight_steps = _parameters(weight_steps)
        self.steps = _parameters(steps)

    # What the integer graph is made from -----------------------------------------------------------------------

    def source(self, tensor: str) -> str | None:
        """The quantized tensor whose codes ``tensor`` carries; None for the silhouette or a join of several."""
        while tensor not in self.grids:
            if tensor == INPUT or len(self._by_name[tensor].inputs) > 1:
                return None
            tensor = self._by_name[tensor].inputs[0]
        return tensor

    def step(self, tensor: str) -> Tensor:
        """The step of any tensor, float64: scalar, or [P] for parts."""
        origin = self.source(tensor)
        if origin is not None:
            return _parameter(self.steps, origin).double()
        if tensor == INPUT:
            return torch.tensor(np.float32(INPUT_STEP), dtype=torch.float64)
        return torch.cat([self.step(name) for name in self._by_name[tensor].inputs])

    def grid(self, tensor: str) -> Grid:
        """The grid of any tensor; what is joined has one grid."""
        origin = self.source(tensor)
        if origin is not None:
            return self.grids[origin]
        return INPUT_GRID if tensor == INPUT else self.grid(self._by_name[tensor].inputs[0])

    def weight_levels(self, layer: Layer) -> Tensor:
        """Integer weights as float64, in the layer's own layout."""
        step = self._weight_step(layer)
        limit = weight_limit(self.weight_bits[layer.name])
        return round_clip(_parameter(self.weights, layer.name).double() / step, -limit, limit, self.surrogates.weights)

    def bias_levels(self, layer: Layer) -> Tensor:
        """Integer biases at scale s_in * s_w as float64: [O] or [P, O]."""
        scale = self._accumulator_step(layer)
        return half_up(_parameter(self.biases, layer.name).double() / scale)

    def multiplier(self, layer: Layer) -> Tensor:
        """The integer rule's real multiplier, rounded to float32 once, returned as float64."""
        result = self.step(f"{layer.name}.pre" if has_table(layer) else layer.name)
        if layer.kind == "add":
            ka, kb = self.add_factors(layer)
            a, b = (self.step(name) for name in layer.inputs)
            real = (a / ka if ka >= kb else b / kb) / result
        elif layer.kind == "strip_pool":
            real = self.step(layer.inputs[0]) / (self.strip_sizes(layer) * result)
        else:
            real = self._accumulator_step(layer) / (result.unsqueeze(-1) if result.ndim else result)
        return real.float().double()

    def add_factors(self, layer: Layer) -> tuple[int, int]:
        """The integers that bring both operands of a residual addition to one scale."""
        a, b = (float(self.step(name).detach()) for name in layer.inputs)
        return add_factors(a, b)

    def strip_sizes(self, layer: Layer) -> Tensor:
        """Codes in each part's strip, float64 [P]."""
        _, height, width = self.shapes[layer.inputs[0]]
        sizes = [torch.full((bins,), height * width / bins, dtype=torch.float64) for bins in layer.bins]
        return torch.cat(sizes).to(_parameter(self.steps, layer.name).device)

    def table_levels(self, layer: Layer, levels: Tensor) -> Tensor:
        """The activation from pre-activation levels to activation levels, in the dtype of ``levels``."""
        ratio = self.step(f"{layer.name}.pre") / self.step(layer.name)
        return self._levels(activate(scaled(levels, ratio), layer.activation), layer.name).to(levels.dtype)

    # Execution -------------------------------------------------------------------------------------------------

    def forward(self, frames: Tensor, dtype: torch.dtype = torch.float32, chunk: int | None = None) -> Tensor:
        """Silhouettes [n, s, H, W], values 0..255, to embedding levels [n, P, C] in ``dtype``.

        Real embeddings are ``levels * network.embedding_step()[:, None]``.
        """
        return traversal.run(self.layers, frames.to(dtype), _Simulated(self, dtype), chunk)

    def embedding_step(self) -> Tensor:
        """The step of every part, float64 [P]."""
        return self.step(self.layers[-1].name)

    def embed(self, clip: NDArray[np.uint8], dtype: torch.dtype = torch.float32) -> NDArray[np.int8]:
        """Embedding codes [P, C] of one clip [s, H, W]."""
        with torch.inference_mode():
            levels = self(torch.from_numpy(clip)[None], dtype, FRAMES_AT_ONCE)[0]
        return (levels + self.grid(self.layers[-1].name).zero_point).numpy().astype(np.int8)

    def trace(self, clip: NDArray[np.uint8], dtype: torch.dtype = torch.float64) -> dict[str, NDArray[np.int8]]:
        """Codes of every layer of one clip, keyed by tensor name, in the integer graph's NHWC order."""
        codes = {}

        def observe(name: str, value: Tensor) -> None:
            array = (value + self.grid(name).zero_point).numpy().astype(np.int8)
            if array.ndim == 5:
                array = array[0]
            codes[name] = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array

        with torch.inference_mode():
            frames = torch.from_numpy(clip)[None].to(dtype)
            traversal.run(self.layers, frames, _Simulated(self, dtype, observe), observe=observe)
        return codes

    def _levels(self, u: Tensor, tensor: str) -> Tensor:
        """``u``, a real value over the tensor's step, on its grid.

        The 8-bit value before a table is no activation that a network is meant to have: always straight through.
        """
        low, high = self.grids[tensor].min_level, self.grids[tensor].max_level
        surrogate = StraightThrough() if tensor.endswith(".pre") else self.surrogates.activations
        levels = round_clip(u, low, high, surrogate)
        if surrogate.clip_only and torch.is_grad_enabled():
            step = self.step(tensor)
            levels = forget_inside(levels, u, low, high, step.unsqueeze(-1) if step.ndim else step)
        return levels

    def _weight_step(self, layer: Layer) -> Tensor:
        step = _parameter(self.weight_steps, layer.name).double()
        return step.view(-1, 1, 1, 1) if layer.kind == "conv" else step.unsqueeze(1)

    def _accumulator_step(self, layer: Layer) -> Tensor:
        step = self.step(layer.inputs[0])
        return (step.unsqueeze(-1) if step.ndim else step) * _parameter(self.weight_steps, layer.name).double()


class _Simulated:
    """The arithmetic of levels."""

    def __init__(self, network: SimulatedNetwork, dtype: torch.dtype, observe: object = None) -> None:
        self.net, self.dtype, self.observe = network, dtype, observe

    def input(self, frames: Tensor) -> Tensor:
        return frames.to(self.dtype).unsqueeze(2)

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = (t.to(self.dtype) for t in (self.net.weight_levels(layer), self.net.bias_levels(layer)))
        acc = F.conv2d(traversal.pad(layer, x), weight, stride=layer.stride) + bias.view(1, -1, 1, 1)
        return self._requantize(layer, acc, self.net.multiplier(layer).view(1, -1, 1, 1))

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        ka, kb = self.net.add_factors(layer)
        exact = scaled(ka * a + kb * b, self.net.multiplier(layer))
        if torch.is_grad_enabled():  # the factors are integers: the gradient takes the real ratio of the steps
            step_a, step_b, step = (self.net.step(name) for name in (*layer.inputs, layer.name))
            real = a * (step_a / step).to(self.dtype) + b * (step_b / step).to(self.dtype)
            exact = exact.detach() + (real - real.detach())
        return self.net._levels(exact, layer.name).to(self.dtype)

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        acc = torch.cat([total + size * top for size, total, top in traversal.strips(layer, x)], 1)
        return self._requantize(layer, acc, self.net.multiplier(layer).unsqueeze(-1))

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = (t.to(self.dtype) for t in (self.net.weight_levels(layer), self.net.bias_levels(layer)))
        acc = torch.einsum("npi,pio->npo", x, weight) + bias
        return self._requantize(layer, acc, self.net.multiplier(layer))

    def _requantize(self, layer: Layer, acc: Tensor, multiplier: Tensor) -> Tensor:
        name = f"{layer.name}.pre" if has_table(layer) else layer.name
        levels = self.net._levels(scaled(acc, multiplier), name).to(self.dtype)
        if not has_table(layer):
            return levels
        if callable(self.observe):
            self.observe(name, levels if levels.ndim != 4 else levels.unsqueeze(0))
        return self.net.table_levels(layer, levels)


def scaled(acc: Tensor, multiplier: Tensor) -> Tensor:
    """``acc * multiplier``: in float64, where it is exact, unless a gradient is wanted and speed counts."""
    if torch.is_grad_enabled():
        return acc * multiplier.to(acc.dtype)
    return acc.double() * multiplier


def _bias(layer: Layer) -> Tensor:
    """The layer's bias or zeros: [O] of a convolution, [P, O] of a part_linear."""
    if layer.bias is not None:
        return layer.bias
    assert layer.weight is not None
    shape = layer.weight.shape
    return torch.zeros(shape[0] if layer.kind == "conv" else (shape[0], shape[2]))


def _parameters(tensors: dict[str, Tensor | None]) -> nn.ParameterDict:
    """Parameter names may not hold dots; layer names do."""
    return nn.ParameterDict(
        {
            key.replace(".", "/"): nn.Parameter(value.detach().float().clone())
            for key, value in tensors.items()
            if value is not None
        }
    )


def _parameter(tensors: nn.ParameterDict, name: str) -> Tensor:
    return tensors[name.replace(".", "/")]
