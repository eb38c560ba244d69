"""One walk of one person: joint angles and place at every moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.data.walkers import knobs
from qgait.data.walkers.channels import INDEX, NAMES, TERMS, fourier_basis
from qgait.data.walkers.people import Person
from qgait.data.walkers.statistics import load

FPS = 25
CYCLES = 16  # drawn around the middle of the walk; longer walks repeat them
GRAVITY = 9.81


@dataclass
class Walk:
    """Times are seconds from the middle of the sequence, so that all cameras see the same walk."""

    gait: np.ndarray  # [CYCLES, channels, TERMS] radians
    stride_rate: float  # gait cycles a second
    speed: float  # metres a second
    phase: float  # radians at time 0
    heading: float  # radians
    offset: float  # metres to the left of the usual path


def draw_walk(person: Person, rng: np.random.Generator) -> Walk:
    s = load()
    pace = max(0.24, person.pace * float(np.exp(knobs.SEQUENCE_PACE * rng.standard_normal())))
    gait = person.gait.ravel() + s.slope * (pace - s.pace[0]) + knobs.SEQUENCE_GAIT * s.draw_walk(rng)
    cycles = gait + knobs.CYCLE_GAIT * s.cycle_std * rng.standard_normal((CYCLES, gait.size))
    leg = person.build.length["thigh"] + person.build.length["shank"]
    rate = np.exp(person.cadence + s.cadence[2] * np.log(pace / s.pace[0]) + 0.02 * rng.standard_normal())
    return Walk(
        gait=cycles.reshape(CYCLES, len(NAMES), TERMS),
        stride_rate=float(rate * np.sqrt(GRAVITY / leg)),
        speed=float(pace * np.sqrt(GRAVITY * leg)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        heading=float(np.radians(knobs.HEADING_DEGREES) * rng.standard_normal()),
        offset=float(knobs.PATH_OFFSET * rng.standard_normal()),
    )


def times(frames: int) -> np.ndarray:
    """Seconds of each frame, 0 in the middle."""
    return (np.arange(frames) - (frames - 1) / 2) / FPS


def phases(walk: Walk, t: np.ndarray) -> np.ndarray:
    return walk.phase + 2 * np.pi * walk.stride_rate * t


def angles(walk: Walk, t: np.ndarray) -> np.ndarray:
    """Joint angles [len(t), channels] in radians, kept inside what joints can do."""
    phase = phases(walk, t)
    turn = phase / (2 * np.pi)
    cycle = np.floor(turn).astype(int)
    share = (turn - cycle)[:, None, None]
    # cycle i's coefficients hold at its start and fade into the next one's, so nothing jumps
    now = (
        walk.gait[(cycle + CYCLES // 2) % CYCLES] * (1 - share) + walk.gait[(cycle + 1 + CYCLES // 2) % CYCLES] * share
    )
    out = np.einsum("nct,nt->nc", now, fourier_basis(phase))
    for side in ("left_", "right_"):
        out[:, INDEX[side + "knee"]] = np.minimum(out[:, INDEX[side + "knee"]], -0.02)
        out[:, INDEX[side + "elbow"]] = np.maximum(out[:, INDEX[side + "elbow"]], 0.02)
        # an arm that is pressed into the body would vanish in it
        out[:, INDEX[side + "upper_arm_spread"]] = np.maximum(out[:, INDEX[side + "upper_arm_spread"]], -0.02)
    return out
