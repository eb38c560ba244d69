"""Names and shapes of a state dict, from which a backbone reads what it must be built like."""

from __future__ import annotations

from collections.abc import Mapping

import torch

MOST = 64  # blocks of a layer, regions of a stage


class MissingWeightError(KeyError):
    """No weight has this name."""


class OddWeightError(ValueError):
    """A weight has another number of dimensions than its layer's."""


class WeightShapes:
    """``weights[name, dimensions]`` is a shape. Raises MissingWeightError, OddWeightError."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self._shapes = {key: tuple(value.shape) for key, value in state.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def __getitem__(self, what: tuple[str, int]) -> tuple[int, ...]:
        name, dimensions = what
        if name not in self._shapes:
            raise MissingWeightError(name)
        shape = self._shapes[name]
        if len(shape) != dimensions or 0 in shape:
            raise OddWeightError(name, dimensions)
        return shape

    def count(self, template: str) -> int:
        """How many of ``template.format(0)``, ``.format(1)``, ... begin a name; at least 1, so that one is missed.

        Of more than ``MOST`` no more are looked for.
        """
        number = 0
        while number <= MOST and any(name.startswith(template.format(number)) for name in self._shapes):
            number += 1
        return max(number, 1)
