"""Forward kinematics: joint angles to joint positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.data.walkers.channels import INDEX
from qgait.data.walkers.people import ANKLE_HEIGHT, HEAD_AND_NECK, Build

SOLE_TILT = np.radians(15.0)  # the line from ankle to toe end slopes down by this when the foot is flat


@dataclass
class Skeleton:
    """Joint positions [n, 3] in metres, x forward, y left, z up, hip centre at x = y = 0; floor at z = 0."""

    joint: dict[str, np.ndarray]
    pelvis_yaw: np.ndarray  # [n] radians
    shoulder_yaw: np.ndarray


def pose(angle: np.ndarray, build: Build) -> Skeleton:
    """Angles [n, channels] and a build -> positions of hips, knees, ankles, heels, balls, toes, arms, neck and head."""

    def a(name: str) -> np.ndarray:
        return angle[:, INDEX[name]]

    n, length, j = len(angle), build.length, {}
    j["hips"] = np.zeros((n, 3))
    j["neck"] = length["trunk"] * _up(a("trunk_pitch"), a("trunk_roll"))
    top = HEAD_AND_NECK * build.stature
    j["top"] = j["neck"] + top * _up(a("head_pitch"), a("head_roll"))
    hip_line = length["hip_width"] / 2 * _across(a("pelvis_yaw"), a("pelvis_list"))
    shoulder_line = length["shoulder_width"] / 2 * _across(a("shoulder_yaw"), a("shoulder_list"))
    j["nape"] = j["neck"] + 0.012 * build.stature * _up(a("head_pitch"), a("head_roll"))
    chest = j["neck"] - build.shoulder_drop * _up(a("trunk_pitch"), a("trunk_roll"))
    for side, sign in (("left_", 1.0), ("right_", -1.0)):
        j[side + "hip"] = sign * hip_line
        thigh = a(side + "thigh_pitch")
        shank = thigh + a(side + "knee")
        j[side + "knee"] = j[side + "hip"] + length["thigh"] * _down(thigh, sign * a(side + "thigh_spread"))
        j[side + "ankle"] = j[side + "knee"] + length["shank"] * _down(shank, sign * a(side + "shank_spread"))
        foot = shank + np.pi / 2 + a(side + "foot") + SOLE_TILT
        toe_out = sign * a(side + "toe_out")
        along = _down(foot, toe_out)
        below = j[side + "ankle"] + 0.55 * ANKLE_HEIGHT * build.stature * _down(foot - np.pi / 2, 0 * foot)
        j[side + "heel"] = below - 0.028 * build.stature * along
        j[side + "ball"] = below + 0.55 * length["foot"] * along
        j[side + "toe"] = below + 0.95 * length["foot"] * along
        j[side + "shoulder"] = chest + sign * shoulder_line
        arm = a(side + "upper_arm_pitch")
        fore = arm + a(side + "elbow")
        reach = _down(fore, sign * a(side + "forearm_spread"))
        j[side + "elbow"] = j[side + "shoulder"] + length["upper_arm"] * _down(arm, sign * a(side + "upper_arm_spread"))
        j[side + "wrist"] = j[side + "elbow"] + length["forearm"] * reach
        j[side + "hand"] = j[side + "wrist"] + 0.055 * build.stature * reach
    feet = [j[s + p][:, 2] - build.radius[p] for s in ("left_", "right_") for p in ("heel", "ball", "toe")]
    floor = np.min(feet, axis=0)
    for p in j.values():
        p[:, 2] -= floor
    return Skeleton(j, a("pelvis_yaw"), a("shoulder_yaw"))


def _down(pitch: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(pitch) * np.cos(spread), np.sin(spread), -np.cos(pitch) * np.cos(spread)], axis=1)


def _up(pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    d = np.stack([np.tan(pitch), np.tan(roll), np.ones_like(pitch)], axis=1)
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def _across(yaw: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    return np.stack([-np.sin(yaw) * np.cos(tilt), np.cos(yaw) * np.cos(tilt), np.sin(tilt)], axis=1)
