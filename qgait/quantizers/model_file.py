"""A quantized network on disk: one safetensors file, self-contained.

Tensors, float32: ``bias:<layer>``, ``weight_step:<layer>``, ``step:<tensor>``. ``weight:<layer>`` is integers on the
grid of the layer's bits: int8 in the layer's shape, or of fewer than 8 bits uint8 [bytes], the planes of
`qgait.quantizers.bit_planes` one behind the other. Everything else (layers, grids, bits) is JSON in the file's metadata
under ``qgait`` (`qgait.quantizers.model_schema`), and ``qgait.digest`` is a sha256 of all of it. The float network is
not in it: its checkpoint is. ``trained`` says that the weights were trained on the grids.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qgait import provenance
from qgait.errors import QgaitError
from qgait.files import replace_file
from qgait.quantizers.model_schema import FORMAT, describe
from qgait.quantizers.parameters import parameter, weight_layers
from qgait.quantizers.rebuilding import AGAIN, FINITE, network_of
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.stored_tensors import DESCRIPTION, DIGEST, StoredTensor, digest_of, opened, ordered
from qgait.quantizers.stored_weights import weight_array
from qgait.reading import read_bytes
from qgait.shown import short
from qgait.structured import parse_json

LIMIT = 1 << 30  # bytes of a file
GIVE = "give a file that `qgait calibrate` or `qgait train` wrote."


def save(network: SimulatedNetwork, path: Path) -> None:
    """Writes ``network`` to ``path`` in one move; QgaitError, and no file, for a network that ``load`` would refuse."""
    from safetensors.numpy import save as serialize

    subject = f"The {network.model} cannot be written as a model"
    arrays = _arrays(network, subject)
    text = json.dumps(describe(network))
    stored = {name: StoredTensor.of(array) for name, array in arrays.items()}
    network_of(parse_json(text, subject, AGAIN), stored, subject)
    replace_file(path, ordered(serialize(arrays, {DESCRIPTION: text, DIGEST: digest_of(text, stored)})))


def _arrays(network: SimulatedNetwork, subject: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name in (layer.name for layer in weight_layers(network.layers)):
        if not torch.isfinite(parameter(network.weights, name)).all():  # integers could not tell
            raise QgaitError(f"{subject}: it holds NaN or infinity in weight:{short(name)}.", FINITE)
        arrays[f"weight:{name}"] = weight_array(network, name)
        arrays[f"bias:{name}"] = _float32(parameter(network.biases, name))
        arrays[f"weight_step:{name}"] = _float32(parameter(network.weight_steps, name))
    for name in sorted(set(network.owners.of.values())):
        arrays[f"step:{name}"] = _float32(parameter(network.steps, name))
    return arrays


def _float32(values: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().float().cpu().contiguous().numpy()
    return array


def load(path: Path) -> SimulatedNetwork:
    """The network in ``path``; QgaitError when the file is not one, or was altered after it was written."""
    content = read_bytes(path, LIMIT, GIVE)
    text, recorded, stored = opened(content, str(path))
    subject = f"{path} is damaged"
    plain = parse_json(text, subject, AGAIN)
    version = _format(plain, subject)
    if version > FORMAT:
        raise QgaitError(f"{path} has model format {version}, this qgait reads {FORMAT}.", "update qgait.")
    if version < FORMAT:
        raise QgaitError(
            f"{path} has model format {version}, this qgait reads {FORMAT}, whose weights are integers in few bits.",
            "calibrate it again, or end its training again with `qgait train --resume`.",
        )
    if recorded != digest_of(text, stored):
        raise QgaitError(f"{path} was altered after it was written: its content does not match its digest.", AGAIN)
    network = network_of(plain, stored, subject)
    network.provenance["model"] = provenance.of_content(content)
    return network


def _format(plain: object, subject: str) -> int:
    version = plain.get("format") if isinstance(plain, dict) else None
    if type(version) is not int or version < 1:
        raise QgaitError(f"{subject}: its JSON does not tell its format.", AGAIN)
    return version
