"""Silhouettes for checks that must not depend on anybody's data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph


def probe_clips(graph: Graph, clips: int = 2, frames: int = 3) -> list[NDArray[np.uint8]]:
    """Blobs of a person's size, noise, and both extremes: uint8 [frames, H, W] each, the same at every call."""
    height, width, _ = graph.tensors[graph.input].shape
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    result = []
    for _ in range(clips):
        centre = rng.uniform(0.4, 0.6, (frames, 2, 1, 1)) * np.array([height, width]).reshape(2, 1, 1)
        radius = rng.uniform(0.2, 0.5, (frames, 2, 1, 1)) * np.array([height, width]).reshape(2, 1, 1)
        distance = ((y - centre[:, 0]) / radius[:, 0]) ** 2 + ((x - centre[:, 1]) / radius[:, 1]) ** 2
        soft = np.clip((1.2 - distance) * 400, 0, 255)
        result.append(np.where(rng.random(soft.shape) < 0.05, rng.integers(0, 256, soft.shape), soft).astype(np.uint8))
    extremes = np.zeros((2, height, width), np.uint8)
    extremes[1] = 255
    return [*result, extremes]
