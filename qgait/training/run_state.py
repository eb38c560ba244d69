"""The state that a stopped run goes on from: checked before it is believed, since it stands in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from msgspec import MsgspecError

from qgait.errors import QgaitError

_STATES = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"),
}


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """What torch, numpy and msgspec raise for a state that is not a run's becomes one QgaitError about ``path``."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MsgspecError):
        raise QgaitError(
            f"The state of the run in {path} is damaged, or of another program.",
            "put back the file that was written, or begin a new run in another folder.",
        ) from None


def losses_of(state: Mapping[str, Any]) -> list[float]:
    """Those of all iterations so far; ValueError for anything else."""
    losses = state["losses"]
    if losses.ndim != 1 or not losses.is_floating_point() or not losses.isfinite().all():
        raise ValueError("the losses are no list of numbers")
    values: list[float] = losses.tolist()
    return values


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Puts back what the optimizer remembers of each parameter; ValueError where that is of other parameters.

    How it moves them is said by the run's settings, not by the file.
    """
    names = _STATES[type(optimizer)]
    optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not set(optimizer.state) <= set(parameters):
        raise ValueError("it remembers parameters that there are not")
    for parameter, remembered in optimizer.state.items():
        if set(remembered) != set(names):
            raise ValueError("it is another optimizer's")
        for value in remembered.values():
            if value is None and len(names) == 1:
                continue  # momentum before its first step
            if value.shape not in (parameter.shape, ()) or not value.isfinite().all():
                raise ValueError("it is of another parameter")
