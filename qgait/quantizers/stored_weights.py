"""Weights as a model file has them: integers on their grid, in as many bits as the grid has."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from qgait.quantizers.bit_planes import pack, plane_bytes, require_narrow, unpack, widths
from qgait.quantizers.grid import MAX_BITS
from qgait.quantizers.parameters import weight_owner
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.stored_tensors import StoredTensor


def weight_array(network: SimulatedNetwork, owner: str) -> NDArray[np.integer]:
    """The integers of the weight that ``owner`` may share with others: the widest, of which theirs are clipped."""
    sharing = [layer for layer in network.layers if layer.weight is not None and weight_owner(layer) == owner]
    layer = max(sharing, key=lambda layer: network.weight_bits[layer.name])
    integers = network.weight_integers(layer).detach().cpu().numpy()
    codes = integers.astype(np.int8, order="C")  # files are written as arrays lie in memory
    bits = network.weight_bits[layer.name]
    return codes if bits == MAX_BITS else np.concatenate(pack(codes, bits))


def form_of(shape: tuple[int, ...], bits: int) -> tuple[str, tuple[int, ...]]:
    """(safetensors' word for the type, shape) of the stored integers of a weight of this ``shape``."""
    if bits == MAX_BITS:
        return "I8", shape
    return "U8", (sum(plane_bytes(prod(shape), width) for width in widths(bits)),)


def integers_of(stored: StoredTensor, shape: tuple[int, ...], bits: int) -> torch.Tensor:
    """Float32 integers of a tensor that has the form of ``form_of``.

    ValueError, with a clause that says so, for what is not packed as it should be and for codes beyond the grid.
    """
    if bits == MAX_BITS:
        codes = np.frombuffer(stored.data, np.int8).reshape(shape)
        require_narrow(codes, bits)
    else:
        sizes = [plane_bytes(prod(shape), width) for width in widths(bits)]
        planes = np.split(np.frombuffer(stored.data, np.uint8), np.cumsum(sizes)[:-1])
        codes = unpack(planes, bits, shape)
    return torch.from_numpy(codes.astype(np.float32))
