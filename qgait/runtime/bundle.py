"""The bundle: a network compiled for one processor, as a folder that says what it is and proves that it is whole.

docs/targets.md describes every file. Opening a bundle needs numpy only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.targets.processors import Target

if TYPE_CHECKING:
    from qgait.export.graph import Graph

FORMAT, VERSION = "qgait-bundle", 3
MANIFEST = "manifest.json"
TRACER = "debug/gait-trace"
AGAIN = "compile it again (qgait compile)."


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
        for name, facts in manifest["files"].items():
            file = folder / name
            if not file.is_file():
                raise QgaitError(f"The bundle {folder} has lost its file {name}.", AGAIN)
            if file_sha256(file) != facts["sha256"]:
                raise QgaitError(f"{name} in the bundle {folder} was changed: its sha256 is another one.", AGAIN)
        return Bundle(folder, manifest)

    @staticmethod
    def write(
        graph: Graph,
        target: Target,
        out: str | os.PathLike[str],
        selftest_clips: Sequence[NDArray[np.uint8]],
        trace: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Bundle:
        """Compiles ``graph`` for ``target`` into the folder ``out``; needs TVM and zig.

        ``selftest_clips``: at least two clips uint8 [frames, H, W] of different length; the numpy reference makes
        their expected codes. ``trace`` adds debug/gait-trace, which `Compiled.trace` needs.
        ``progress(what, done, total)`` is told every step. An older bundle at ``out`` is replaced, anything else there
        is refused; nothing half-written stays behind.
        """
        from qgait.compiler.bundle import write

        return write(graph, target, Path(out), selftest_clips, trace, progress)

    @property
    def model(self) -> str:
        """The backbone's name."""
        return str(self.manifest["model"])

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
        return self.path.absolute() / program_name(self.target)

    @property
    def library_bytes(self) -> int:
        """Code and weights: of libgait.so, or what a bare-metal program links of libgait.a."""
        if "libgait.so" in self.manifest["files"]:
            return self.size("libgait.so")
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


def program_name(target: Target) -> str:
    """The name of the bundle's executable."""
    return "gait-run.elf" if target.bare_metal else "gait-run"


def file_sha256(file: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sign(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Writes manifest.json with the sha256 and size of every other file in ``folder`` and of the manifest itself."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / MANIFEST)
    listed = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in files
    }
    signed = {**manifest, "files": listed}
    signed["checksum"] = _checksum(signed)
    (folder / MANIFEST).write_text(_text(signed))
    return signed


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle folder, checked against its own checksum; the other files are not looked at."""
    file = folder / MANIFEST
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise QgaitError(
            f"{folder} is not a bundle: it has no {MANIFEST}.", "name a folder that qgait compile wrote."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise QgaitError(f"{file} cannot be read: {error}.", AGAIN) from None
    try:
        manifest = json.loads(text)
    except ValueError:
        raise QgaitError(f"{MANIFEST} in the bundle {folder} was changed: it is not JSON.", AGAIN) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise QgaitError(
            f"{folder} is not a bundle: {MANIFEST} is of another program.", "name a folder that qgait compile wrote."
        )
    if manifest.get("version") != VERSION:
        raise QgaitError(
            f"The bundle {folder} has format version {manifest.get('version')}, and this qgait reads {VERSION}.", AGAIN
        )
    if manifest.get("checksum") != _checksum(manifest) or text != _text(manifest):
        raise QgaitError(f"{MANIFEST} in the bundle {folder} was changed: its checksum does not fit.", AGAIN)
    if not isinstance(manifest.get("files"), dict) or not all(map(_inside, manifest["files"])):
        raise QgaitError(f"{MANIFEST} in the bundle {folder} lists files outside the bundle.", AGAIN)
    return manifest


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def _checksum(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(_text(rest).encode()).hexdigest()
