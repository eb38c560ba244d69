"""The joint angles that describe one instant of walking, and how they turn under a left-right mirror.

Axes everywhere: x forward (the walking direction), y to the walker's left, z up. Angles are radians.
A limb segment that points down has ``pitch`` (forward positive) and ``spread`` (away from the body positive):
direction = (sin(pitch) cos(spread), +-sin(spread), -cos(pitch) cos(spread)).
"""

from __future__ import annotations

import numpy as np

MIDDLE = (
    "pelvis_yaw",  # hip line against the lateral axis, left hip back positive
    "pelvis_list",  # hip line against the horizontal, left hip up positive
    "trunk_pitch",  # hips to neck, leaning forward positive
    "trunk_roll",  # hips to neck, leaning left positive
    "shoulder_yaw",
    "shoulder_list",
    "head_pitch",  # neck to head top
    "head_roll",
)
SIDE = (
    "thigh_pitch",
    "thigh_spread",
    "knee",  # shank pitch minus thigh pitch: bent is negative
    "shank_spread",
    "foot",  # foot pitch minus shank pitch, minus 90 degrees
    "toe_out",
    "upper_arm_pitch",
    "upper_arm_spread",
    "elbow",  # forearm pitch minus upper arm pitch: bent is positive
    "forearm_spread",
)
NAMES = MIDDLE + tuple("left_" + n for n in SIDE) + tuple("right_" + n for n in SIDE)
INDEX = {name: i for i, name in enumerate(NAMES)}
HARMONICS = 4
TERMS = 1 + 2 * HARMONICS  # constant, then cos and sin of each harmonic

# Segment lengths learned from motion capture, each a share of hip-to-neck plus thigh plus shank.
LENGTHS = ("trunk", "thigh", "shank", "foot", "upper_arm", "forearm", "shoulder_width", "hip_width")


def fourier_basis(phase: np.ndarray) -> np.ndarray:
    """``phase`` [n] radians -> [n, TERMS]: 1, cos p, sin p, cos 2p, sin 2p, ..."""
    k = np.arange(1, HARMONICS + 1)
    angle = phase[..., None] * k
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(*phase.shape, 2 * HARMONICS)
    return np.concatenate([np.ones_like(phase)[..., None], waves], axis=-1)


def mirror(coefficients: np.ndarray) -> np.ndarray:
    """Fourier coefficients [..., channels, TERMS] of the same walk seen in a mirror, half a cycle later.

    Left and right channels swap, lateral angles change sign, and odd harmonics change sign because the phase is
    counted from the other foot. A symmetric walker is its own mirror image.
    """
    sides = len(SIDE)
    sign = np.array([-1 if n.endswith(("yaw", "list", "roll")) else 1 for n in MIDDLE])
    middle = coefficients[..., : len(MIDDLE), :] * sign[:, None]
    left = coefficients[..., len(MIDDLE) : len(MIDDLE) + sides, :]
    right = coefficients[..., len(MIDDLE) + sides :, :]
    swapped = np.concatenate([middle, right, left], axis=-2)
    odd = np.array([1.0] + [s for k in range(1, HARMONICS + 1) for s in [(-1.0) ** k] * 2])
    return swapped * odd
