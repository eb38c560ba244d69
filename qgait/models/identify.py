"""Whose weights are these? Backbone and variant from the names and shapes of a state dict, or a helpful refusal."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from qgait.errors import QgaitError
from qgait.models.registry import BACKBONES, build
from qgait.models.weight_shapes import MissingWeightError, OddWeightError, WeightShapes
from qgait.shown import shown

# names that only one of OpenGait's other networks has
OTHER_NETWORKS = {
    "SwinGait": "transformer",
    "SkeletonGait": "map_layer0.",
}
# how names begin in a quantized model and in the checkpoint of a quantized run
QUANTIZED = ("bias:", "network.weights.")

LONGEST, MOST_COMPARED = 120, 2_000

State = Mapping[str, torch.Tensor]


@functools.cache
def expected_names(name: str) -> tuple[str, ...]:
    """The names in inference checkpoints of a backbone, whatever its widths, those of all its variants."""
    with torch.device("meta"):
        networks = [build(name, **variant) for variant in BACKBONES[name].variants]
    return tuple(dict.fromkeys(key for network in networks for key in network.state_dict()))


def recognise(path: Path, state: State, wanted: str | None) -> str:
    """The backbone that the names belong to; when it is ``wanted``, missing and odd names are left to check_names."""
    shares = {name: sum(key in state for key in expected_names(name)) for name in BACKBONES}
    best = max(shares, key=lambda name: shares[name])
    if wanted is not None and (best == wanted or shares[best] == 0):
        best = wanted
    if shares[best] == 0:
        if any(key.startswith(QUANTIZED) for key in state):
            raise QgaitError(f"{path} is a quantized network, not a float one.", "give the float network's checkpoint.")
        looks = next((n for n, start in OTHER_NETWORKS.items() if any(k.startswith(start) for k in state)), None)
        first = next(iter(state))
        like = f"looks like {looks}, which is not supported" if looks else "is of no network known here"
        near = _nearest(first, [key for name in BACKBONES for key in expected_names(name)])
        problem = f"The checkpoint {path} {like}: it has {shown(first)}, where {near} would be expected."
        raise QgaitError(problem, f"give a checkpoint of {' or '.join(BACKBONES)}.")
    if wanted is not None and best != wanted:
        problem = f"The checkpoint {path} is of {best} ({_first(state, best)!r}), not of {wanted}."
        raise QgaitError(problem, f"load it as {best}, or give a checkpoint of {wanted}.")
    return best


def config_of(path: Path, name: str, state: State) -> dict[str, Any]:
    """The constructor's arguments that give these shapes."""
    try:
        return BACKBONES[name].config_of(WeightShapes(state))
    except MissingWeightError as error:
        known = expected_names(name)
        raise _missing(path, name, [error.args[0]], [k for k in state if k not in known]) from None
    except OddWeightError as error:
        key, dimensions = error.args
        problem = f"{key} in {path} has the shape {shown(tuple(state[key].shape))}; it needs {dimensions} dimensions."
        raise QgaitError(problem, f"give an unaltered checkpoint of {name}.") from None


def check_names(path: Path, name: str, state: State, expected: State) -> None:
    """Refuses a state dict that lacks a name, has an unknown one, or has a tensor of another shape."""
    odd = [key for key in state if key not in expected]
    # a counter that only training reads; checkpoints older than torch 0.4.1 lack it
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise _missing(path, name, missing, odd)
    if odd:
        problem = f"{path} has {shown(odd[0])}{_more(odd)}, which {name} does not have; near it is "
        raise QgaitError(problem + f"{_nearest(odd[0], list(expected))}.", f"give a checkpoint of plain {name}.")
    for key, value in state.items():
        if value.shape != expected[key].shape:
            problem = f"{key} in {path} has the shape {shown(tuple(value.shape))}; {name} with these channels needs "
            raise QgaitError(problem + f"{tuple(expected[key].shape)}.", f"give an unaltered checkpoint of {name}.")


def _missing(path: Path, name: str, missing: list[str], odd: list[str]) -> QgaitError:
    near = f"; nearest to it is {_nearest(missing[0], odd)}" if odd else ""
    problem = f"{path} looks like {name} but lacks {missing[0]!r}{_more(missing)}{near}."
    return QgaitError(problem, f"give a whole checkpoint of {name} under OpenGait's names.")


def _nearest(key: str, candidates: list[str]) -> str:
    """Names are compared as far as those of networks go: comparing takes the square of their length."""
    known = [candidate[:LONGEST] for candidate in candidates[:MOST_COMPARED]]
    return " or ".join(map(shown, difflib.get_close_matches(key[:LONGEST], known, n=2, cutoff=0)))


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _first(state: State, name: str) -> str:
    names = expected_names(name)
    return next(key for key in state if key in names)
