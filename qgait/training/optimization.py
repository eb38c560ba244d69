"""The optimizer, and the learning rate of every iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from qgait.training.settings import OptimizerSettings, Schedule


def build_optimizer(parameters: Iterable[Any], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Without state yet, for parameters or groups of them; groups may have a ``weight_decay`` of their own."""
    if settings.kind == "adam":
        return torch.optim.Adam(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)


def learning_rate(optimizer: OptimizerSettings, schedule: Schedule, iteration: int, iterations: int) -> float:
    """The rate of one of ``iterations``, counted from 0.

    The cosine is that of timm, which GIL's released configurations use: it counts from the start of the run, of which
    the warm-up covers the first iterations.
    """
    highest = optimizer.learning_rate
    if iteration < schedule.warmup:
        return schedule.warmup_from + (highest - schedule.warmup_from) * iteration / schedule.warmup
    if schedule.kind == "cosine":
        share = iteration / iterations
        return schedule.lowest + (highest - schedule.lowest) * (1 + math.cos(math.pi * share)) / 2
    drops = sum(iteration >= m if m >= 1 else iteration / iterations >= m for m in schedule.milestones)
    return highest * schedule.factor**drops
