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


def learning_rate(highest: float, schedule: Schedule, position: float, iterations: int) -> float:
    """The rate at a ``position`` among ``iterations``: the number of one of them, counted from 0, or in between.

    The cosine is that of timm, which GIL's released configurations use: it counts from the start of the run, of which
    the warm-up covers the first iterations.
    """
    share = position / iterations
    warmup = schedule.warmup if schedule.warmup >= 1 else int(schedule.warmup * iterations)
    if position < warmup:
        return schedule.warmup_from + (highest - schedule.warmup_from) * position / warmup
    if schedule.kind == "cosine":
        return schedule.lowest + (highest - schedule.lowest) * (1 + math.cos(math.pi * share)) / 2
    drops = sum(position >= m if m >= 1 else share >= m for m in schedule.milestones)
    return highest * schedule.factor**drops
