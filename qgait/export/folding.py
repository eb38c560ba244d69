"""From the simulated network to the integer graph: every learned scale becomes an integer multiplier.

The numbers are those that simulated quantization computes with (``weight_integers``, ``bias_integers``,
``multiplier``): nothing is rounded a second time here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import (
    Add,
    Concat,
    Conv2d,
    DepthwiseConv2d,
    FrameMax,
    FrameWindow,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    Requant,
    RowSlice,
    StripPool,
    Table,
    Tensor,
    WindowMax,
    WindowPool,
)
from qgait.export.shared_windows import share_windows
from qgait.fixedpoint import encode_multiplier

if TYPE_CHECKING:
    import torch

    from qgait.models.layers import Layer
    from qgait.quantizers.simulated import SimulatedNetwork


def fold(network: SimulatedNetwork) -> Graph:
    """The integer graph of ``network``; ``qgait.export.checks.check_graph`` says whether it may be exported.

    QgaitError, naming the layer, where a multiplier is beyond the integer rule.
    """
    from qgait.models.layers import INPUT
    from qgait.models.series import min_frames

    tensors: dict[str, Tensor] = {INPUT: _tensor(network, INPUT, True)}
    ops: list[Op] = []
    for layer in network.layers:
        for op in _operators(network, layer):
            ops.append(op)
            tensors[op.output] = _tensor(network, op.output, layer.per_frame)
    graph = Graph(
        network.model,
        str(network.recipe),
        INPUT,
        network.layers[-1].name,
        tensors,
        tuple(ops),
        min_frames=min_frames(network.layers),
        provenance=dict(network.provenance),
    )
    return share_windows(graph)


def _tensor(network: SimulatedNetwork, name: str, per_frame: bool) -> Tensor:
    grid = network.grid(name)
    shape = network.shapes[name.removesuffix(".pre")]
    if len(shape) == 3:
        channels, height, width = shape
        shape = (height, width, channels)
    scale = _array(network.step(name)).astype(np.float32)
    return Tensor(name, shape, scale, grid.zero_point, grid.lo, grid.hi, per_frame)


def _operators(network: SimulatedNetwork, layer: Layer) -> list[Op]:
    """The operator of a layer, with a table behind it where its activation is one."""
    from qgait.quantizers.step_owners import has_table

    result = f"{layer.name}.pre" if has_table(layer) else layer.name
    main = _operator(network, layer, result)
    return [main, _table(network, layer, result)] if has_table(layer) else [main]


def _operator(network: SimulatedNetwork, layer: Layer, result: str) -> Op:
    name, inputs = layer.name, layer.inputs
    zero_point = network.grid(inputs[0]).zero_point
    match layer.kind:
        case "conv":
            weight = _array(network.weight_integers(layer)).astype(np.int8)
            is_depthwise = weight.shape[1] < network.shapes[inputs[0]][0]
            weight = (weight[:, 0].transpose(1, 2, 0) if is_depthwise else weight.transpose(0, 2, 3, 1)).copy()
            kind = DepthwiseConv2d if is_depthwise else Conv2d
            bias = _bias(network, layer, zero_point, kind.total(weight))
            return kind(name, inputs, result, weight, bias, layer.stride, layer.padding, _requant(network, layer))
        case "part_linear":
            weight = _array(network.weight_integers(layer)).astype(np.int8)
            bias = _bias(network, layer, zero_point, PartLinear.total(weight))
            return PartLinear(name, inputs, result, weight, bias, _requant(network, layer))
        case "add":
            return Add(name, inputs, result, network.add_factors(layer), _requant(network, layer, (1,)))
        case "strip_pool":
            return StripPool(name, inputs, result, layer.bins, _requant(network, layer, (-1, 1)), layer.pool)
        case "gem_pool":
            return PowerPool(name, inputs, result, layer.rows, *network.power_tables(layer))
        case "multiply":
            is_map = len(network.shapes[name]) == 3
            return Multiply(name, inputs, result, _requant(network, layer, (1,) if is_map else (-1, 1)))
        case "max_pool":
            return MaxPool2d(name, inputs, result, layer.kernel)
        case "row_slice":
            return RowSlice(name, inputs, result, layer.start, layer.stop)
        case "window" | "window_max" | "window_pool":
            return _window(network, layer)
        case "frame_max":
            return FrameMax(name, inputs, result)
        case "concat":
            return Concat(name, inputs, result)
    raise TypeError(f"layer {name} is of unknown kind {layer.kind}")


def _window(network: SimulatedNetwork, layer: Layer) -> Op:
    name, inputs = layer.name, layer.inputs
    if layer.kind == "window_pool":
        is_map = len(network.shapes[name]) == 3
        return WindowPool(name, inputs, name, layer.size, _requant(network, layer, (1,) if is_map else (-1, 1)))
    kind = FrameWindow if layer.kind == "window" else WindowMax
    return kind(name, inputs, name, layer.size, layer.frames_stride, layer.frames_padding)


def _bias(network: SimulatedNetwork, layer: Layer, zero_point: int, weight_sum: NDArray[np.int64]) -> NDArray[np.int32]:
    bias = _array(network.bias_integers(layer)).astype(np.int64) - zero_point * weight_sum
    return np.clip(bias, -(2**31), 2**31 - 1).astype(np.int32)


def _requant(network: SimulatedNetwork, layer: Layer, shape: tuple[int, ...] | None = None) -> Requant:
    real = _array(network.multiplier(layer)).astype(np.float32)
    try:
        return Requant(*encode_multiplier(real if shape is None else real.reshape(shape)))
    except ValueError as error:  # which says what the integer rule cannot hold
        raise QgaitError(
            f"{layer.name} cannot be rescaled by integers: {error}.",
            "calibrate again with more clips, or from a checkpoint whose weights are neither huge nor all but zero.",
        ) from None


def _table(network: SimulatedNetwork, layer: Layer, source: str) -> Table:
    table = _array(network.table_integers(layer)) + network.grid(layer.name).zero_point
    return Table(f"{layer.name}.{layer.activation}", (source,), layer.name, table.astype(np.int8))


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.detach().numpy()
