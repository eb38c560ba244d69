"""The bundle: a network compiled for one processor, as a folder that says what it is and proves that it is whole.

docs/targets.md describes every file. Opening a bundle needs numpy and msgspec only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.runtime.bundle_manifest import read_manifest, require_files
from qgait.runtime.bundle_names import DEFAULT_PREFIX, Names, names_for
from qgait.targets.processors import Target


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle: the folder and what its manifest says."""

    path: Path
    manifest: dict[str, Any]

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Bundle:
        """Reads the bundle at ``path`` and compares every file with its sha256.

        Raises QgaitError that names the file which is missing or changed, or says that this is no bundle.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        require_files(folder, manifest)
        return Bundle(folder, manifest)

    @property
    def model(self) -> str:
        """The backbone's name."""
        return str(self.manifest["model"])

    @property
    def names(self) -> Names:
        """What its files and C functions are called."""
        return names_for(str(self.manifest.get("prefix", DEFAULT_PREFIX)))

    @property
    def target(self) -> Target:
        """The processor that it was compiled for; where there is an NPU, the one beside it."""
        told: dict[str, Any] = self.manifest["target"]
        facts: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
        return Target(**facts)

    @property
    def npu(self) -> dict[str, Any] | None:
        """What the manifest says of the NPU and its segments; None for a processor alone."""
        return self.manifest.get("npu")

    @property
    def target_name(self) -> str:
        """What people call the target: the NPU, or the processor alone."""
        return self.target.name if self.npu is None else str(self.npu["accelerator"])

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width) of a uint8 silhouette."""
        height, width = self.manifest["input"]["shape"]
        return int(height), int(width)

    @property
    def embedding_shape(self) -> tuple[int, int]:
        """(parts, channels) of an int8 embedding."""
        parts, channels = self.manifest["output"]["shape"]
        return int(parts), int(channels)

    @property
    def scale(self) -> NDArray[np.float32]:
        """``real = (code - zero_point) * scale``, float32 [parts]."""
        return np.asarray(self.manifest["output"]["scales"], np.float32)

    @property
    def zero_point(self) -> int:
        """The code of a real 0 in the embedding."""
        return int(self.manifest["output"]["zero_point"])

    @property
    def gait_run(self) -> Path:
        """The executable for the target."""
        return self.path.absolute() / self.names.program(self.target)

    @property
    def tracer(self) -> Path:
        """The program that writes down every kernel's result; QgaitError when the bundle was written without."""
        if self.names.tracer not in self.manifest["files"]:
            raise QgaitError(f"The bundle {self.path} has no {self.names.tracer}.", "compile it with `trace=True`.")
        return self.path.absolute() / self.names.tracer

    @property
    def library_bytes(self) -> int:
        """Code and weights: of libgait.so, or what a bare-metal program links of libgait.a."""
        if self.names.shared in self.manifest["files"]:
            return self.size(self.names.shared)
        return int(self.manifest["memory"]["flash_bytes"])

    def size(self, name: str) -> int:
        """Bytes of one file of the bundle."""
        return int(self.manifest["files"][name]["bytes"])

    def check_clip(self, clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The clip in C order; QgaitError unless it is uint8 [frames, H, W] with at least one frame."""
        height, width = self.frame_shape
        if clip.dtype != np.uint8 or clip.ndim != 3 or clip.shape[1:] != (height, width):
            raise QgaitError(
                f"This model takes clips uint8 [frames, {height}, {width}], not {clip.dtype} {list(clip.shape)}.",
                "prepare the silhouettes first (qgait data prepare).",
            )
        if len(clip) == 0:
            raise QgaitError("A clip has no frames.", "give at least one silhouette.")
        return np.ascontiguousarray(clip)
