"""Coats and bags: what a person wears or carries in the cl and bg sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.data.walkers import knobs
from qgait.data.walkers.body import outline, twist
from qgait.data.walkers.channels import INDEX
from qgait.data.walkers.people import SAMPLES, Build
from qgait.data.walkers.skeleton import Skeleton
from qgait.data.walkers.solids import Column

BAG_KINDS = ("shoulder bag", "backpack", "handbag")


@dataclass
class Coat:
    """A garment over the torso, the arms and part of the thighs."""

    bulk: float  # log girth added to the torso
    sleeve: float  # log girth added to the arms
    hem: float  # 0 at the hip joints, 1 at the knees
    flare: float  # metres added at the hem
    collar: float  # log girth added around the neck
    trousers: float  # log girth added to the legs: warm clothes


@dataclass
class Bag:
    kind: str
    side: str  # "left_" or "right_": the shoulder or hand that carries it
    size: np.ndarray  # half width, half depth, height, in metres; depth is along the walk
    place: float  # kind's own: how far behind the hip (shoulder bag, metres), how high on the back (backpack)
    swing: float  # metres
    soft: bool  # round rather than boxy


def draw_coat(rng: np.random.Generator, stature: float) -> Coat:
    k = knobs.COAT_BULK
    long = rng.random() < 0.35
    return Coat(
        bulk=k * float(np.clip(0.17 + 0.07 * rng.standard_normal(), 0.04, 0.36)),
        sleeve=k * float(np.clip(0.34 + 0.12 * rng.standard_normal(), 0.10, 0.65)),
        hem=float(rng.uniform(0.75, 1.1) if long else rng.uniform(0.3, 0.7)),
        flare=k * stature * float(rng.uniform(0.004, 0.02)),
        collar=k * abs(float(0.25 * rng.standard_normal())),
        trousers=k * abs(float(0.06 * rng.standard_normal())),
    )


def draw_bag(rng: np.random.Generator, stature: float) -> Bag:
    kind = str(rng.choice(BAG_KINDS, p=[0.45, 0.3, 0.25]))
    size = {
        "shoulder bag": [rng.uniform(0.022, 0.045), rng.uniform(0.06, 0.10), rng.uniform(0.12, 0.20)],
        "backpack": [rng.uniform(0.065, 0.09), rng.uniform(0.03, 0.06), rng.uniform(0.19, 0.26)],
        "handbag": [rng.uniform(0.02, 0.04), rng.uniform(0.07, 0.12), rng.uniform(0.11, 0.19)],
    }[kind]
    place = {"shoulder bag": rng.uniform(-0.02, 0.08) * stature, "backpack": rng.uniform(0.84, 0.98), "handbag": 0.0}[
        kind
    ]
    side = "left_" if rng.random() < 0.5 else "right_"
    swing = stature * float(rng.uniform(0.004, 0.014))
    soft = kind == "backpack" or bool(rng.random() < 0.6)
    return Bag(kind, side, knobs.BAG_SIZE * stature * np.array(size), float(place), swing, soft)


def carry(angle: np.ndarray, bag: Bag) -> None:
    """How a bag changes the arms and the trunk: joint angles [n, channels], in place."""

    def damp(name: str, keep: float, add: float = 0.0) -> None:
        column = angle[:, INDEX[name]]
        column[:] = column.mean() + add + keep * (column - column.mean())

    if bag.kind == "backpack":
        angle[:, INDEX["trunk_pitch"]] += np.radians(3)
        angle[:, INDEX["head_pitch"]] += np.radians(2)
        for side in ("left_", "right_"):
            damp(side + "upper_arm_pitch", 0.8)
        return
    if bag.kind == "handbag":
        damp(bag.side + "upper_arm_pitch", 0.35)
        damp(bag.side + "elbow", 0.3, -np.radians(12))
        damp(bag.side + "upper_arm_spread", 0.5, np.radians(2))
    else:
        damp(bag.side + "upper_arm_pitch", 0.5, np.radians(4))
        damp(bag.side + "upper_arm_spread", 0.6, np.radians(5))
        damp(bag.side + "elbow", 0.5, np.radians(8))
    angle[:, INDEX["trunk_roll"]] += np.radians(1.5) * (-1 if bag.side == "left_" else 1)


def bag_column(bag: Bag, skeleton: Skeleton, build: Build, phase: np.ndarray) -> Column:
    """The bag as a rounded box that hangs from hand, shoulder or back and swings with the steps."""
    j = skeleton.joint
    n, k = len(phase), 8
    height = np.linspace(0, 1, k)
    yaw = np.repeat(skeleton.pelvis_yaw[:, None], k, axis=1)
    side, depth, tall = bag.size
    rounded = np.array([0.75, 0.94, 1, 1, 1, 0.97, 0.90, 0.62])
    if bag.soft:
        rounded = np.array([0.50, 0.85, 1, 1.04, 1, 0.90, 0.74, 0.45])
    sway = bag.swing * np.stack([np.cos(2 * phase), np.sin(phase), 0 * phase], axis=1)
    if bag.kind == "backpack":
        top = j["hips"] + bag.place * (j["neck"] - j["hips"]) + 0.4 * sway * [1, 1, 0]
        lean = j["neck"] - j["hips"]
        drop = tall * lean / np.linalg.norm(lean, axis=1, keepdims=True)
        behind = np.interp(bag.place - 0.3, build.torso_t, build.torso["back"]) + 0.75 * depth
        yaw = np.repeat(skeleton.shoulder_yaw[:, None], k, axis=1)
        top = top - behind * np.stack([np.cos(yaw[:, 0]), np.sin(yaw[:, 0]), 0 * phase], axis=1)
        rounded = np.array([0.85, 1, 1.02, 1, 0.96, 0.9, 0.8, 0.5])
    elif bag.kind == "handbag":
        top = j[bag.side + "hand"] + sway
        drop = np.tile([0.0, 0.0, tall], (n, 1))
    else:
        out = 1 if bag.side == "left_" else -1
        top = j[bag.side + "hip"] + sway + [-bag.place, out * (0.6 * build.radius["thigh"] + 0.6 * side), 0.45 * tall]
        drop = np.tile([0.0, 0.0, tall], (n, 1))
    centre = top[:, None] - drop[:, None] * (1 - height)[:, None]
    return Column(centre, side * rounded, depth * rounded, yaw, boxy=not bag.soft)


def dress(build: Build, coat: Coat) -> Build:
    """The build with warm trousers and sleeves; the coat's body is :func:`coat_columns`."""
    radius = dict(build.radius)
    for name, share in (("shoulder", 0.5), ("elbow", 1.0), ("wrist", 1.0), ("slope", 0.5), ("hand", 0.15)):
        radius[name] *= np.exp(share * coat.sleeve)
    for name in ("thigh", "mid_thigh", "knee", "calf", "ankle"):
        radius[name] *= np.exp(coat.trousers)
    head = {}
    neck = np.clip(1 - build.head_t / 0.30, 0, 1)
    for key, table in build.head.items():
        head[key] = table * np.exp(coat.collar * neck)
    return Build(
        build.stature, build.length, radius, build.torso, build.torso_t, head, build.head_t, build.shoulder_drop
    )


def coat_columns(coat: Coat, skeleton: Skeleton, build: Build, phase: np.ndarray) -> list[Column]:
    """The coat's body above the hips, and its skirt, which wraps both thighs and is carried along by them."""
    t = build.torso_t
    below_neck = np.clip((1.0 - t) / 0.12, 0.3, 1)
    belly = np.exp(-(((t - 0.25) / 0.3) ** 2))  # a coat hangs straight where the body has a waist
    table = {key: value * np.exp(below_neck * coat.bulk * (1 + 0.5 * belly)) for key, value in build.torso.items()}
    body = outline(skeleton.joint["hips"], skeleton.joint["neck"], t, table, twist(skeleton, t))

    j = skeleton.joint
    down = np.linspace(coat.hem, 0, SAMPLES // 2)  # bottom first
    left, right = (
        j[s + "hip"][:, None] + (j[s + "knee"] - j[s + "hip"])[:, None] * down[:, None] for s in ("left_", "right_")
    )
    for leg, sign in ((left, 1.0), (right, -1.0)):  # cloth follows the thighs late and only in part
        late = 0.12 * np.sin(phase - 0.6) * sign
        leg[..., 0] = 0.85 * leg[..., 0] + build.radius["thigh"] * late[:, None] * down
    centre = (left + right) / 2
    gap = np.abs(left - right)[..., :2] / 2 * np.sign((left - right)[..., :2])
    share = down / max(coat.hem, 1e-6)
    hips = np.interp(0.0, t, table["side"]), np.interp(0.0, t, (table["front"] + table["back"]) / 2)
    leg_side = build.radius["thigh"] * np.exp(coat.bulk) + coat.flare
    fade = np.clip(1 - 2.5 * share, 0, 1)  # from the hips' section to two wrapped thighs
    at_hips = np.abs(gap[:, -1:, 1])
    side = np.maximum(leg_side, hips[0] - at_hips) * fade + leg_side * (1 - fade)
    depth = hips[1] * fade + (leg_side * 0.95) * (1 - fade)
    yaw = np.repeat(skeleton.pelvis_yaw[:, None], len(down), axis=1)
    return [body, Column(centre, side + 0 * gap[..., 0], depth + 0 * gap[..., 0], yaw, gap=gap)]
