"""From the JSON and the tensors of a model file to its network; every tensor is compared with what the JSON says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from qgait.errors import QgaitError
from qgait.models.layers import Layer, shapes
from qgait.quantizers.grid import MAX_BITS, MIN_BITS, Grid, Recipe, activation_grid
from qgait.quantizers.layer_checks import offence
from qgait.quantizers.model_schema import Description, GridFacts, settings
from qgait.quantizers.parameters import parameter_key
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.step_owners import StepOwners
from qgait.quantizers.stored_tensors import Stored
from qgait.shown import short
from qgait.structured import check

AGAIN = "write it again with `qgait calibrate` or `qgait train`."
FINITE = "calibrate from a checkpoint with finite, smaller weights."


def network_of(plain: object, stored: Stored, subject: str) -> SimulatedNetwork:
    """The network in eval mode; QgaitError that begins with ``subject`` where JSON or tensors are not those of one.

    ``plain`` is what the JSON says, as `qgait.structured.parse_json` reads it.
    """
    description = check(plain, Description, subject, AGAIN)
    tensors = _Tensors(stored, subject)
    biases: dict[str, torch.Tensor] = {}
    steps: dict[str, torch.Tensor] = {}
    made: dict[str, Layer] = {}
    for facts in description.layers:
        layer, weight = Layer(**settings(facts)), getattr(facts, "weight", None)
        if layer.name in made:
            raise QgaitError(f"{subject}: two layers are called {short(layer.name)}.", AGAIN)
        if layer.shares and layer.shares in made:
            owner = made[layer.shares]
            layer = replace(layer, weight=owner.weight, bias=owner.bias)
        elif weight is not None:
            outputs = weight[:1] if layer.kind == "conv" else (weight[0], weight[2])
            float_bias = tensors.take(f"float_bias:{layer.name}", outputs)
            layer = replace(layer, weight=tensors.take(f"weight:{layer.name}", weight), bias=float_bias)
            biases[layer.name] = tensors.take(f"bias:{layer.name}", outputs)
            steps[layer.name] = tensors.take(f"weight_step:{layer.name}", outputs, positive=True)
        if weight is not None and (layer.weight is None or tuple(layer.weight.shape) != weight):
            raise QgaitError(f"{subject}: {layer.name} does not share the weight of a layer before it.", AGAIN)
        made[layer.name] = layer
    layers = list(made.values())
    wrong = offence(layers, description.frame_size)
    if wrong:
        raise QgaitError(f"{subject}: {short(wrong, 150)}.", AGAIN)
    sizes = shapes(layers, description.frame_size)
    owners = StepOwners(layers, sizes)
    tensor_steps = {
        name: tensors.take(f"step:{name}", _step_shape(name, owners, sizes), positive=True)
        for name in dict.fromkeys(owners.of.values())
    }
    tensors.require_none_left()
    weighted = {layer.name for layer in layers if layer.weight is not None}
    for what, keys, wanted in (
        ("grids", description.grids.keys(), owners.of.keys()),
        ("weight_bits", description.weight_bits.keys(), weighted),
    ):
        if keys != wanted:
            name = short(min(keys ^ wanted), 60)
            raise QgaitError(f"{subject}: {what} {'lacks' if name in wanted else 'has an unknown'} {name}.", AGAIN)
    network = SimulatedNetwork(
        description.model,
        replace(Recipe.parse(description.bits), first_last=description.first_last),
        layers,
        description.frame_size,
        description.weight_bits,
        steps,
        {name: _grid(name, facts, subject) for name, facts in description.grids.items()},
        tensor_steps,
    )
    with torch.no_grad():
        for name, bias in biases.items():
            network.biases[parameter_key(name)].copy_(bias)
    network.trained = description.trained
    network.provenance = dict(description.provenance)
    return network.eval()


class _Tensors:
    """Stored tensors, each to be taken once, as what it has to be."""

    def __init__(self, stored: Stored, subject: str) -> None:
        self._left, self._subject = dict(stored), subject

    def take(self, name: str, shape: tuple[int, ...], positive: bool = False) -> torch.Tensor:
        found = self._left.pop(name, None)
        if found is None:
            raise QgaitError(f"{self._subject}: it has no tensor {short(name)}.", AGAIN)
        if found.dtype != "F32" or found.shape != shape:
            is_now, wanted = (f"{dtype} {list(sizes)}" for dtype, sizes in ((found.dtype, found.shape), ("F32", shape)))
            raise QgaitError(f"{self._subject}: {short(name)} is {short(is_now, 60)}, not {wanted}.", AGAIN)
        values = found.values
        if not np.isfinite(values).all():
            raise QgaitError(f"{self._subject}: it holds NaN or infinity in {short(name)}.", FINITE)
        if positive and (values <= 0).any():
            raise QgaitError(f"{self._subject}: it holds a step that is not positive in {short(name)}.", AGAIN)
        return torch.from_numpy(values)

    def require_none_left(self) -> None:
        if self._left:
            raise QgaitError(f"{self._subject}: no layer has the tensor {short(min(self._left))}.", AGAIN)


def _step_shape(name: str, owners: StepOwners, sizes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """One step, or one for each of several parts."""
    shape = sizes[name.removesuffix(".pre")]
    return shape[:1] if len(shape) == 2 and shape[0] > 1 and name not in owners.single else ()


def _grid(name: str, facts: GridFacts, subject: str) -> Grid:
    """One of those that calibration chooses from; what a table looks up has 8 bits."""
    grid, bits = Grid(facts.lo, facts.hi, facts.zero_point), (facts.hi - facts.lo).bit_length()
    if not MIN_BITS <= bits <= MAX_BITS or grid != activation_grid(bits, -grid.min_integer) or grid.min_integer > 0:
        numbers = f"codes {grid.lo} to {grid.hi} with zero point {grid.zero_point}"
        raise QgaitError(f"{subject}: there is no grid of {numbers}, which {short(name, 90)} has.", AGAIN)
    if name.endswith(".pre") and bits < 8:
        raise QgaitError(f"{subject}: {short(name, 90)}, which a table looks up, has {bits} bits, not 8.", AGAIN)
    return grid
