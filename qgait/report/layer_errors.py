"""Where quantization costs precision: every layer of the three levels on the same clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph
from qgait.progress import Progress, untold
from qgait.runtime import reference

if TYPE_CHECKING:
    from torch import Tensor

    from qgait.models.layers import Layer
    from qgait.quantizers.simulated import SimulatedNetwork


def layer_errors(
    network: SimulatedNetwork,
    graph: Graph,
    real_layers: list[Layer] | None,
    clips: Sequence[NDArray[np.uint8]],
    progress: Progress = untold,
) -> list[dict[str, Any]]:
    """One entry a layer, in execution order, over all ``clips`` (uint8 [n, H, W]).

    ``sqnr_db``: signal to quantization-noise ratio of the fake against the float level, 10 log10(sum x^2 /
    sum (x - q)^2), None where they are equal; it includes what the layers before it lost. ``real_layers`` are those of
    the float network; without them it is None everywhere. ``codes``: how many codes
    were compared; ``fake_float32``, ``fake_float64``: how many of them differ between the fake and the int level.
    """
    import torch

    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    counts: dict[str, list[int]] = {layer.name: [0, 0, 0] for layer in network.layers}
    for number, clip in enumerate(clips, 1):
        exact = reference.trace(graph, clip)
        double = network.trace(clip, torch.float64)
        single = network.trace(clip, torch.float32)
        real = {} if real_layers is None else _float(real_layers, clip)
        for layer in network.layers:
            name = layer.name
            if name in real:
                tensor = graph.tensors[name]
                scale = tensor.scale.astype(np.float64).reshape(-1, 1) if tensor.scale.ndim else float(tensor.scale)
                quantized = (double[name].astype(np.float64) - tensor.zero_point) * scale
                signal[name] = signal.get(name, 0.0) + float((real[name] ** 2).sum())
                noise[name] = noise.get(name, 0.0) + float(((real[name] - quantized) ** 2).sum())
            for tensor_name in (f"{name}.pre", name):
                if tensor_name in double:
                    counts[name][0] += double[tensor_name].size
                    counts[name][1] += int(np.count_nonzero(single[tensor_name] != exact[tensor_name]))
                    counts[name][2] += int(np.count_nonzero(double[tensor_name] != exact[tensor_name]))
        progress("comparing layers", number, len(clips))
    order = sorted(network.layers, key=lambda layer: not graph.tensors[layer.inputs[0]].per_frame)
    return [
        {
            "layer": layer.name,
            "per_frame": graph.tensors[layer.inputs[0]].per_frame,
            "sqnr_db": _decibels(signal.get(layer.name, 0.0), noise.get(layer.name, 0.0)),
            "codes": counts[layer.name][0],
            "fake_float32": counts[layer.name][1],
            "fake_float64": counts[layer.name][2],
        }
        for layer in order
    ]


def _decibels(signal: float, noise: float) -> float | None:
    return 10 * math.log10(signal / noise) if signal and noise else None


def _float(layers: list[Layer], clip: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Every layer's real values, in the integer graph's NHWC order."""
    import torch

    from qgait.quantizers import traversal
    from qgait.quantizers.float_arithmetic import FloatArithmetic

    values = {}

    def observe(name: str, value: Tensor) -> None:
        array = value.double().numpy()
        if array.ndim == 5:
            array = array[0]
        values[name] = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array

    with torch.inference_mode():
        traversal.run(layers, torch.from_numpy(clip)[None], FloatArithmetic(), observe=observe)
    return values
