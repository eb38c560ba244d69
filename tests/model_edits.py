"""Model files with something changed in their JSON or tensors, with a digest that fits, as only a forger would make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

from qgait.quantizers.stored_tensors import DESCRIPTION, DIGEST, digest_of, opened

Arrays = dict[str, np.ndarray]


def content_of(path: Path) -> tuple[str, Arrays]:
    """(JSON, tensors)."""
    with safe_open(str(path), "np") as file:
        return file.metadata()[DESCRIPTION], load_file(path)


def forged(text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """A model file with this JSON and these tensors, and the digest of both."""
    tensors = {name: np.array(array, order="C") for name, array in arrays.items()}
    _, _, stored = opened(save(tensors, {DESCRIPTION: text}), "")
    return save(tensors, {DESCRIPTION: text, DIGEST: digest_of(text, stored)})


def edited(path: Path, change: Callable[[dict[str, Any], Arrays], object]) -> None:
    """Replaces the file at ``path`` by one that ``change`` has had."""
    text, arrays = content_of(path)
    description = json.loads(text)
    change(description, arrays)
    path.write_bytes(forged(json.dumps(description), arrays))
