"""One walk from whatever file or folder a user has it in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qgait.data.pickles import load_arrays
from qgait.data.silhouettes import Clip, check_clip
from qgait.errors import QgaitError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


def load_clip(path: Path) -> Clip:
    """Silhouettes uint8 [n, 64, 44] of a .pkl or .npy file, or of a folder of images, which are aligned."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise QgaitError(f"There is no {path}.", "give .pkl or .npy files, or folders of silhouette images.")
    if path.suffix == ".pkl":
        return check_clip(load_arrays(path), str(path))
    if path.suffix == ".npy":
        try:
            return check_clip(np.load(path, allow_pickle=False), str(path))
        except (ValueError, EOFError, OSError) as error:
            raise QgaitError(
                f"{path} is not a numpy array of numbers ({error}).", "save it with numpy.save."
            ) from error
    raise QgaitError(f"{path} is neither a .pkl nor a .npy file.", "give one of these, or a folder of images.")


def _folder(path: Path) -> Clip:
    from qgait.data.align import align_walk
    from qgait.data.prepare import number_order, read_image

    files = [file for file in path.iterdir() if file.suffix.lower() in IMAGES]
    files.sort(key=lambda file: number_order(file.name))
    if not files:
        raise QgaitError(f"{path} has no images.", f"give a folder with {', '.join(IMAGES)} silhouettes.")
    return align_walk(map(read_image, files), f"the images of {path}")
