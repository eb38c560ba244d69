"""The state of a quantized training run on disk: everything that going on needs, in one file moved into place."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qgait.calibration.calibrate import weight_bits
from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.backbone import Backbone
from qgait.models.layers import Layer
from qgait.quantizers.grid import Grid, Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training.stages import QuantizedSettings
from qgait.training.steps import parameter_groups

CHECKPOINT = "quantized.pt"


@dataclass
class Run:
    """What changes in a run. ``random_state`` is that of the generator that draws batches."""

    network: SimulatedNetwork
    head: nn.Module | None
    optimizer: torch.optim.Optimizer
    losses: list[float]
    before: tuple[float, float]
    random_state: Any

    def modules(self) -> nn.ModuleDict:
        """What is trained."""
        return nn.ModuleDict({"network": self.network} | ({} if self.head is None else {"head": self.head}))


def save(path: Path, run: Run, settings: QuantizedSettings, teacher: str) -> None:
    """Writes ``path``; ``teacher`` is the fingerprint of the float network. QgaitError when the disk is full."""
    state = {
        "settings": asdict(settings),
        "bits": str(run.network.recipe),
        "frame_size": run.network.frame_size,
        "grids": {name: asdict(grid) for name, grid in run.network.grids.items()},
        "losses": run.losses,
        "before": run.before,
        "batches": json.dumps(run.random_state),
        "teacher": teacher,
    }
    checkpoint.save(run.modules(), path, optimizer=run.optimizer.state_dict(), quantized=state)


def restore(
    path: Path,
    model: Backbone,
    layers: list[Layer],
    recipe: Recipe,
    settings: QuantizedSettings,
    teacher: str,
    device: str,
) -> Run:
    """The run in ``path``; QgaitError unless it was begun from the same network, with the same bits and settings."""
    content: Any = checkpoint.read(path)
    if not isinstance(content, dict) or "quantized" not in content:
        raise QgaitError(f"{path} was not written by quantized training.", "begin a new run in another folder.")
    state, weights = content["quantized"], content["model"]
    if state["bits"] != str(recipe):
        raise QgaitError(f"The run in {path.parent} is at {state['bits']}, not at {recipe}.", "give the same --bits.")
    if state["teacher"] != teacher:
        raise QgaitError(f"The run in {path.parent} was begun from another float network.", "give the same --init.")
    wanted = asdict(settings)
    changed = [key for key, value in state["settings"].items() if key != "save_every" and value != wanted[key]]
    if changed:
        was = ", ".join(f"{key} {state['settings'][key]!r}" for key in changed)
        raise QgaitError(f"The run in {path.parent} was begun with {was}.", "resume it with the same settings.")

    def tensors(group: str) -> dict[str, torch.Tensor]:
        start = f"network.{group}."
        return {
            key.removeprefix(start).replace("/", "."): value for key, value in weights.items() if key.startswith(start)
        }

    height, width = state["frame_size"]
    network = SimulatedNetwork(
        model.name,
        recipe,
        layers,
        (height, width),
        weight_bits(layers, recipe),
        tensors("weight_steps"),
        {name: Grid(**grid) for name, grid in state["grids"].items()},
        tensors("steps"),
    ).to(device)
    head = classifier(model)
    first, second = state["before"]
    run = Run(
        network,
        head,
        optimizer(network, head, settings),
        list(state["losses"]),
        (first, second),
        json.loads(state["batches"]),
    )
    run.modules().load_state_dict(weights)
    run.optimizer.load_state_dict(content["optimizer"])
    return run


def classifier(model: Backbone) -> nn.Module | None:
    """A copy of the float network's classifier, in training mode; None where it has none."""
    return copy.deepcopy(model.BNNecks).train() if hasattr(model, "BNNecks") else None


def optimizer(network: SimulatedNetwork, head: nn.Module | None, settings: QuantizedSettings) -> torch.optim.SGD:
    """Without state yet; the rate is set at every iteration."""
    groups = parameter_groups(network, head, settings.weight_decay, settings.learns_clips)
    return torch.optim.SGD(groups, settings.learning_rates[0], momentum=0.9)


def fingerprint(model: nn.Module) -> str:
    """Of all weights, so that a run is not resumed under another teacher."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
