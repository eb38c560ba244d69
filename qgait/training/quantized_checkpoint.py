"""The state of a quantized training run on disk: everything that going on needs, in one file moved into place."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qgait.calibration.bit_widths import weight_bits
from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.backbone import Backbone
from qgait.models.layers import Layer
from qgait.quantizers.grid import Grid, Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training.settings import QuantizedSettings
from qgait.training.start import check_settings, read_run

CHECKPOINT = "quantized.pt"


@dataclass
class Student:
    """What is trained: the network and, where the float network has a classifier, a copy of it.

    ``before``: correlation of its distances with the float network's after calibration.
    """

    network: SimulatedNetwork
    head: nn.Module | None
    before: tuple[float, float]

    def modules(self) -> nn.ModuleDict:
        """Both, under the names they have on disk."""
        return nn.ModuleDict({"network": self.network} | ({} if self.head is None else {"head": self.head}))


def save(
    path: Path, student: Student, optimizer: dict[str, Any], settings: QuantizedSettings, teacher: str, state: Any
) -> None:
    """Writes ``path``; ``teacher`` is the fingerprint of the float network, ``state`` the run's own."""
    network = student.network
    about = {
        "settings": asdict(settings),
        "bits": str(network.recipe),
        "frame_size": network.frame_size,
        "grids": {name: asdict(grid) for name, grid in network.grids.items()},
        "before": student.before,
        "teacher": teacher,
    }
    checkpoint.save(student.modules(), path, optimizer=optimizer, quantized=about | state)


def read(path: Path, recipe: Recipe, settings: QuantizedSettings, teacher: str) -> dict[str, Any]:
    """The content of ``path``; QgaitError unless it was begun from the same network with the same bits and settings."""
    content = read_run(path, "quantized", "quantized training")
    about = content["quantized"]
    if about["bits"] != str(recipe):
        raise QgaitError(f"The run in {path.parent} is at {about['bits']}, not at {recipe}.", "give the same `bits`.")
    if about["teacher"] != teacher:
        raise QgaitError(f"The run in {path.parent} was begun from another float network.", "give the same `init`.")
    check_settings(path, about["settings"], settings)
    return content


def restore(content: dict[str, Any], model: Backbone, layers: list[Layer], recipe: Recipe, device: str) -> Student:
    """The student that ``read`` found; ``model`` is the float network and ``layers`` are its layers."""
    about, weights = content["quantized"], content["model"]

    def tensors(group: str) -> dict[str, torch.Tensor]:
        start = f"network.{group}."
        return {
            key.removeprefix(start).replace("/", "."): value for key, value in weights.items() if key.startswith(start)
        }

    height, width = about["frame_size"]
    first, second = about["before"]
    network = SimulatedNetwork(
        model.name,
        recipe,
        layers,
        (height, width),
        weight_bits(layers, recipe),
        tensors("weight_steps"),
        {name: Grid(**grid) for name, grid in about["grids"].items()},
        tensors("steps"),
    ).to(device)
    student = Student(network, classifier(model), (first, second))
    student.modules().load_state_dict(weights)
    return student


def classifier(model: Backbone) -> nn.Module | None:
    """A copy of the float network's classifier, in training mode; None where it has none."""
    head = model.head()
    return None if head is None else copy.deepcopy(head).train()


def fingerprint(model: nn.Module) -> str:
    """Of all weights, so that a run is not resumed under another teacher."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
