"""Recorded layers: what a network is to quantization and export once its topology has been run through a Recorder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

INPUT = "silhouette"  # the name of the network's input tensor
FRAME_SHAPE = (64, 44)  # rows, columns of a silhouette
LEAKY_SLOPE = 0.01
GEM_FLOOR = 1e-6  # generalized means begin here


@dataclass(frozen=True, eq=False)
class Layer:
    """One recorded operator. Its output tensor bears its name; ``per_frame`` says which kind of tensor that is.

    ``kind`` and the fields that it has beside ``activation``:

    - conv: ``weight`` float64 OIHW with batch norm folded in, I = 1 where every channel has a kernel of its own;
      ``bias`` [O] or None, ``stride``, ``padding`` (top, left, bottom, right); ``shares`` names the earlier layer that
      has the same weight and bias
    - part_linear: ``weight`` float64 [P, I, O], ``bias`` [P, O] or None
    - max_pool: ``kernel``; row_slice: ``start``, ``stop``
    - strip_pool: ``bins``, ``pool`` mean_max | mean; gem_pool: ``rows`` and ``powers`` of every region
    - window, window_max, window_pool: ``size``, ``frames_stride``, ``frames_padding``, as in ``qgait.export.graph``
    - add, multiply, frame_max and concat have none
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    per_frame: bool
    activation: str = "none"
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    shares: str = ""
    kernel: int = 0
    start: int = 0
    stop: int = 0
    bins: tuple[int, ...] = ()
    pool: str = "mean_max"
    rows: tuple[int, ...] = ()
    powers: tuple[float, ...] = ()
    size: int = 0
    frames_stride: int = 1
    frames_padding: int = 0


def activate(x: torch.Tensor, activation: str) -> torch.Tensor:
    """The activation called ``activation``."""
    match activation:
        case "none":
            return x
        case "relu":
            return F.relu(x)
        case "leaky_relu":
            return F.leaky_relu(x, LEAKY_SLOPE)
        case "sigmoid":
            return torch.sigmoid(x)
    raise ValueError(f"no activation is called {activation!r}")


def shapes(layers: Sequence[Layer], frame: tuple[int, int] = FRAME_SHAPE) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor, the input included: maps (C, H, W), parts (P, C).

    Raises ValueError, naming the layer, where regions or slices of rows are not those of the map.
    """
    sizes: dict[str, tuple[int, ...]] = {INPUT: (1, *frame)}
    for layer in layers:
        sizes[layer.name] = shape_of(layer, [sizes[name] for name in layer.inputs])
    return sizes


def shape_of(layer: Layer, inputs: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of what ``layer`` makes of ``inputs``; raises ValueError as ``shapes`` does."""
    first = inputs[0]
    match layer.kind:
        case "conv":
            assert layer.weight is not None
            out, _, kh, kw = layer.weight.shape
            top, left, bottom, right = layer.padding
            rows = (first[1] + top + bottom - kh) // layer.stride[0] + 1
            return out, rows, (first[2] + left + right - kw) // layer.stride[1] + 1
        case "part_linear":
            assert layer.weight is not None
            return first[0], layer.weight.shape[2]
        case "max_pool":
            return first[0], first[1] // layer.kernel, first[2] // layer.kernel
        case "row_slice":
            if not 0 <= layer.start < layer.stop <= first[1]:
                raise ValueError(
                    f"{layer.name}: rows {layer.start} to {layer.stop} are not in a map of {first[1]} rows"
                )
            return first[0], layer.stop - layer.start, first[2]
        case "strip_pool":
            return sum(layer.bins), first[0]
        case "gem_pool":
            if sum(layer.rows) != first[1]:
                raise ValueError(f"{layer.name}: regions of {layer.rows} rows do not fill a map of {first[1]} rows")
            return len(layer.rows), first[0]
        case "window":
            channels = 0 if len(first) == 3 else 1
            return tuple(n * layer.size if axis == channels else n for axis, n in enumerate(first))
        case "concat":
            rows = sum(shape[-2] for shape in inputs)
            return (*first[:-2], rows, first[-1])
    return first
