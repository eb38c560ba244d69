"""What was learned about walking from motion capture: the asset gait_statistics.npz.

Made by tools/learn_gait_statistics.py from the CMU Graphics Lab Motion Capture Database.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from qgait.data.walkers.channels import NAMES, TERMS

ASSET = Path(__file__).with_name("gait_statistics.npz")
SIZE = len(NAMES) * TERMS


@dataclass(frozen=True)
class GaitStatistics:
    """Gaussian statistics of the Fourier coefficients of all joint angles, flattened to ``SIZE``, and of the body."""

    mean: np.ndarray  # [SIZE] radians
    slope: np.ndarray  # [SIZE] change with pace
    pace: np.ndarray  # mean and standard deviation between people of speed / sqrt(g * leg length)
    between_factor: np.ndarray  # [SIZE, rank] between people
    between_std: np.ndarray  # [SIZE]
    between_shrinkage: float  # weight of the diagonal: what ten people cannot say about correlations
    walk_factor: np.ndarray  # [SIZE, rank] between walks of one person
    walk_std: np.ndarray  # [SIZE]
    cycle_std: np.ndarray  # [SIZE] from cycle to cycle of one walk
    cadence: np.ndarray  # mean and std of log(strides a second * sqrt(leg / g)) at mean pace, exponent of pace
    lengths_mean: np.ndarray  # logs of channels.LENGTHS
    lengths_std: np.ndarray

    def draw_between(self, rng: np.random.Generator) -> np.ndarray:
        """How one person's coefficients [SIZE] differ from the mean."""
        return _draw(rng, self.between_factor, self.between_std, self.between_shrinkage)

    def draw_walk(self, rng: np.random.Generator) -> np.ndarray:
        """How one walk's coefficients [SIZE] differ from that person's usual ones."""
        return _draw(rng, self.walk_factor, self.walk_std, self.between_shrinkage)


def _draw(rng: np.random.Generator, factor: np.ndarray, std: np.ndarray, diagonal: float) -> np.ndarray:
    together = factor @ rng.standard_normal(factor.shape[1])
    alone = std * rng.standard_normal(len(std))
    return np.sqrt(1 - diagonal) * together + np.sqrt(diagonal) * alone


@cache
def load() -> GaitStatistics:
    """The shipped statistics."""
    with np.load(ASSET) as z:
        fields = {k: z[k].astype(np.float64) for k in GaitStatistics.__dataclass_fields__ if k != "between_shrinkage"}
        return GaitStatistics(between_shrinkage=float(z["between_shrinkage"]), **fields)
