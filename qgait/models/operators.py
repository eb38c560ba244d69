"""The operators that every backbone is written in.

A backbone's ``run(ops, frames)`` calls these and nothing else, so one definition serves the float forward (FloatOps),
simulated quantization and the integer export (Recorder).

Tensors: per-frame maps [n, s, C, H, W] and parts [n, s, P, C], clip maps [n, C, H, W] and parts [n, P, C].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class Operators(Protocol[T]):
    """What a backbone may call; ``name`` is the layer's and its output's name, unique in the network.

    Activations: none, relu, leaky_relu (slope 0.01), sigmoid. A series of values over time is what frames are at first;
    windows make shorter ones, and values of one place are added, multiplied and joined.
    """

    def conv(self, x: T, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, activation: str = "none") -> T:
        """Convolution, batch norm, activation of frame or clip maps. One module called twice is one set of weights.

        It sums over all channels, or each channel has a kernel of its own: ``groups`` is 1 or the number of channels.
        """

    def conv3d(
        self, x: T, name: str, conv: nn.Conv3d, norm: nn.BatchNorm3d | None = None, activation: str = "none"
    ) -> T:
        """Convolution over neighbouring frames' maps, batch norm, activation; frames beyond the clip are zero.

        Recorded as the window ``<name>.window`` and a convolution with weight [O, kt * I, kh, kw], whose input channel
        ``i * I + c`` is channel c of the i-th neighbour.
        """

    def add(self, a: T, b: T, name: str, activation: str = "none") -> T:
        """Sum of two maps or parts of one shape, then the activation."""

    def multiply(self, a: T, gate: T, name: str) -> T:
        """Product with a tensor of the same shape, or of a map with parts [.., 1, C]: one factor a channel."""

    def max_pool(self, x: T, name: str, kernel: int) -> T:
        """Maximum over kernel x kernel squares of a map, stride ``kernel``, no padding."""

    def frame_max(self, x: T, name: str) -> T:
        """Set pooling, maximum over the frames of a clip: [n, s, ...] -> [n, ...]."""

    def window(self, x: T, name: str, size: int, stride: int = 1, padding: int = 0) -> T:
        """Neighbouring values side by side, the oldest first: C -> size * C channels; missing ones are zero."""

    def window_max(self, x: T, name: str, size: int, stride: int = 1, padding: int = 0) -> T:
        """Maximum of neighbouring values; missing ones do not count."""

    def window_pool(self, x: T, name: str, size: int) -> T:
        """Mean + maximum of ``size`` neighbours (odd). Missing ones are zeros to the mean, nothing to the maximum."""

    def row_slice(self, x: T, name: str, start: int, stop: int) -> T:
        """Rows ``start`` to ``stop`` (not included) of a map."""

    def strip_pool(self, x: T, name: str, bins: Sequence[int], kind: str = "mean_max") -> T:
        """Horizontal pyramid pooling, mean + max (or ``mean``) of each of b strips of rows, for b in bins: -> parts."""

    def gem_pool(self, x: T, name: str, rows: Sequence[int], powers: Sequence[nn.Parameter]) -> T:
        """Generalized mean ``mean(max(x, 1e-6) ** p) ** (1 / p)`` of regions of ``rows`` whole rows: map -> parts.

        ``powers``: p of every region, or one for all.
        """

    def concat(self, xs: Sequence[T], name: str) -> T:
        """Joins parts, [.., P1, C] and [.., P2, C] -> [.., P1 + P2, C], or maps on their rows."""

    def part_linear(
        self,
        x: T,
        name: str,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        norm: nn.BatchNorm1d | None = None,
        activation: str = "none",
    ) -> T:
        """One matrix a part: weight [P, Cin, Cout], bias [P, Cout], [.., P, Cin] -> [.., P, Cout].

        ``norm`` has Cout features that the parts share, or P * Cout as in a BNNeck: number c * P + p is c of part p.
        """
