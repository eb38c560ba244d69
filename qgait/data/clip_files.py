"""One walk from whatever file or folder a user has it in."""

from __future__ import annotations

import os
from pathlib import Path

from qgait.data.array_files import load_array
from qgait.data.folders import files_in
from qgait.data.pickles import load_arrays
from qgait.data.silhouettes import Clip, check_clip
from qgait.errors import QgaitError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


def load_clip(path: Path) -> Clip:
    """Silhouettes uint8 [n, 64, 44] of a .pkl or .npy file, or of a folder of images, which are aligned."""
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for some names
        return _folder(path)
    if path.suffix == ".pkl":
        return check_clip(load_arrays(path), str(path))
    if path.suffix == ".npy":
        return check_clip(load_array(path), str(path))
    problem = f"{path} is neither a .pkl nor a .npy file." if os.path.lexists(path) else f"There is no {path}."
    raise QgaitError(problem, "give .pkl or .npy files, or folders of silhouette images.")


def _folder(path: Path) -> Clip:
    from qgait.data.align import align_walk
    from qgait.data.pictures import read_image
    from qgait.data.prepare import number_order

    left_out: list[str] = []
    files = files_in(path, IMAGES, left_out)
    if left_out:
        raise QgaitError(f"{left_out[0]}.", "remove it: a walk has all of its frames.")
    if not files:
        raise QgaitError(f"{path} has no images.", f"give a folder with {', '.join(IMAGES)} silhouettes.")
    return align_walk((read_image(path / name) for name in sorted(files, key=number_order)), f"the images of {path}")
