"""One sequence: a person, a walk, clothes and a camera become silhouettes."""

from __future__ import annotations

import numpy as np

from qgait.data.walkers import knobs
from qgait.data.walkers.align_many import align_many
from qgait.data.walkers.bits import paint, unpack
from qgait.data.walkers.body import body
from qgait.data.walkers.camera import Camera, camera, half_width, move, project
from qgait.data.walkers.clothes import bag_column, carry, coat_columns, draw_bag, draw_coat, dress
from qgait.data.walkers.people import draw_person, vary_build
from qgait.data.walkers.render import COLUMNS, ROWS, capsule_rows, column_rows
from qgait.data.walkers.segmentation import ragged, spoil
from qgait.data.walkers.skeleton import pose
from qgait.data.walkers.solids import Column, Limbs
from qgait.data.walkers.walk import angles, draw_walk, phases, times

CONDITIONS = ("nm-01", "nm-02", "nm-03", "nm-04", "nm-05", "nm-06", "bg-01", "bg-02", "cl-01", "cl-02")
PIXELS = 108.0  # a walker's height in the middle of the path
SMALLEST, LARGEST = 80.0, 120.0  # pixels; the canvas has render.ROWS rows
# What a random stream is for. The numbers are part of the data's identity: never change or reuse them.
PERSON, BAG, COAT, WALK, VIEW = range(5)


def stream(*key: int) -> np.random.Generator:
    """The random stream of one thing: same key, same numbers, whatever else is drawn."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def silhouettes(seed: int, subject: int, condition: str, view: int, frames: int) -> np.ndarray:
    """Aligned silhouettes uint8 [frames, 64, 64] of one subject in one condition seen from one view."""
    take = CONDITIONS.index(condition)
    person = draw_person(stream(seed, subject, PERSON))
    walk_stream = stream(seed, subject, WALK, take)
    walk = draw_walk(person, walk_stream)
    build = vary_build(person.build, walk_stream)
    t = times(frames)
    phase, angle = phases(walk, t), angles(walk, t)
    stature = build.stature

    bag = draw_bag(stream(seed, subject, BAG), stature) if condition.startswith("bg") else None
    coat = draw_coat(stream(seed, subject, COAT), stature) if condition.startswith("cl") else None
    if bag is not None:
        carry(angle, bag)
    if coat is not None:
        build = dress(build, coat)
    skeleton = pose(angle, build)
    arms_and_legs, columns = body(skeleton, build)
    if bag is not None:
        columns.append(bag_column(bag, skeleton, build, phase))
    if coat is not None:
        columns += coat_columns(coat, skeleton, build, phase)

    rng = stream(seed, subject, VIEW, take, view)
    cam = camera(view, rng)
    middle = np.array([0.0, walk.offset])
    path = middle + (walk.speed * t)[:, None] * np.array([np.cos(walk.heading), np.sin(walk.heading)])
    solids: list[Limbs | Column] = [arms_and_legs, *columns]
    for solid in solids:
        move(solid, path, walk.heading)
    fit(cam, path, stature)
    low, high, (shift_x, shift_y) = intervals(cam, arms_and_legs, columns)
    ragged(low, high, rng)
    mask = paint(low, high)
    if knobs.SEGMENTATION > 0:
        mask = spoil(
            mask, anchors(cam, arms_and_legs, columns, shift_x, shift_y), cam.zoom * stature / depth(cam, path), rng
        )
    aligned, good = align_many(unpack(mask))
    if not good.all():  # cannot happen to a walker of at least SMALLEST pixels
        raise AssertionError(f"a frame of {subject:03d}/{condition}/{view:03d} is empty")
    return aligned


def depth(cam: Camera, path: np.ndarray) -> np.ndarray:
    return (path - cam.place) @ cam.ahead


def fit(cam: Camera, path: np.ndarray, stature: float) -> None:
    """Set the zoom: constant, as of a real camera, except where the walker would not fit the canvas."""
    away = depth(cam, path)
    distance = float(np.hypot(*cam.place))
    tall = PIXELS * (stature / 1.68) * distance / away
    cam.zoom = np.clip(tall, SMALLEST, LARGEST) * away / stature


def intervals(
    cam: Camera, arms_and_legs: Limbs, columns: list[Column]
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Row intervals [n, parts, ROWS] of all solids on a canvas that follows the walker, and the shift to it."""
    x0, y0, s0 = project(cam, arms_and_legs.start)
    x1, y1, s1 = project(cam, arms_and_legs.end)
    r0, r1 = arms_and_legs.start_radius * s0, arms_and_legs.end_radius * s1
    shift_y = ROWS - 3 - np.maximum((y0 + r0).max(axis=1), (y1 + r1).max(axis=1))
    hip_x, _, _ = project(cam, columns[0].centre)
    shift_x = COLUMNS / 2 - hip_x[:, 4]
    x0, x1 = x0 + shift_x[:, None], x1 + shift_x[:, None]
    y0, y1 = y0 + shift_y[:, None], y1 + shift_y[:, None]
    low, high = capsule_rows(x0, y0, r0, x1, y1, r1)
    lows, highs = [low], [high]
    for column in columns:
        x, y, scale = project(cam, column.centre)
        left, right = column_rows(
            x + shift_x[:, None], half_width(cam, column) * scale, y[:, 0] + shift_y, y[:, -1] + shift_y
        )
        lows.append(left[:, None])
        highs.append(right[:, None])
    return np.concatenate(lows, axis=1), np.concatenate(highs, axis=1), (shift_x, shift_y)


def anchors(
    cam: Camera, arms_and_legs: Limbs, columns: list[Column], shift_x: np.ndarray, shift_y: np.ndarray
) -> dict[str, np.ndarray]:
    """Canvas places [n, 2] that segmentation errors hang on."""
    torso, head = columns[0].centre, columns[1].centre
    toes = arms_and_legs.end[:, 6], arms_and_legs.end[:, 17]
    named = {"hips": torso[:, 5], "neck": torso[:, -1], "top": head[:, -4], "left_foot": toes[0], "right_foot": toes[1]}
    x, y, _ = project(cam, np.stack(list(named.values()), axis=1))
    return {k: np.stack([x[:, i] + shift_x, y[:, i] + shift_y], axis=1) for i, k in enumerate(named)}
