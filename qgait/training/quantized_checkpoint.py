"""The state of a quantized training run on disk: everything that going on needs, in one file moved into place."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import nn

from qgait.calibration.bit_widths import weight_bits
from qgait.errors import QgaitError
from qgait.field_bounds import converted
from qgait.models import checkpoint
from qgait.models.backbone import Backbone
from qgait.models.layers import Layer
from qgait.quantizers.grid import Grid, Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.shown import short
from qgait.training.run_state import restoring
from qgait.training.settings import QuantizedSettings
from qgait.training.start import check_settings, read_run

CHECKPOINT = "quantized.pt"
Side = Annotated[int, Meta(ge=1, le=4_096)]


@dataclass
class Student:
    """What is trained: the network and, where the float network has a classifier, a copy of it.

    ``before``: correlation of its distances with the float network's after calibration. ``units``: what its parameters
    are counted in, see ``relative_units``.
    """

    network: SimulatedNetwork
    head: nn.Module | None
    before: tuple[float, float]
    units: dict[str, float]

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
        "units": student.units,
        "teacher": teacher,
    }
    checkpoint.save(student.modules(), path, optimizer=optimizer, quantized=about | state)


def read(path: Path, recipe: Recipe, settings: QuantizedSettings, teacher: str) -> dict[str, Any]:
    """The content of ``path``; QgaitError unless it was begun from the same network with the same bits and settings."""
    content = read_run(path, "quantized", "quantized training")
    with restoring(path):
        about = content["quantized"]
        if about["bits"] != str(recipe):
            problem = f"The run in {path.parent} is at {short(str(about['bits']))}, not at {recipe}."
            raise QgaitError(problem, "give the same `bits`.")
        if about["teacher"] != teacher:
            problem = f"The run in {path.parent} was begun from another float network."
            raise QgaitError(problem, "give the same `init`.")
        check_settings(path, about["settings"], settings)
    return content


def restore(
    content: dict[str, Any], model: Backbone, layers: list[Layer], recipe: Recipe, classifies: bool, device: str
) -> Student:
    """The student that ``read`` found; ``model`` is the float network and ``layers`` are its layers.

    ``classifies``: with the classifier of ``model``, if it has one.
    """
    about, weights = content["quantized"], content["model"]

    def tensors(group: str) -> dict[str, torch.Tensor]:
        start = f"network.{group}."
        return {
            key.removeprefix(start).replace("/", "."): value for key, value in weights.items() if key.startswith(start)
        }

    # of equal distances there is no correlation: not a number is one of the values
    first, second = converted(about["before"], tuple[float, float])
    grids = {str(name): _grid(facts) for name, facts in about["grids"].items()}
    network = SimulatedNetwork(
        model.name,
        recipe,
        layers,
        converted(about["frame_size"], tuple[Side, Side]),
        weight_bits(layers, recipe),
        tensors("weight_steps"),
        grids,
        tensors("steps"),
    ).to(device)
    units = converted(about["units"], dict[str, float])
    student = Student(network, classifier(model) if classifies else None, (first, second), units)
    student.modules().load_state_dict(weights)
    return student


def _grid(facts: Any) -> Grid:
    grid: Grid = converted(facts, Grid)
    if not -128 <= grid.lo <= grid.zero_point <= grid.hi <= 127:
        raise ValueError("a grid is not of int8")
    return grid


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
