from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from report_facts import walkers

from qgait.report.pictures import FRAMES, png, strips


def test_a_png_shows_its_pixels_to_another_decoder() -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
    decoded = cv2.imdecode(np.frombuffer(png(alpha), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (5, 7, 4)
    np.testing.assert_array_equal(decoded[..., 3], alpha)
    assert not decoded[..., :3].any()


def test_strips_show_every_condition_from_spread_views(tmp_path: Path) -> None:
    dataset = walkers(tmp_path)
    found = strips(dataset.sequences)
    assert [(s["condition"], s["view"]) for s in found] == [
        (condition, view) for condition in ("nm", "cl") for view in ("000", "036", "126", "180")
    ]
    first = dataset.sequences[[s.name for s in dataset.sequences].index("001-nm-01-000")].load()
    data = np.frombuffer(base64.b64decode(found[0]["png"]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)[..., 3]
    assert picture.shape == (found[0]["height"], found[0]["width"]) == (64, 44 * FRAMES)
    np.testing.assert_array_equal(picture[:, :44], first[0])
    np.testing.assert_array_equal(picture[:, -44:], first[-1])
