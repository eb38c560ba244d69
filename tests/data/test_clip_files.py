from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from qgait.data.clip_files import load_clip
from qgait.data.walkers.dataset import sequence
from qgait.errors import QgaitError

WALK = sequence(3, 1, "nm-01", 90, 12)


def test_pickles_arrays_and_pictures_give_the_same_clip(tmp_path: Path) -> None:
    (tmp_path / "walk.pkl").write_bytes(pickle.dumps(WALK))
    np.save(tmp_path / "walk.npy", WALK)
    (tmp_path / "walk").mkdir()
    for i, frame in enumerate(WALK):  # numbers without zeros in front: 10 must come after 9
        cv2.imwrite(str(tmp_path / "walk" / f"{i}.png"), frame)
    expected = WALK[:, :, 10:-10]
    np.testing.assert_array_equal(load_clip(tmp_path / "walk.pkl"), expected)
    np.testing.assert_array_equal(load_clip(tmp_path / "walk.npy"), expected)
    pictures = load_clip(tmp_path / "walk")
    assert pictures.shape == expected.shape
    order = [int(np.argmin(((expected.astype(int) - frame) ** 2).sum((1, 2)))) for frame in pictures.astype(int)]
    assert order == list(range(12))


@pytest.mark.parametrize("name", ["gone.pkl", "notes.txt", "broken.npy", "object.npy", "empty"])
def test_anything_else_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("no silhouettes")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01")
    np.save(tmp_path / "object.npy", np.array([None, {}], dtype=object), allow_pickle=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(QgaitError, match=name):
        load_clip(tmp_path / name)
