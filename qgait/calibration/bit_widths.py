"""How many bits each weight and each tensor has under a recipe."""

from __future__ import annotations

from qgait.models.layers import INPUT, Layer
from qgait.quantizers.grid import Recipe
from qgait.quantizers.step_owners import StepOwners

CARRIERS = ("max_pool", "frame_max", "concat", "row_slice", "window", "window_max")  # they keep codes


def weight_bits(layers: list[Layer], recipe: Recipe) -> dict[str, int]:
    """By layer: those that read the silhouette and the embedding layer follow ``first_last``."""
    ends = 8 if recipe.first_last == "8" else recipe.weights
    first = _carrying(layers, INPUT)
    return {
        layer.name: ends if first.intersection(layer.inputs) or layer is layers[-1] else recipe.weights
        for layer in layers
        if layer.weight is not None
    }


def tensor_bits(layers: list[Layer], owners: StepOwners, recipe: Recipe) -> dict[str, int]:
    """By owner of a step: the recipe's width where a convolution reads a tensor, directly or pooled; 8 elsewhere.

    A matrix a part is a convolution over time, but for the last one, which makes the embedding.
    """
    bits = dict.fromkeys(owners.of.values(), 8)
    for name, owner in owners.of.items():
        carried = _carrying(layers, name)
        readers = [layer.kind for layer in layers[:-1] if carried.intersection(layer.inputs)]
        if not name.endswith(".pre") and ("conv" in readers or "part_linear" in readers):
            bits[owner] = recipe.activations
    return bits


def _carrying(layers: list[Layer], tensor: str) -> set[str]:
    """The tensors in which codes of ``tensor`` are."""
    carried = {tensor}
    for layer in layers:
        if layer.kind in CARRIERS and carried.intersection(layer.inputs):
            carried.add(layer.name)
    return carried
