"""A quantized network on disk: one safetensors file, self-contained.

Tensors: ``weight:<layer>`` (float32, batch norm folded), ``bias:<layer>``, ``float_bias:<layer>`` (before bias
correction), ``weight_step:<layer>``, ``step:<tensor>``. Everything else (layers, grids, bits) is JSON in the
file's metadata under ``qgait``. ``trained`` there says that the weights were trained on the grids: such a file has no
float level, because its weights are no longer the float network's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from qgait import provenance
from qgait.errors import QgaitError
from qgait.files import replace_file
from qgait.models.layers import Layer
from qgait.quantizers.grid import Grid, Recipe
from qgait.quantizers.parameters import initial_bias, parameter_key, weight_layers
from qgait.quantizers.simulated import SimulatedNetwork

FORMAT = 2  # 1 had no fields of layers over time, of rows and of gates
_LAYER_FIELDS = tuple(field.name for field in fields(Layer) if field.name not in ("weight", "bias"))


def save(network: SimulatedNetwork, path: Path) -> None:
    """Writes ``network`` to ``path`` in one move."""
    from safetensors.torch import save as serialize

    tensors = {}
    for layer in weight_layers(network.layers):
        tensors[f"weight:{layer.name}"] = network.weights[parameter_key(layer.name)]
        tensors[f"bias:{layer.name}"] = network.biases[parameter_key(layer.name)]
        # in a trained network the bias before correction is no longer that of these weights
        bias = network.biases[parameter_key(layer.name)].clone() if network.trained else initial_bias(layer)
        tensors[f"float_bias:{layer.name}"] = bias
        tensors[f"weight_step:{layer.name}"] = network.weight_steps[parameter_key(layer.name)]
    for name in sorted(set(network.owners.of.values())):
        tensors[f"step:{name}"] = network.steps[parameter_key(name)]
    description = {
        "format": FORMAT,
        "model": network.model,
        "bits": str(network.recipe),
        "first_last": network.recipe.first_last,
        "frame_size": network.frame_size,
        "layers": [{field: getattr(layer, field) for field in _LAYER_FIELDS} for layer in network.layers],
        "grids": {name: asdict(grid) for name, grid in network.grids.items()},
        "weight_bits": network.weight_bits,
        "trained": network.trained,
        "provenance": {key: value for key, value in network.provenance.items() if key != "model"},
    }
    data = serialize(
        {name: value.detach().float().contiguous().cpu() for name, value in tensors.items()},
        {"qgait": json.dumps(description)},
    )
    replace_file(path, data)


def load(path: Path) -> SimulatedNetwork:
    """The network in ``path``; QgaitError when the file is not one, is damaged or holds numbers that are not finite."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise QgaitError(f"There is no model {path}.", "give a file that `qgait calibrate` or `qgait train` wrote.")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise QgaitError(
            f"{path} is not a qgait model ({error}).",
            "give a file that `qgait calibrate` wrote; a float checkpoint goes through `qgait calibrate` first.",
        ) from error
    if "qgait" not in metadata:
        raise QgaitError(
            f"{path} is a safetensors file but not a quantized qgait model.", "run `qgait calibrate` on it first."
        )
    try:
        network = _rebuild(json.loads(metadata["qgait"]), tensors, path)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise QgaitError(f"{path} is damaged: {error!r}.", "write it again with `qgait calibrate`.") from error
    network.provenance["model"] = provenance.of_file(path)
    return network


def _rebuild(description: dict[str, Any], tensors: dict[str, torch.Tensor], path: Path) -> SimulatedNetwork:
    if description["format"] > FORMAT:
        raise QgaitError(
            f"{path} has model format {description['format']}, this qgait reads up to {FORMAT}.", "update qgait."
        )
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise QgaitError(
                f"{path} holds NaN or infinity in {name}.", "calibrate from a checkpoint with finite weights."
            )
        if "step:" in name and (value <= 0).any():
            raise QgaitError(f"{path} holds a step that is not positive in {name}.", "calibrate or train again.")
    layers = []
    for entry in description["layers"]:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        name = entry.get("shares") or entry["name"]
        layers.append(Layer(**values, weight=tensors.get(f"weight:{name}"), bias=tensors.get(f"float_bias:{name}")))
    network = SimulatedNetwork(
        description["model"],
        replace(Recipe.parse(description["bits"]), first_last=description.get("first_last", "8")),
        layers,
        (int(description["frame_size"][0]), int(description["frame_size"][1])),
        description["weight_bits"],
        {layer.name: tensors[f"weight_step:{layer.name}"] for layer in weight_layers(layers)},
        {name: Grid(**grid) for name, grid in description["grids"].items()},
        {name.removeprefix("step:"): value for name, value in tensors.items() if name.startswith("step:")},
    )
    lost = set(network.owners.of.values()) - {name.removeprefix("step:") for name in tensors}
    if lost:
        raise KeyError(f"step:{min(lost)}")
    with torch.no_grad():
        for layer in weight_layers(layers):
            network.biases[parameter_key(layer.name)].copy_(tensors[f"bias:{layer.name}"])
    network.trained = bool(description.get("trained", False))
    network.provenance = provenance.known(description.get("provenance"))
    return network.eval()
