"""From what something was made, as text by name: the same in a model file, in an ONNX file and in a bundle's manifest.

``made_by``      the qgait that quantized the network       ``method``   how: calibration by mse, training, ...
``checkpoint``   the file of the float network               ``clips``    the silhouettes that calibration looked at
``exported_by``  the qgait that wrote the ONNX file          ``model``    the model file that it was folded from
``onnx``         the ONNX file that was compiled             ``program``  whose code is in gait-run besides

Files are told by their sha256. Nothing here tells when or where: what is made of the same has the same bytes. What is
not known, such as the file of a network that was never in one, is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.reading import file_sha256
from qgait.version import __version__

Provenance = dict[str, str]

THIS = f"qgait {__version__}"
LIMIT = 16 << 30


def of_file(path: Path) -> str:
    """A file, as it was just read."""
    return f"sha256:{file_sha256(path, LIMIT, 'give the file itself.')}"


def of_content(content: bytes) -> str:
    """A file by what was read from it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_clips(clips: Iterable[NDArray[np.uint8]]) -> str:
    """Silhouettes uint8 [frames, H, W], in their order."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.shape}".encode())
        digest.update(clip.tobytes())
    return f"sha256:{digest.hexdigest()}"
