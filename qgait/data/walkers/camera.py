"""A fixed camera beside the path, as in CASIA-B: view 000 sees the walker come, 090 from the left side, 180 go away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.data.walkers.solids import Column, Limbs

VIEWS = tuple(range(0, 181, 18))
HEIGHT = 1.35  # metres above the floor
# Distance to the middle of the path: cameras at its ends stand further off so that the walker does not run into them.
SIDE_DISTANCE, END_DISTANCE = 3.8, 5.4


@dataclass
class Camera:
    place: np.ndarray  # [2] metres on the floor
    height: float
    right: np.ndarray  # [2] unit vector to the right of the picture
    ahead: np.ndarray  # [2] unit vector into the picture
    zoom: np.ndarray  # [n] focal length in pixels, a frame


def camera(view: float, rng: np.random.Generator) -> Camera:
    """The camera of one view in degrees; ``rng`` adds the small differences between sessions."""
    v = np.radians(view)
    distance = SIDE_DISTANCE + (END_DISTANCE - SIDE_DISTANCE) * np.cos(v) ** 2 + 0.15 * rng.standard_normal()
    place = distance * np.array([np.cos(v), np.sin(v)])
    ahead = -np.array([np.cos(v), np.sin(v)])
    return Camera(place, HEIGHT + 0.05 * rng.standard_normal(), np.array([ahead[1], -ahead[0]]), ahead, np.ones(1))


def project(c: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [n, m, 3] -> picture x, y (down) and pixels a metre, each [n, m]."""
    dx, dy = points[..., 0] - c.place[0], points[..., 1] - c.place[1]
    depth = np.maximum(dx * c.ahead[0] + dy * c.ahead[1], 0.8)
    scale = c.zoom[:, None] / depth
    return (dx * c.right[0] + dy * c.right[1]) * scale, (c.height - points[..., 2]) * scale, scale


def half_width(c: Camera, column: Column) -> np.ndarray:
    """How far each cross-section [n, k] reaches to either side of its centre as the camera sees it, in metres."""
    to = column.centre[..., :2] - c.place
    to = to / np.linalg.norm(to, axis=-1, keepdims=True)
    cos, sin = np.cos(column.yaw), np.sin(column.yaw)
    along = np.abs(cos * to[..., 1] - sin * to[..., 0]) * column.depth  # the depth axis against the picture plane
    across = np.abs(cos * to[..., 0] + sin * to[..., 1]) * column.side
    reach = along + across if column.boxy else np.hypot(along, across)
    if column.gap is not None:
        reach = reach + np.abs(column.gap[..., 0] * to[..., 1] - column.gap[..., 1] * to[..., 0])
    return reach


def move(solid: Limbs | Column, path: np.ndarray, heading: float) -> None:
    """Turn a solid built around the origin by ``heading`` and put it at ``path`` [n, 2], in place."""
    cos, sin = np.cos(heading), np.sin(heading)
    for points in (solid.start, solid.end) if isinstance(solid, Limbs) else (solid.centre,):
        x, y = points[..., 0].copy(), points[..., 1].copy()
        points[..., 0] = cos * x - sin * y + path[:, None, 0]
        points[..., 1] = sin * x + cos * y + path[:, None, 1]
    if isinstance(solid, Column):
        solid.yaw = solid.yaw + heading
        if solid.gap is not None:
            x, y = solid.gap[..., 0].copy(), solid.gap[..., 1].copy()
            solid.gap = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
