"""Which tensors are rounded, whose codes the others carry, and which of them share one step.

Codes that are joined mean the same number, so what is joined shares a step: maps that are joined on rows, and the parts
of a tensor that is added. So do the values before the tables of convolutions that share a weight. One table serves all
parts, which share a step before and behind it. All this follows from the layers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qgait.models.layers import INPUT, Layer

ROUNDED = ("conv", "add", "multiply", "strip_pool", "gem_pool", "window_pool", "part_linear")
TABLES = ("leaky_relu", "sigmoid")


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
    return layer.activation in TABLES


def quantized_tensors(layers: Sequence[Layer]) -> list[QuantizedTensor]:
    """Every tensor with a grid of its own, in order. Choosing values, their maxima and joins keep codes."""
    tensors = []
    for layer in layers:
        if layer.kind in ROUNDED:
            if has_table(layer):
                tensors.append(QuantizedTensor(layer.name, True))
            tensors.append(QuantizedTensor(layer.name, False))
    return tensors


class StepOwners:
    """``of[tensor]`` is the first of the quantized tensors that share the step of ``tensor``: its name in files.

    ``single``: those of them that are parts and have one step for all parts.
    """

    def __init__(self, layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._by_name = {layer.name: layer for layer in layers}
        self.of = {tensor.name: tensor.name for tensor in quantized_tensors(layers)}
        self._order = {name: place for place, name in enumerate(self.of)}
        together: set[str] = set()
        for layer in layers:
            is_map = len(shapes[layer.name]) == 3
            if has_table(layer) and layer.shares:
                self._unite([f"{layer.name}.pre", f"{layer.shares}.pre"])
            if has_table(layer) and not is_map:
                together |= {layer.name, f"{layer.name}.pre"}
            if layer.kind == "concat" and is_map:
                self._unite(list(self.origins(layer.name)))
            if layer.kind == "add" and not is_map:
                together.add(layer.name)
                for name in layer.inputs:
                    self._unite(list(self.origins(name)))
                    together.update(self.origins(name))
        self.single = {self.of[name] for name in together}

    def origins(self, tensor: str) -> Iterator[str]:
        """The quantized tensors whose codes ``tensor`` carries, or the silhouette; each of them once."""
        return self._walk(tensor, set())

    def pieces(self, tensor: str) -> Iterator[str]:
        """The quantized tensors that parts are joined of, in order; one may come several times."""
        return self._walk(tensor, None)

    def _walk(self, tensor: str, seen: set[str] | None) -> Iterator[str]:
        """Without recursion, and what is ``seen`` once: a file may join a tensor with itself again and again."""
        waiting = [tensor]
        while waiting:
            name = waiting.pop()
            if seen is not None:
                if name in seen:
                    continue
                seen.add(name)
            if name in self.of or name == INPUT:
                yield name
            else:
                waiting += reversed(self._by_name[name].inputs)

    def _unite(self, names: list[str]) -> None:
        if INPUT in names:
            raise ValueError("rows of the silhouette cannot be joined with other maps")
        owners = {self.of[name] for name in names}
        first = min(owners, key=lambda name: self._order[name])
        self.of.update({name: first for name, owner in self.of.items() if owner in owners})
