"""What comes with qgait: a small GaitSet, trained on synthetic walkers, as a checkpoint and quantized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgait.errors import QgaitError

_FOLDER = Path(__file__).parent
_FIX = "install qgait again; its files are not complete."


def path() -> Path:
    """The quantized model, as ``qgait export`` reads it."""
    return _present("gaitset_walkers.safetensors", "The shipped model")


def checkpoint() -> Path:
    """The float network that the model was calibrated from, as ``qgait calibrate`` reads it."""
    return _present("gaitset_walkers_float.safetensors", "The checkpoint of the shipped model")


def provenance() -> dict[str, Any]:
    """How the model was made: its data, the command, the accuracy that was measured."""
    file = _present("gaitset_walkers.json", "The provenance of the shipped model")
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise QgaitError(f"{file} is not JSON ({error}).", _FIX) from error
    if not isinstance(facts, dict):
        raise QgaitError(f"{file} does not hold an object.", _FIX)
    return facts


def _present(name: str, what: str) -> Path:
    file = _FOLDER / name
    if not file.is_file():
        raise QgaitError(f"{what} ({file}) is missing.", _FIX)
    return file
