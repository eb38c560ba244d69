"""Drawing a person: a build and a way of walking. All lengths are metres unless a comment says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.data.walkers import knobs
from qgait.data.walkers.channels import INDEX, LENGTHS, NAMES, TERMS
from qgait.data.walkers.statistics import load

# Shares of stature (general anthropometry): what the recorded skeletons do not tell.
BODY_UNIT = 0.77  # trunk + thigh + shank
HEAD_AND_NECK = 0.185
ANKLE_HEIGHT = 0.045
FOREARM_CORRECTION = 1.22  # the recorded forearms end before the wrist

# Torso outline at heights t (0 hip joints, 1 base of the neck), shares of stature: half width, front, back.
TORSO_T = np.array([-0.24, -0.12, 0.0, 0.2, 0.42, 0.6, 0.74, 0.85, 0.93, 1.0])
TORSO_SIDE = np.array([0.082, 0.100, 0.107, 0.105, 0.103, 0.106, 0.107, 0.099, 0.078, 0.050])
TORSO_FRONT = np.array([0.056, 0.068, 0.074, 0.079, 0.080, 0.080, 0.077, 0.064, 0.050, 0.036])
TORSO_BACK = np.array([0.068, 0.088, 0.091, 0.078, 0.071, 0.074, 0.082, 0.082, 0.070, 0.050])
# Neck and head at heights t (0 base of the neck, 1 top of the head).
HEAD_T = np.array([0.0, 0.12, 0.25, 0.33, 0.45, 0.6, 0.75, 0.88, 0.96, 1.0])
HEAD_SIDE = np.array([0.056, 0.037, 0.034, 0.037, 0.043, 0.047, 0.047, 0.039, 0.026, 0.004])
HEAD_FRONT = np.array([0.034, 0.034, 0.038, 0.056, 0.062, 0.063, 0.059, 0.047, 0.031, 0.004])
HEAD_BACK = np.array([0.050, 0.041, 0.037, 0.038, 0.046, 0.055, 0.059, 0.051, 0.035, 0.004])
LONG_HAIR = np.array([0.056, 0.056, 0.057, 0.058, 0.060, 0.062, 0.060, 0.050, 0.035, 0.004])
SAMPLES = 24  # heights at which an outline is evaluated

# Limb radii, shares of stature.
RADII = {
    "thigh": 0.060, "mid_thigh": 0.054, "knee": 0.042, "calf": 0.041, "ankle": 0.032, "heel": 0.021, "ball": 0.021,
    "toe": 0.015, "shoulder": 0.039, "elbow": 0.034, "wrist": 0.025, "hand": 0.023, "slope": 0.032,
}  # fmt: skip
TORSO_KEYS = ("side", "front", "back")


@dataclass
class Build:
    """One body as it is seen: bones, and girths with everyday clothes on."""

    stature: float
    length: dict[str, float]  # channels.LENGTHS in metres
    radius: dict[str, float]  # RADII in metres
    torso: dict[str, np.ndarray]  # side, front, back: [SAMPLES] metres
    torso_t: np.ndarray
    head: dict[str, np.ndarray]
    head_t: np.ndarray
    shoulder_drop: float  # how far the shoulder joints are below the base of the neck


@dataclass
class Person:
    build: Build
    gait: np.ndarray  # [channels, TERMS] radians, at mean pace
    pace: float  # speed / sqrt(g * leg)
    cadence: float  # log of strides a second * sqrt(leg / g) at mean pace


def draw_person(rng: np.random.Generator) -> Person:
    """A new person; the same generator state gives the same person."""
    s = load()
    coefficients = (s.mean + knobs.IDENTITY_GAIT * s.draw_between(rng)).reshape(len(NAMES), TERMS)
    # The recorded base of the neck lies behind the hips; seen from the side people lean forward a little.
    coefficients[INDEX["trunk_pitch"], 0] += (
        np.radians(7.5) + knobs.IDENTITY_GAIT * np.radians(2.2) * rng.standard_normal()
    )
    # The recorded heads differ by how the skeletons were fitted as well: half of it is posture.
    nod = INDEX["head_pitch"]
    coefficients[nod, 0] = np.radians(5) + 0.5 * (coefficients[nod, 0] + s.mean.reshape(len(NAMES), TERMS)[nod, 0])
    # The recorded hip joints lie behind the real ones: standing legs come out bent by about eight degrees.
    for side in ("left_", "right_"):
        coefficients[INDEX[side + "knee"], 0] += np.radians(8)
        coefficients[INDEX[side + "thigh_pitch"], 0] -= np.radians(2)
        # Actors with markers hold their arms away from the body.
        coefficients[INDEX[side + "upper_arm_spread"], 0] -= np.radians(1)
        coefficients[INDEX[side + "forearm_spread"], 0] -= np.radians(4)
    pace = s.pace[0] + 0.05 + knobs.IDENTITY_GAIT * 0.6 * s.pace[1] * np.clip(rng.standard_normal(), -2, 2)
    cadence = s.cadence[0] + knobs.IDENTITY_GAIT * s.cadence[1] * np.clip(rng.standard_normal(), -2, 2)
    return Person(draw_build(rng), coefficients, pace, cadence)


def draw_build(rng: np.random.Generator) -> Build:
    """Bones from the learned proportions, girths around anthropometric means with common factors of weight and sex."""
    s, k = load(), knobs.IDENTITY_BUILD

    def z(std: float) -> float:
        return float(k * std * np.clip(rng.standard_normal(), -2.5, 2.5))

    masculine = float(rng.choice([-1.0, 1.0])) * k  # adds a second mode; everything else varies on top of it
    stature = 1.68 + 0.055 * masculine + z(0.055)
    logs = s.lengths_mean + k * s.lengths_std * np.clip(rng.standard_normal(len(LENGTHS)), -2.5, 2.5)
    shares = dict(zip(LENGTHS, np.exp(logs), strict=True))
    unit = BODY_UNIT * stature / (shares["trunk"] + shares["thigh"] + shares["shank"])
    length = {name: float(unit * share) for name, share in shares.items()}
    length["forearm"] *= FOREARM_CORRECTION
    length["shoulder_width"] *= np.exp(0.03 * masculine)

    weight = z(0.09)
    torso = {key: np.interp(torso_t := _grid(TORSO_T), TORSO_T, table) for key, table in zip(
        TORSO_KEYS, (TORSO_SIDE, TORSO_FRONT, TORSO_BACK), strict=True)}  # fmt: skip
    belly = np.exp(-(((torso_t - 0.3) / 0.28) ** 2))
    chest = np.exp(-(((torso_t - 0.72) / 0.16) ** 2))
    seat = np.exp(-(((torso_t + 0.02) / 0.18) ** 2))
    wide_hips, belly_size, bust, bottom = z(0.05) - 0.02 * masculine, z(0.10), z(0.08), z(0.10)
    upper_back = z(0.07)
    torso["side"] *= np.exp(weight + wide_hips * seat + (0.03 * masculine + z(0.04)) * chest + 0.5 * belly_size * belly)
    torso["front"] *= np.exp(1.2 * weight + (belly_size + z(0.04)) * belly + (bust - 0.03 * masculine) * chest)
    torso["back"] *= np.exp(1.1 * weight + bottom * seat + upper_back * chest)
    head_size = z(0.04)
    head_t = _grid(HEAD_T)
    head = {key: np.interp(head_t, HEAD_T, table) for key, table in zip(
        TORSO_KEYS, (HEAD_SIDE, HEAD_FRONT, HEAD_BACK), strict=True)}  # fmt: skip
    hair = k * abs(rng.standard_normal()) * 0.07
    crown = np.clip((head_t - 0.4) / 0.2, 0, 1)
    for key in TORSO_KEYS:
        head[key] *= np.exp(head_size + z(0.03) + (0.5 if key == "front" else 1.0) * hair * crown)
        head[key] *= np.exp(0.6 * weight * (1 - crown))
    if rng.random() < (0.45 if masculine < 0 else 0.05):
        long_hair = np.interp(head_t, HEAD_T, LONG_HAIR) * np.exp(z(0.10))
        head["back"] = np.maximum(head["back"], long_hair)
        head["side"] = np.maximum(head["side"], 0.85 * long_hair * np.clip(head_t / 0.3, 0.6, 1))

    leg, arm, trousers, shoes = z(0.06), z(0.07), abs(z(0.12)), z(0.08)
    radius = {
        name: share * stature * np.exp(0.8 * weight + 0.02 * rng.standard_normal() * k) for name, share in RADII.items()
    }
    for name in ("thigh", "mid_thigh", "knee", "calf", "ankle"):
        radius[name] *= np.exp(leg)
    for name, share in (("knee", 0.6), ("calf", 0.8), ("ankle", 1.6)):  # wide trouser legs
        radius[name] *= np.exp(share * trousers)
    for name in ("shoulder", "elbow", "wrist"):
        radius[name] *= np.exp(arm + 0.04 * masculine)
    for name in ("heel", "ball", "toe"):
        radius[name] *= np.exp(shoes)
    for table in (torso, head):
        for key in table:
            table[key] = table[key] * stature
    drop = (0.060 + z(0.009)) * stature
    return Build(stature, length, radius, torso, torso_t, head, head_t, drop)


def _grid(t: np.ndarray) -> np.ndarray:
    return np.linspace(t[0], t[-1], SAMPLES)


def vary_build(build: Build, rng: np.random.Generator) -> Build:
    """The same person in the same clothes on another walk: girths a little different."""

    def factor() -> float:
        return float(np.exp(knobs.SEQUENCE_BUILD * rng.standard_normal()))

    radius = {name: r * factor() for name, r in build.radius.items()}
    torso = {key: table * factor() for key, table in build.torso.items()}
    head = {key: table * factor() for key, table in build.head.items()}
    return Build(build.stature, build.length, radius, torso, build.torso_t, head, build.head_t, build.shoulder_drop)
