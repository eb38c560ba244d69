"""A network from a file, whichever kind it is: a float checkpoint, or a quantized model."""

from __future__ import annotations

from pathlib import Path

from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.backbone import Backbone
from qgait.quantizers import model_file
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.stored_tensors import DESCRIPTION


def load(path: Path, model: str | None = None) -> Backbone | SimulatedNetwork:
    """See `qgait.load`; ``model`` names the backbone that the file has to hold."""
    if not is_quantized(path):
        return checkpoint.load(path, model)
    network = model_file.load(path)
    if model not in (None, network.model):
        raise QgaitError(f"{path} is a {network.model}, not a {model}.", "leave `model` out, or give another file.")
    return network


def is_quantized(path: Path) -> bool:
    """Whether ``path`` is a safetensors file with qgait's description of a quantized network in it."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(str(path), "pt") as file:
            return DESCRIPTION in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False  # reading it says what is wrong
