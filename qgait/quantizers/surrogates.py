"""What stands in for the gradient of rounding, which is zero almost everywhere. The forward value is never touched.

With ``u`` the value on the grid's scale, ``f = u - floor(u)`` and ``g`` the factor on the gradient:

- straight-through (Bengio et al., 2013; LSQ, Esser et al., 2020): g = 1;
- soft: QGait's differentiable soft quantizer (Tian et al., arXiv 2405.13859). The paper's own formula was not to be
  had; this is our reading, the derivative of ``h(u) = floor(u) + 1/2 + tanh(k (f - 1/2)) / (2 tanh(k/2))``;
- sine: a bounded form of the same idea, ``g = 1 - a cos(2 pi f)``;
- DSQ (Gong et al., 2019) with a fixed alpha: the soft one with ``k = ln(2 / alpha - 1)``;
- EWGS (Lee et al., 2021): g grows with the distance to the grid in the direction of the gradient;
- PACT (Choi et al., 2018): straight through, but a step learns from what is clipped alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qgait.errors import QgaitError


class Surrogate(Protocol):
    """The backward of one rounding. ``clip_only``: steps get no gradient from values inside the grid."""

    @property
    def clip_only(self) -> bool:
        """Whether steps learn from clipped values alone."""

    def backward(self, grad: Tensor, u: Tensor, span: int) -> Tensor:
        """``grad`` of the integers to that of ``u`` inside the grid; ``span``: largest minus smallest integer."""


@dataclass(frozen=True)
class StraightThrough:
    """The gradient of the identity."""

    clip_only: bool = False

    def backward(self, grad: Tensor, u: Tensor, span: int) -> Tensor:
        """See ``Surrogate``."""
        return grad


@dataclass(frozen=True)
class Soft:
    """``g = k / (2 tanh(k/2)) * sech(k (f - 1/2))**2``; k = 0 is straight-through, bit for bit."""

    k: float
    clip_only: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.k) and self.k >= 0):
            raise QgaitError(f"A sharpness of {self.k} is impossible.", "use 0 (straight-through) or more, say 4.")

    def backward(self, grad: Tensor, u: Tensor, span: int) -> Tensor:
        """See ``Surrogate``. ``sech`` is written with a negative exponent, so that no k overflows."""
        if self.k == 0:
            return grad
        decay = torch.exp(-2 * self.k * (u - torch.floor(u) - 0.5).abs())
        return grad * (2 * self.k / math.tanh(self.k / 2) * decay / (1 + decay).square())


@dataclass(frozen=True)
class Sine:
    """``g = 1 - amplitude * cos(2 pi f)``, between 1 - amplitude and 1 + amplitude."""

    amplitude: float
    clip_only: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.amplitude <= 1:
            raise QgaitError(f"An amplitude of {self.amplitude} is impossible.", "use a number from 0 to 1.")

    def backward(self, grad: Tensor, u: Tensor, span: int) -> Tensor:
        """See ``Surrogate``."""
        return grad * (1 - self.amplitude * torch.cos(2 * math.pi * (u - torch.floor(u))))


@dataclass(frozen=True)
class ElementWiseScaling:
    """EWGS: ``g = 1 + delta * sign(grad) * (u - round(u)) / span``, the distance taken on a grid of width 1."""

    delta: float
    clip_only: bool = False

    def backward(self, grad: Tensor, u: Tensor, span: int) -> Tensor:
        """See ``Surrogate``."""
        return grad * (1 + self.delta / span * torch.sign(grad) * (u - torch.floor(u + 0.5)))


@dataclass(frozen=True)
class ClipLearning:
    """PACT: straight through inside, and the learned clip ``alpha = step * largest integer`` moves by what it clips."""

    clip_only: bool = True

    def backward(self, grad: Tensor, u: Tensor, span: int) -> Tensor:
        """See ``Surrogate``."""
        return grad


def dsq(alpha: float) -> Soft:
    """DSQ's surrogate: the share ``alpha``, between 0 and 1, says how far its curve stays from the hard step."""
    if not 0 < alpha < 1:
        raise QgaitError(f"DSQ's alpha cannot be {alpha}.", "use a number between 0 and 1, say 0.2.")
    return Soft(math.log(2 / alpha - 1))


@dataclass
class Surrogates:
    """The surrogates of a network, by kind of tensor; training may exchange them between iterations."""

    weights: Surrogate = StraightThrough()
    activations: Surrogate = StraightThrough()
