"""What a model file holds before anybody believes it: tensors as bytes, the JSON as text, and the digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError

DESCRIPTION, DIGEST = "qgait", "qgait.digest"  # keys of the metadata


@dataclass(frozen=True)
class StoredTensor:
    """``dtype`` is safetensors' word for it: "F32", "I8", "U8"."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: NDArray[np.float32 | np.integer]) -> StoredTensor:
        """Of one of these types."""
        word = {"f": "F", "i": "I", "u": "U"}[array.dtype.kind]
        return cls(f"{word}{8 * array.dtype.itemsize}", array.shape, array.tobytes())

    @property
    def values(self) -> NDArray[np.float32]:
        """Of a float32 tensor."""
        return np.frombuffer(self.data, "<f4").astype(np.float32).reshape(self.shape)


Stored = Mapping[str, StoredTensor]


def opened(content: bytes, path: str) -> tuple[str, str, dict[str, StoredTensor]]:
    """(JSON, recorded digest, tensors) of a file's ``content``; QgaitError when it is no model file."""
    from safetensors import SafetensorError, deserialize

    try:
        tensors = {
            name: StoredTensor(facts["dtype"], tuple(facts["shape"]), bytes(facts["data"]))
            for name, facts in deserialize(content)
        }
    except (SafetensorError, ValueError, OverflowError):
        raise QgaitError(
            f"{path} is not a qgait model: it is not a whole safetensors file.",
            "give a file that `qgait calibrate` wrote; a float checkpoint goes through `qgait calibrate` first.",
        ) from None
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    metadata = json.loads(header).get("__metadata__") or {}  # safetensors has seen that it is text by text
    if DESCRIPTION not in metadata:
        raise QgaitError(
            f"{path} is a safetensors file but not a quantized qgait model.", "run `qgait calibrate` on it first."
        )
    return metadata[DESCRIPTION], metadata.get(DIGEST, ""), tensors


def ordered(content: bytes) -> bytes:
    """The same file with its metadata in the order of their keys; safetensors writes them in any."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def digest_of(text: str, tensors: Stored) -> str:
    """Sha256, in hexadecimal, of names, types, shapes and bytes of ``tensors``, and of the JSON ``text``."""
    names = sorted(tensors)
    facts = json.dumps([text, [[name, tensors[name].dtype, *tensors[name].shape] for name in names]])
    found = hashlib.sha256(facts.encode())
    for name in names:
        found.update(tensors[name].data)
    return found.hexdigest()
