"""Calibration: from a float network and a few clips to a network on integer grids, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qgait.calibration.observers import METHODS, Floats, Observer, choose
from qgait.calibration.report import CalibrationReport, TensorReport
from qgait.calibration.weights import weight_steps
from qgait.errors import QgaitError
from qgait.models.layers import INPUT, Layer, activate
from qgait.quantizers import traversal
from qgait.quantizers.float_arithmetic import FloatArithmetic
from qgait.quantizers.grid import Grid, Recipe
from qgait.quantizers.level_arithmetic import LevelArithmetic, quantized_tensors
from qgait.quantizers.simulated import SimulatedNetwork, parameter_key

Clip = NDArray[np.uint8]
FRAMES = 12  # of every clip, evenly spaced
CORRECTION_CLIPS = 24


def calibrate(
    model: str,
    layers: list[Layer],
    clips: Sequence[Clip],
    recipe: Recipe,
    method: str = "mse",
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[SimulatedNetwork, CalibrationReport]:
    """A simulated network for ``layers`` (batch norm folded) whose grids fit ``clips`` (uint8 [s, H, W]).

    ``method`` chooses the ranges: ``mse``, ``percentile`` (99.99) or ``minmax``. Biases are then corrected layer by
    layer, so that every channel's mean before the activation equals that of the float network.
    """
    if method not in METHODS:
        raise QgaitError(f"'{method}' is not a calibration method.", f"choose one of {', '.join(METHODS)}.")
    if len(clips) < 2:
        raise QgaitError(
            f"Calibration needs at least 2 clips and got {len(clips)}.", "give a data set with more clips."
        )
    tell = progress or (lambda what, done, total: None)
    frames = torch.from_numpy(np.stack([_evenly(clip) for clip in clips]))
    names = [tensor.name for tensor in quantized_tensors(layers)]
    observers, means = _observe(layers, frames, names, tell)

    bits = {name: _tensor_bits(layers, name, recipe) for name in names}
    grids, steps, drift = _choose_grids(layers, observers, bits, method)
    widths = weight_bits(layers, recipe)
    w_steps = {
        layer.name: weight_steps(layer.weight, widths[layer.name], method, (0,) if layer.kind == "conv" else (0, 2))
        for layer in layers
        if layer.weight is not None
    }
    network = SimulatedNetwork(
        model, recipe, layers, (int(frames.shape[2]), int(frames.shape[3])), widths, w_steps, grids, steps
    )
    tell("correcting biases", 0, 1)
    _correct_biases(network, frames[:CORRECTION_CLIPS], means)
    tell("correcting biases", 1, 1)
    reports = [
        TensorReport(
            name,
            bits[name],
            float(steps[name].mean()),
            observers[name].clipped(grids[name], steps[name].double().numpy().reshape(-1)),
            drift[name],
        )
        for name in names
    ]
    return network, CalibrationReport(len(clips), FRAMES, method, reports)


def weight_bits(layers: list[Layer], recipe: Recipe) -> dict[str, int]:
    """By layer: first convolutions (those that read the silhouette) and part_linear layers follow ``first_last``."""
    ends = 8 if recipe.first_last == "8" else recipe.weights
    return {
        layer.name: ends if INPUT in layer.inputs or layer.kind == "part_linear" else recipe.weights
        for layer in layers
        if layer.weight is not None
    }


def _evenly(clip: Clip) -> Clip:
    return clip[np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)]


def _rows(value: Tensor) -> NDArray[np.float32]:
    """Parts [n, P, C] to [P, n * C]; anything else to one row."""
    if value.ndim == 3:
        return value.transpose(0, 1).flatten(1).numpy()
    return value.reshape(1, -1).numpy()


def _observe(
    layers: list[Layer], frames: Tensor, names: list[str], tell: Callable[[str, int, int], None]
) -> tuple[dict[str, Observer], dict[str, Tensor]]:
    """Observers of every quantized tensor, and the float network's mean of every channel before its activation."""
    observers: dict[str, Observer] = {}
    sums: dict[str, Tensor] = {}
    wanted = set(names)
    for turn, what in enumerate(("looking for ranges", "collecting histograms")):
        for index in range(len(frames)):
            tell(what, index, len(frames))

            def observe(name: str, value: Tensor, turn: int = turn, index: int = index) -> None:
                if name.endswith(".pre") and turn and index < CORRECTION_CLIPS:
                    mean = value.mean((0, 2, 3)) if value.ndim == 4 else value.mean(0)
                    sums[name[:-4]] = sums.get(name[:-4], torch.zeros(())) + mean.double()
                if name in wanted:
                    rows = _rows(value)
                    if turn:
                        observers[name].see_values(rows, index % 2)
                    else:
                        observers.setdefault(name, Observer(len(rows))).see_range(rows)

            with torch.inference_mode():
                traversal.run(layers, frames[index : index + 1], FloatArithmetic(observe), observe=observe)
        tell(what, len(frames), len(frames))
    count = min(CORRECTION_CLIPS, len(frames))
    return observers, {name: total / count for name, total in sums.items()}


def _tensor_bits(layers: list[Layer], name: str, recipe: Recipe) -> int:
    """The recipe's width where a convolution reads the tensor, directly or pooled; 8 elsewhere."""
    if name.endswith(".pre"):
        return 8
    carried = {name}
    for layer in layers:
        if layer.kind in ("max_pool", "frame_max", "concat") and carried.intersection(layer.inputs):
            carried.add(layer.name)
    read = any(layer.kind == "conv" and carried.intersection(layer.inputs) for layer in layers)
    return recipe.activations if read else 8


def _choose_grids(
    layers: list[Layer], observers: dict[str, Observer], bits: dict[str, int], method: str
) -> tuple[dict[str, Grid], dict[str, Tensor], dict[str, float]]:
    """Grid and step of every tensor, and how far the steps of half the data are from those of all."""
    joined = {name: layer.inputs for layer in layers if layer.kind == "concat" for name in layer.inputs}
    activation = {layer.name: layer.activation for layer in layers}
    grids: dict[str, Grid] = {}
    steps: dict[str, Tensor] = {}
    drift: dict[str, float] = {}
    for name in observers:
        if name in grids:
            continue
        group = list(joined.get(name, (name,)))
        kind = activation[name[:-4]] if name.endswith(".pre") else "none"

        def function(x: Floats, kind: str = kind) -> Floats:
            return activate(torch.from_numpy(x), kind).numpy()

        seen = [observers[member] for member in group]
        embedding = name == layers[-1].name
        grid, chosen = choose(seen, bits[name], method, function, None, embedding)
        halves = [choose(seen, bits[name], method, function, half, embedding)[1] for half in (0, 1)]
        for i, member in enumerate(group):
            grids[member] = grid
            values = torch.from_numpy(chosen[i]).float()
            steps[member] = values[0] if len(values) == 1 else values
            drift[member] = float(np.max([np.abs(half[i] / chosen[i] - 1).mean() for half in halves]))
    return grids, steps, drift


class _CorrectingBiases(LevelArithmetic):
    """Runs the network once; every layer's bias is corrected before its codes are made and passed on."""

    def __init__(self, network: SimulatedNetwork, means: dict[str, Tensor]) -> None:
        super().__init__(network, torch.float32)
        self.means = means

    def requantize(self, layer: Layer, acc: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None:
            total = acc + (bias.view(1, -1, 1, 1) if acc.ndim == 4 else bias).to(acc.dtype)
            mean = (total.mean((0, 2, 3)) if total.ndim == 4 else total.mean(0)).double()
            parameter = self.net.biases[parameter_key(layer.name)]
            parameter += (self.means[layer.name] - mean * self.net.accumulator_step(layer)).float()
            bias = self.net.bias_levels(layer)
        return super().requantize(layer, acc, bias)


def _correct_biases(network: SimulatedNetwork, frames: Tensor, means: dict[str, Tensor]) -> None:
    with torch.no_grad():
        traversal.run(network.layers, frames.float(), _CorrectingBiases(network, means))
