"""Calibration: from a float network and a few clips to a network on integer grids, without training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qgait.calibration.bias_correction import correct_biases
from qgait.calibration.bit_widths import tensor_bits, weight_bits
from qgait.calibration.observers import METHODS, Floats, Observer, choose
from qgait.calibration.report import CalibrationReport, TensorReport
from qgait.calibration.weights import weight_steps
from qgait.errors import QgaitError
from qgait.models.layers import Layer, activate, shapes
from qgait.models.series import WINDOWS
from qgait.progress import Progress, untold
from qgait.quantizers import traversal
from qgait.quantizers.deployable import widen_weight_steps
from qgait.quantizers.float_arithmetic import FloatArithmetic
from qgait.quantizers.grid import Grid, Recipe
from qgait.quantizers.parameters import weight_layers
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.step_owners import StepOwners

Clip = NDArray[np.uint8]
FRAMES = 12  # of every clip
CORRECTION_CLIPS = 24
LARGEST_VALUE = 1e18  # squares, of which distances are made, fit into float32


def calibrate(
    model: str,
    layers: list[Layer],
    clips: Sequence[Clip],
    recipe: Recipe,
    method: str = "mse",
    progress: Progress | None = None,
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
    tell = progress or untold
    _require_finite_weights(layers)
    frames = torch.from_numpy(np.stack([some_frames(layers, clip) for clip in clips]))
    height, width = (int(length) for length in frames.shape[2:])
    owners = StepOwners(layers, shapes(layers, (height, width)))
    observers, means = _observe(layers, frames, owners, tell)

    bits = tensor_bits(layers, owners, recipe)
    grids, steps, drift = _choose_grids(layers, owners, observers, bits, method)
    widths = weight_bits(layers, recipe)
    w_steps = {
        layer.name: weight_steps(layer.weight, widths[layer.name], method, (0,) if layer.kind == "conv" else (0, 2))
        for layer in weight_layers(layers)
        if layer.weight is not None
    }
    every = {name: grids[owner] for name, owner in owners.of.items()}
    network = SimulatedNetwork(model, recipe, layers, (height, width), widths, w_steps, every, steps)
    widen_weight_steps(network)
    tell("correcting biases", 0, 1)
    correct_biases(network, frames[:CORRECTION_CLIPS], means)
    widen_weight_steps(network)
    _require_finite_numbers(network)
    tell("correcting biases", 1, 1)
    reports = [
        TensorReport(
            name,
            bits[name],
            float(steps[name].mean()),
            observers[name].clipped(grids[name], steps[name].double().numpy().reshape(-1)),
            drift[name],
        )
        for name in dict.fromkeys(owners.of.values())
    ]
    return network, CalibrationReport(len(clips), FRAMES, method, reports)


def _require_finite_weights(layers: list[Layer]) -> None:
    for layer in layers:
        for what, value in (("weight", layer.weight), ("bias", layer.bias)):
            if value is not None and not torch.isfinite(value.float()).all():
                raise QgaitError(
                    f"The {what} of {layer.name}, with batch norm folded in, has NaN or infinity in float32.",
                    "look at its weights and at the variance of its batch norm; take an earlier checkpoint.",
                )


def _require_moderate_value(layers: list[Layer], name: str, value: Tensor) -> None:
    if not (value.abs() <= LARGEST_VALUE).all():
        largest = {layer.name: float(layer.weight.abs().max()) for layer in layers if layer.weight is not None}
        worst = max(largest, key=largest.__getitem__)
        raise QgaitError(
            f"{name.removesuffix('.pre')} overflows float32: the largest weight is {largest[worst]:.3g}, in {worst}.",
            "training diverged before the checkpoint was saved; take an earlier one.",
        )


def _require_finite_numbers(network: SimulatedNetwork) -> None:
    """Sums and squares of values that are finite may not be."""
    for name, value in network.named_parameters():
        if not torch.isfinite(value).all():
            raise QgaitError(
                f"Calibration finds NaN or infinity for {name.replace('/', '.')}: the float network's values are huge.",
                "training diverged before the checkpoint was saved; take an earlier one.",
            )


def some_frames(layers: list[Layer], clip: Clip) -> Clip:
    """The frames of a clip that calibration looks at: neighbours where layers do, otherwise evenly spaced ones.

    Neighbours are those in the middle of the clip; of one that is too short, frames are seen twice.
    """
    if len(clip) >= FRAMES and any(layer.kind in WINDOWS for layer in layers):
        start = (len(clip) - FRAMES) // 2
        return clip[start : start + FRAMES]
    return clip[np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)]


def _rows(value: Tensor, of_parts: bool) -> NDArray[np.float32]:
    """Parts [..., P, C] to [P, values] where each has a step of its own; anything else to one row."""
    if of_parts:
        return value.flatten(0, -3).transpose(0, 1).flatten(1).numpy()
    return value.reshape(1, -1).numpy()


def _observe(
    layers: list[Layer], frames: Tensor, owners: StepOwners, tell: Progress
) -> tuple[dict[str, Observer], dict[str, Tensor]]:
    """Observers by the owner of a step, and the float network's mean of every channel before its activation.

    An observer sees all tensors that share its step.
    """
    sizes = shapes(layers, (int(frames.shape[2]), int(frames.shape[3])))
    of_parts = {
        name
        for name, owner in owners.of.items()
        if len(sizes[name.removesuffix(".pre")]) == 2 and owner not in owners.single
    }
    observers: dict[str, Observer] = {}
    sums: dict[str, Tensor] = {}
    for turn, what in enumerate(("looking for ranges", "collecting histograms")):
        for index in range(len(frames)):
            tell(what, index, len(frames))

            def observe(name: str, value: Tensor, turn: int = turn, index: int = index) -> None:
                if name.endswith(".pre") and turn and index < CORRECTION_CLIPS:
                    mean = value.mean((0, 2, 3)) if value.ndim == 4 else value.mean(0)
                    sums[name[:-4]] = sums.get(name[:-4], torch.zeros(())) + mean.double()
                if not turn:
                    _require_moderate_value(layers, name, value)
                if name in owners.of:
                    rows = _rows(value, name in of_parts)
                    observer = observers.setdefault(owners.of[name], Observer(len(rows)))
                    if turn:
                        observer.see_values(rows, index % 2)
                    else:
                        observer.see_range(rows)

            with torch.inference_mode():
                traversal.run(layers, frames[index : index + 1], FloatArithmetic(observe), observe=observe)
        tell(what, len(frames), len(frames))
    count = min(CORRECTION_CLIPS, len(frames))
    return observers, {name: total / count for name, total in sums.items()}


def _choose_grids(
    layers: list[Layer], owners: StepOwners, observers: dict[str, Observer], bits: dict[str, int], method: str
) -> tuple[dict[str, Grid], dict[str, Tensor], dict[str, float]]:
    """Grid and step of every owner of a step, and how far the steps of half the data are from those of all."""
    joined: dict[str, list[str]] = {}  # parts that are joined have steps of their own on one grid
    for layer in layers:
        if layer.kind == "concat":
            group = list(dict.fromkeys(owners.of[origin] for origin in owners.origins(layer.name)))
            joined.update(dict.fromkeys(group, group))
    activation = {layer.name: layer.activation for layer in layers}
    grids: dict[str, Grid] = {}
    steps: dict[str, Tensor] = {}
    drift: dict[str, float] = {}
    for name in observers:
        if name in grids:
            continue
        group = joined.get(name, [name])
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
