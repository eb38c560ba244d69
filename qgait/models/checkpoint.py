"""OpenGait checkpoints: read without running anything in them, checked key by key, written under the same names."""

from __future__ import annotations

import collections
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qgait import provenance
from qgait.errors import QgaitError
from qgait.files import replace_file
from qgait.models import tensor_file
from qgait.models.backbone import CLASSIFIERS, Backbone
from qgait.models.identify import check_names, config_of, recognise
from qgait.models.registry import BACKBONES, build
from qgait.shown import short, shown

# what a learning-rate schedule of OpenGait leaves in its state besides plain numbers: MultiStepLR's milestones
ALLOWED = [collections.Counter]
TRAINING_HEADS = tuple(f"{name}." for name in CLASSIFIERS)
TRAINING_STATE = ("optimizer", "scheduler", "iteration", "training")
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
MAX_NAMES = 5_000
MOST_LISTED = 10

State = dict[str, torch.Tensor]


def load(path: str | Path, model_name: str | None = None, classifier: bool = False, **config: Any) -> Backbone:
    """The backbone in a checkpoint, float32, in eval mode; what it is built like is read from the weights.

    Reads OpenGait's ``{"model": state_dict, "optimizer", "scheduler", "iteration"}``, a bare state dict, and
    safetensors; names may begin with ``module.``. What only training needs is dropped with one line on stderr;
    with ``classifier`` the classifier stays, if the checkpoint has one.
    ``model_name`` refuses every other network. ``config`` are arguments of the backbone's constructor that the weights
    do not tell, such as HSTL's ``regions``. Raises QgaitError for all that is no such checkpoint.
    """
    path = Path(path)
    if model_name is not None and model_name not in BACKBONES:
        raise QgaitError(f"There is no backbone called {model_name!r}.", f"choose one of {', '.join(BACKBONES)}.")
    state, dropped = _weights(path, read(path))
    name = recognise(path, state, model_name)
    heads = [key for key in state if key.startswith(TRAINING_HEADS)]
    weights = {key: value for key, value in state.items() if key not in heads}
    config = config_of(path, name, weights) | config
    classes = [state[key].shape[-1] for key in heads if key.endswith(".fc_bin") and state[key].ndim == 3]
    if classifier and classes and BACKBONES[name].classifier is not None:
        config, heads = {**config, "classes": classes[0]}, []
    else:
        state = weights
    if heads or dropped:
        print(f"{path.name}: left out {_named(heads + dropped)}: only training needs them.", file=sys.stderr)
    try:
        model = build(name, **config)
    except QgaitError as error:
        raise QgaitError(f"{path}: {error.problem}", error.fix) from None
    check_names(path, name, state, model.state_dict())
    model.load_state_dict(float32(path, state), strict=False)
    model.provenance = {"checkpoint": provenance.of_file(path)}
    return model.eval()


def backbone_of(path: str | Path) -> str:
    """The name of the backbone in a checkpoint, which is not checked any further."""
    path = Path(path)
    return recognise(path, _weights(path, read(path))[0], None)


def save(model: nn.Module, path: str | Path, **training_state: Any) -> None:
    """Writes ``{"model": state_dict, ...}`` as OpenGait does, through a temporary file beside ``path``.

    ``training_state`` are further entries: optimizer, scheduler, iteration, training.
    """
    path = Path(path)
    content = io.BytesIO()
    torch.save({"model": model.state_dict(), **training_state}, content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getbuffer())
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror}."
        raise QgaitError(problem, "free some space, or choose a folder that can be written to.") from error


def read(path: Path) -> object:
    """What the file holds, tensors and plain containers only; see ``tensor_file.read``."""
    return tensor_file.read(path, ALLOWED)


def _weights(path: Path, content: object) -> tuple[State, list[str]]:
    """(state dict without ``module.``, names of the training state beside it)."""
    fix = "save model.state_dict(), alone or under the key 'model'."
    if not isinstance(content, Mapping) or not content:
        is_empty = content is None or isinstance(content, Mapping)
        what = "nothing" if is_empty else f"a {type(content).__name__}"
        raise QgaitError(f"{path} holds {what}, no state dict.", "save model.state_dict().")
    dropped: list[str] = []
    state: Mapping[object, object] = content
    if isinstance(content.get("model"), Mapping):
        dropped = [key for key in TRAINING_STATE if isinstance(content.get(key), torch.Tensor) or content.get(key)]
        state = content["model"]
    if not state:
        raise QgaitError(f"{path} holds no tensors.", fix)
    if len(state) > MAX_NAMES:
        raise QgaitError(f"{path} has {len(state):,} names; no network here has {MAX_NAMES:,}.", fix)
    found: State = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            why = "no tensor" if isinstance(key, str) else "no name of a tensor"
            raise QgaitError(f"{path} is no state dict: {shown(key)} is {why}.", fix)
        name = key.removeprefix("module.")
        if name in found:
            raise QgaitError(f"{path} has {shown(name)} twice, with 'module.' and without.", "leave one of them out.")
        found[name] = value
    return found, dropped


def float32(path: Path, state: State) -> State:
    """All values in float32, in which they are finite and variances are not negative."""
    converted: State = {}
    for key, value in state.items():
        if value.dtype not in FLOATS and not key.endswith("num_batches_tracked"):
            problem = f"{key} in {path} is {str(value.dtype).removeprefix('torch.')}, not floating point."
            raise QgaitError(problem, "give the float checkpoint; quantizing is this program's work.")
        converted[key] = value.detach().float()
        wrong = int((~torch.isfinite(converted[key])).sum())
        if wrong:
            problem = f"{key} in {path} has {wrong} NaN or infinite values of {value.numel()}."
            raise QgaitError(problem, "training diverged before it was saved; take an earlier checkpoint.")
        if key.endswith("running_var") and (converted[key] < 0).any():
            raise QgaitError(f"{key} in {path} has negative variances.", "the file is damaged; take another copy.")
    return converted


def _named(names: list[str]) -> str:
    return ", ".join(map(short, names[:MOST_LISTED])) + (
        f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    )
