"""From the JSON and the tensors of a model file to its network; every tensor is compared with what the JSON says."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch

from qgait.errors import QgaitError
from qgait.models.layers import Layer, shapes
from qgait.quantizers.grid import MAX_BITS, MIN_BITS, Grid, Recipe, activation_grid
from qgait.quantizers.layer_checks import offence
from qgait.quantizers.model_schema import Description, GridFacts, settings
from qgait.quantizers.parameters import beside_weight
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.step_owners import StepOwners
from qgait.quantizers.stored_tensors import Stored, StoredTensor
from qgait.quantizers.stored_weights import form_of, integers_of
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
    steps: dict[str, torch.Tensor] = {}
    made: dict[str, Layer] = {}
    names = [facts.name for facts in description.layers]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise QgaitError(f"{subject}: two layers are called {short(twice)}.", AGAIN)
    bits = _stored_bits(description, subject)
    for facts in description.layers:
        layer, weight = Layer(**settings(facts)), getattr(facts, "weight", None)
        if layer.shares and layer.shares in made:
            owner = made[layer.shares]
            layer = replace(layer, weight=owner.weight, bias=owner.bias)
        elif weight is not None:
            outputs = weight[:1] if layer.kind == "conv" else (weight[0], weight[2])
            bias = tensors.take(f"bias:{layer.name}", outputs)
            steps[layer.name] = tensors.take(f"weight_step:{layer.name}", outputs, positive=True)
            step = beside_weight(layer, steps[layer.name])
            values = tensors.take_weight(f"weight:{layer.name}", weight, bits[layer.name], step)
            layer = replace(layer, weight=values, bias=bias)
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
    _require_keys("grids", description.grids.keys(), owners.of.keys(), subject)
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
    network.trained = description.trained
    network.provenance = dict(description.provenance)
    return network.eval()


class _Tensors:
    """Stored tensors, each to be taken once, as what it has to be."""

    def __init__(self, stored: Stored, subject: str) -> None:
        self._left, self._subject = dict(stored), subject

    def take(self, name: str, shape: tuple[int, ...], positive: bool = False) -> torch.Tensor:
        values = torch.from_numpy(self._taken(name, "F32", shape).values)
        self._require_finite(name, values)
        if positive and (values <= 0).any():
            raise QgaitError(f"{self._subject}: it holds a step that is not positive in {short(name)}.", AGAIN)
        return values

    def take_weight(self, name: str, shape: tuple[int, ...], bits: int, step: torch.Tensor) -> torch.Tensor:
        """The real weights, float32, whose integers are stored; ``step`` broadcasts against them."""
        stored = self._taken(name, *form_of(shape, bits))
        try:
            values = integers_of(stored, shape, bits) * step
        except ValueError as error:  # says what is wrong with the integers
            raise QgaitError(f"{self._subject}: {short(name)} {error}.", AGAIN) from None
        self._require_finite(name, values)
        return values

    def _taken(self, name: str, dtype: str, shape: tuple[int, ...]) -> StoredTensor:
        found = self._left.pop(name, None)
        if found is None:
            raise QgaitError(f"{self._subject}: it has no tensor {short(name)}.", AGAIN)
        if (found.dtype, found.shape) != (dtype, shape):
            is_now, wanted = (f"{word} {list(sizes)}" for word, sizes in ((found.dtype, found.shape), (dtype, shape)))
            raise QgaitError(f"{self._subject}: {short(name)} is {short(is_now, 60)}, not {wanted}.", AGAIN)
        return found

    def _require_finite(self, name: str, values: torch.Tensor) -> None:
        if not torch.isfinite(values).all():
            raise QgaitError(f"{self._subject}: it holds NaN or infinity in {short(name)}.", FINITE)

    def require_none_left(self) -> None:
        if self._left:
            raise QgaitError(f"{self._subject}: no layer has the tensor {short(min(self._left))}.", AGAIN)


def _stored_bits(description: Description, subject: str) -> dict[str, int]:
    """By layer, those of the weight that it has alone or shares: of layers that share one, the most."""
    weighted = [facts for facts in description.layers if hasattr(facts, "weight")]
    owners = {facts.name: getattr(facts, "shares", "") or facts.name for facts in weighted}
    _require_keys("weight_bits", description.weight_bits.keys(), owners.keys(), subject)
    bits = dict(description.weight_bits)
    for name, owner in owners.items():
        bits[owner] = max(bits.get(owner, MIN_BITS), bits[name])
    return bits


def _require_keys(what: str, keys: Set[str], wanted: Set[str], subject: str) -> None:
    if keys != wanted:
        name = min(keys ^ wanted)
        raise QgaitError(
            f"{subject}: {what} {'lacks' if name in wanted else 'has an unknown'} {short(name, 60)}.", AGAIN
        )


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
