"""A person without coat and bag as solids: torso and head as columns of cross-sections, limbs as tapered capsules."""

from __future__ import annotations

import numpy as np

from qgait.data.walkers.people import Build
from qgait.data.walkers.skeleton import Skeleton
from qgait.data.walkers.solids import Column, Limbs, limbs


def body(skeleton: Skeleton, build: Build) -> tuple[Limbs, list[Column]]:
    return body_limbs(skeleton, build), [torso(skeleton, build), head(skeleton, build)]


def body_limbs(skeleton: Skeleton, build: Build) -> Limbs:
    j, r = skeleton.joint, build.radius
    parts = []
    for s in ("left_", "right_"):
        hip, knee, ankle = j[s + "hip"], j[s + "knee"], j[s + "ankle"]
        middle, calf = 0.55 * hip + 0.45 * knee, 0.68 * knee + 0.32 * ankle
        shoulder, elbow, wrist = j[s + "shoulder"], j[s + "elbow"], j[s + "wrist"]
        parts += [
            (hip, middle, r["thigh"], r["mid_thigh"]),
            (middle, knee, r["mid_thigh"], r["knee"]),
            (knee, calf, r["knee"], r["calf"]),
            (calf, ankle, r["calf"], r["ankle"]),
            (ankle, j[s + "heel"], r["ankle"], r["heel"]),
            (ankle, j[s + "ball"], r["ankle"], r["ball"]),
            (j[s + "heel"], j[s + "toe"], r["heel"], r["toe"]),
            (shoulder, elbow, r["shoulder"], r["elbow"]),
            (elbow, wrist, r["elbow"], r["wrist"]),
            (wrist, j[s + "hand"], r["wrist"], 0.8 * r["hand"]),
            (j["nape"], shoulder, r["slope"], 0.95 * r["shoulder"]),
        ]
    return limbs(parts)


def torso(skeleton: Skeleton, build: Build) -> Column:
    t = build.torso_t
    return outline(skeleton.joint["hips"], skeleton.joint["neck"], t, build.torso, twist(skeleton, t))


def head(skeleton: Skeleton, build: Build) -> Column:
    yaw = np.repeat(0.5 * skeleton.shoulder_yaw[:, None], len(build.head_t), axis=1)
    return outline(skeleton.joint["neck"], skeleton.joint["top"], build.head_t, build.head, yaw)


def twist(skeleton: Skeleton, t: np.ndarray) -> np.ndarray:
    """Yaw [n, len(t)] of the trunk at heights ``t`` between pelvis (0) and shoulders (1)."""
    share = np.clip(t, 0, 1)
    return skeleton.pelvis_yaw[:, None] * (1 - share) + skeleton.shoulder_yaw[:, None] * share


def outline(low: np.ndarray, high: np.ndarray, t: np.ndarray, table: dict[str, np.ndarray], yaw: np.ndarray) -> Column:
    """A column along the line from ``low`` (t = 0) to ``high`` (t = 1); ``table`` has half width, front and back."""
    centre = low[:, None] + (high - low)[:, None] * t[:, None]
    forward = (table["front"] - table["back"]) / 2
    centre[..., 0] += forward * np.cos(yaw)
    centre[..., 1] += forward * np.sin(yaw)
    return Column(centre, table["side"], (table["front"] + table["back"]) / 2, yaw)
