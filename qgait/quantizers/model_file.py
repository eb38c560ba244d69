"""A quantized network on disk: one safetensors file, self-contained.

Tensors, float32: ``weight:<layer>`` (batch norm folded), ``bias:<layer>``, ``float_bias:<layer>`` (before bias
correction), ``weight_step:<layer>``, ``step:<tensor>``. Everything else (layers, grids, bits) is JSON in the file's
metadata under ``qgait`` (`qgait.quantizers.model_schema`), and ``qgait.digest`` is a sha256 of all of it. ``trained``
says that the weights were trained on the grids: such a file has no float level, because its weights are no longer the
float network's.
"""

from __future__ import annotations

import json
from pathlib import Path

from qgait import provenance
from qgait.errors import QgaitError
from qgait.files import replace_file
from qgait.quantizers.model_schema import FORMAT, describe
from qgait.quantizers.parameters import initial_bias, parameter_key, weight_layers
from qgait.quantizers.rebuilding import AGAIN, network_of
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.stored_tensors import DESCRIPTION, DIGEST, StoredTensor, digest_of, opened, ordered
from qgait.reading import read_bytes
from qgait.structured import parse_json

LIMIT = 1 << 30  # bytes of a file
GIVE = "give a file that `qgait calibrate` or `qgait train` wrote."


def save(network: SimulatedNetwork, path: Path) -> None:
    """Writes ``network`` to ``path`` in one move; QgaitError, and no file, for a network that ``load`` would refuse."""
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
    plain = {name: value.detach().float().contiguous().cpu() for name, value in tensors.items()}
    stored = {name: StoredTensor("F32", tuple(value.shape), value.numpy().tobytes()) for name, value in plain.items()}
    text = json.dumps(describe(network))
    subject = f"The {network.model} cannot be written as a model"
    network_of(parse_json(text, subject, AGAIN), stored, subject)
    replace_file(path, ordered(serialize(plain, {DESCRIPTION: text, DIGEST: digest_of(text, stored)})))


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
            f"{path} has model format {version}, without a digest of what it holds; this qgait reads {FORMAT}.",
            "calibrate or train the model again.",
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
