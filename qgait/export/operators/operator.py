"""What an operator says about itself; its class changes what is different from the defaults here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qgait.export.operators.requant import Range
from qgait.export.operators.tensor import Shape, Tensor

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Op:
    """One operator: ``inputs`` and ``output`` are tensor names; ``name`` is the layer's name for people.

    Facts that depend on tensors take those of the whole graph, by name.
    """

    name: str
    inputs: tuple[str, ...]
    output: str

    arity: ClassVar[int | None] = 1  # how many inputs there are; None is one or more
    keeps_codes: ClassVar[bool] = False  # every code is one of an input, or a missing value, and means the same
    ends_frames: ClassVar[bool] = False  # makes one tensor of a clip from a series of a frame

    @property
    def window(self) -> tuple[int, int, int] | None:
        """(size, stride, padding) of an operator over neighbouring values; None for all others."""
        return None

    @property
    def parameters(self) -> int:
        """How many int8 weights there are."""
        return 0

    @property
    def weight_bytes(self) -> int:
        """What its weights take when they are packed; 0 without weights."""
        return 0

    @property
    def words(self) -> str:
        """What it does, in a few words for pictures."""
        return type(self).__name__

    def sources(self, tensors: Tensors) -> list[Tensor]:
        """The tensors of ``inputs``, in their order."""
        return [tensors[name] for name in self.inputs]

    def output_shape(self, tensors: Tensors) -> Shape:
        """The shape of the result. Raises ValueError, saying what does not fit, for impossible inputs or arrays."""
        return tensors[self.inputs[0]].shape

    def accumulator(self, tensors: Tensors) -> Range | None:
        """The smallest and largest accumulator that any input can cause, in the multiplier's shape; None without."""
        return None

    def macs(self, tensors: Tensors) -> int:
        """Multiply-accumulates for one value."""
        return 0

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """One clause for every rule of its own that it breaks; shapes are known to fit."""
        return iter(())


def require(array: np.ndarray, what: str, dtype: type[np.integer], shape: Shape) -> None:
    """Raises ValueError unless ``array`` has this type and shape."""
    if array.dtype != dtype or array.shape != shape:
        wanted = f"{np.dtype(dtype)} {list(shape)}"
        raise ValueError(f"{what} are {array.dtype} {list(array.shape)}, not {wanted}")


def multiplier_shape(tensor: Tensor) -> Shape:
    """Of a multiplier that all pixels of a map, or all channels of a part, have in common: (1,) or (P, 1)."""
    return (1,) if len(tensor.shape) == 3 else (tensor.shape[0], 1)
