"""OpenGait checkpoints: read without running anything in them, checked key by key, written under the same names."""

from __future__ import annotations

import collections
import io
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qgait import provenance
from qgait.errors import QgaitError
from qgait.files import replace_file
from qgait.models.backbone import CLASSIFIERS, Backbone
from qgait.models.identify import check_names, config_of, recognise
from qgait.models.registry import BACKBONES, build

# what a learning-rate schedule of OpenGait leaves in its state besides plain numbers: MultiStepLR's milestones
ALLOWED = [collections.Counter]
TRAINING_HEADS = tuple(f"{name}." for name in CLASSIFIERS)
TRAINING_STATE = ("optimizer", "scheduler", "iteration", "training")

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
        print(f"{path.name}: left out {', '.join(heads + dropped)}: only training needs them.", file=sys.stderr)
    model = build(name, **config)
    check_names(path, name, state, model.state_dict())
    _check_values(path, state)
    model.load_state_dict({key: value.float() for key, value in state.items()}, strict=False)
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
    """What the file holds, tensors and plain containers only. Raises QgaitError when it holds more, or is broken."""
    if not path.is_file():
        raise QgaitError(f"There is no checkpoint {path}.", "give the path of a .pt or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise QgaitError(f"{path} may not be read.", "check the file's permissions.") from None
    except Exception as error:  # a broken file makes torch and safetensors raise nearly anything
        forbidden = re.search(r"unsupported (?:global: )?GLOBAL (\S+)", str(error), re.IGNORECASE)
        if forbidden:
            problem = f"{path} holds {forbidden[1]}, which is no tensor and was not run."
            fix = "if you trust where it is from, save its tensors alone: torch.save({'model': state_dict}, path)."
            raise QgaitError(problem, fix) from None
        raise QgaitError(
            f"{path} is not a whole checkpoint: its end is missing or it is another kind of file.",
            "download or copy it again and compare the sizes.",
        ) from None


def _weights(path: Path, content: object) -> tuple[State, list[str]]:
    """(state dict without ``module.``, names of the training state beside it)."""
    if not isinstance(content, dict) or not content:
        raise QgaitError(f"{path} holds a {type(content).__name__}, no state dict.", "save model.state_dict().")
    dropped: list[str] = []
    state: dict[object, object] = content
    if isinstance(content.get("model"), dict):
        dropped = [key for key in TRAINING_STATE if content.get(key)]
        state = content["model"]
    others = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others or not state:
        problem = f"{path} is no state dict: {others[0]!r} is no tensor." if others else f"{path} holds no tensors."
        raise QgaitError(problem, "save model.state_dict(), alone or under the key 'model'.")
    return {str(key).removeprefix("module."): value for key, value in state.items()}, dropped


def _check_values(path: Path, state: State) -> None:
    for key, value in state.items():
        if not value.is_floating_point() and not key.endswith("num_batches_tracked"):
            problem = f"{key} in {path} is {str(value.dtype).removeprefix('torch.')}, not floating point."
            raise QgaitError(problem, "give the float checkpoint; quantizing is this program's work.")
        wrong = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
        if wrong:
            problem = f"{key} in {path} has {wrong} NaN or infinite values of {value.numel()}."
            raise QgaitError(problem, "training diverged before it was saved; take an earlier checkpoint.")
