"""The pieces synthetic walkers are made of, each against something simpler or known."""

from __future__ import annotations

import numpy as np
import pytest

from qgait.data.align import align
from qgait.data.walkers import knobs
from qgait.data.walkers.align_many import align_many
from qgait.data.walkers.bits import close, paint, unpack
from qgait.data.walkers.camera import camera, half_width, project
from qgait.data.walkers.channels import INDEX, NAMES, TERMS, fourier_basis, mirror
from qgait.data.walkers.people import draw_person
from qgait.data.walkers.render import COLUMNS, ROWS, capsule_rows, column_rows
from qgait.data.walkers.skeleton import pose
from qgait.data.walkers.solids import Column
from qgait.data.walkers.statistics import SIZE, load
from qgait.data.walkers.walk import angles, draw_walk, times


def test_many_are_aligned_with_the_same_bits_as_one() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((12, ROWS, COLUMNS), bool)
    for mask in masks:
        top, left = rng.integers(0, 40), rng.integers(10, 50)
        tall, wide = rng.integers(40, 88), rng.integers(12, 60)
        mask[top : top + tall, left : left + wide] = rng.random((tall, wide)) < 0.8
    masks[3] = False
    aligned, good = align_many(masks)
    assert list(np.flatnonzero(~good)) == [3]
    for i in np.flatnonzero(good):
        np.testing.assert_array_equal(aligned[i], align(masks[i]))


def test_a_capsule_covers_what_its_definition_says() -> None:
    rng = np.random.default_rng(1)
    x0, x1 = rng.uniform(30, 100, (2, 6, 1))
    y0, y1 = rng.uniform(30, 100, (2, 6, 1))
    r0, r1 = rng.uniform(3, 20, (2, 6, 1))
    mask = unpack(paint(*capsule_rows(x0, y0, r0, x1, y1, r1)))
    px, py = np.arange(COLUMNS) + 0.5, (np.arange(ROWS) + 0.5)[:, None]
    for i in range(6):  # the union of many discs between the two ends
        wanted = np.zeros((ROWS, COLUMNS), bool)
        for s in np.linspace(0, 1, 400):
            x, y, r = ((1 - s) * a[i, 0] + s * b[i, 0] for a, b in ((x0, x1), (y0, y1), (r0, r1)))
            wanted |= (px - x) ** 2 + (py - y) ** 2 < r * r
        assert (mask[i] != wanted).sum() <= 0.004 * wanted.sum()


def test_a_column_of_equal_sections_is_a_rectangle() -> None:
    low, high = column_rows(np.full((1, 5), 64.0), np.full((1, 5), 10.0), np.array([100.0]), np.array([40.0]))
    mask = unpack(paint(low[:, None], high[:, None]))[0]
    wanted = np.zeros((ROWS, COLUMNS), bool)
    wanted[40:100, 54:74] = True
    np.testing.assert_array_equal(mask, wanted)


def test_painting_is_the_union_of_intervals_across_the_word_border() -> None:
    rng = np.random.default_rng(2)
    ends = np.sort(rng.uniform(-20, COLUMNS + 20, (3, 4, ROWS, 2)).astype(np.float32), axis=-1)
    low, high = ends[..., 0], ends[..., 1]
    centres = np.arange(COLUMNS) + 0.5
    wanted = ((centres >= low[..., None]) & (centres < high[..., None])).any(axis=1)
    np.testing.assert_array_equal(unpack(paint(low, high)), wanted)


def test_nothing_is_painted_where_left_exceeds_right() -> None:
    assert not paint(np.full((1, 1, ROWS), 1e6, np.float32), np.full((1, 1, ROWS), -1e6, np.float32)).any()


def test_closing_fills_a_gap_of_two_pixels_and_leaves_wider_ones() -> None:
    for width, filled in ((1, True), (2, True), (3, False), (6, False)):
        for start in (30, 62, 90):  # 62: across the border between the two words
            low = np.full((1, 2, ROWS), 10.0, np.float32)
            high = np.full((1, 2, ROWS), float(start), np.float32)
            low[:, 1], high[:, 1] = start + width, 110
            mask = unpack(close(paint(low, high), 1))[0]
            assert mask[60, start : start + width].all() == filled
            assert mask[60].sum() == 100 - (0 if filled else width)


def test_a_person_looks_smaller_from_further_away() -> None:
    c = camera(0, np.random.default_rng(0))
    points = np.array([[[-1.5, 0, 0], [-1.5, 0, 1.7]], [[1.5, 0, 0], [1.5, 0, 1.7]]])
    c.zoom = np.full(2, 500.0)
    _, y, _ = project(c, points)
    assert y[1, 0] - y[1, 1] > 1.4 * (y[0, 0] - y[0, 1]) > 0


def test_views_see_the_walker_from_the_front_the_left_and_the_back() -> None:
    ahead, left = np.array([[[0.5, 0, 1.0]]]), np.array([[[0, 0.5, 1.0]]])
    for view, ahead_x, left_x in ((0, 0, 1), (90, -1, 0), (180, 0, -1)):
        c = camera(view, np.random.default_rng(0))
        c.zoom = np.full(1, 500.0)
        assert np.sign(np.round(project(c, ahead)[0], 6)).item() == ahead_x
        assert np.sign(np.round(project(c, left)[0], 6)).item() == left_x


def test_a_cross_section_is_wide_from_the_front_and_deep_from_the_side() -> None:
    column = Column(np.zeros((1, 1, 3)), np.array([0.2]), np.array([0.1]), np.zeros((1, 1)))
    box = Column(column.centre, column.side, column.depth, column.yaw, boxy=True)
    for view, ellipse, rectangle in ((0, 0.2, 0.2), (90, 0.1, 0.1), (180, 0.2, 0.2), (54, None, None)):
        c = camera(view, np.random.default_rng(0))
        if ellipse is None:
            assert half_width(c, column).item() < half_width(c, box).item()
        else:
            assert half_width(c, column).item() == pytest.approx(ellipse, rel=1e-6)
            assert half_width(c, box).item() == pytest.approx(rectangle, rel=1e-6)


def test_learned_statistics_have_no_preferred_side() -> None:
    s = load()
    assert s.mean.shape == (SIZE,)
    mean = s.mean.reshape(len(NAMES), TERMS)
    np.testing.assert_allclose(mirror(mean), mean, atol=1e-6)
    np.testing.assert_allclose(mirror(mirror(mean)), mean, atol=1e-9)
    variance = (s.between_std**2).reshape(len(NAMES), TERMS)
    np.testing.assert_allclose(np.abs(mirror(variance)), variance, rtol=1e-4)


def test_the_mean_walk_is_human() -> None:
    """Ranges every gait textbook gives: hips swing 30 to 60 degrees, knees bend 45 to 75, legs move in opposition."""
    mean = load().mean.reshape(len(NAMES), TERMS)
    curve = np.degrees(fourier_basis(np.linspace(0, 2 * np.pi, 100)) @ mean.T)
    hip, other = curve[:, INDEX["left_thigh_pitch"]], curve[:, INDEX["right_thigh_pitch"]]
    assert 30 < np.ptp(hip) < 60
    assert np.corrcoef(hip, other)[0, 1] < -0.8
    assert 40 < np.ptp(curve[:, INDEX["left_knee"]]) < 75
    arm = curve[:, INDEX["left_upper_arm_pitch"]]
    assert np.corrcoef(hip, arm)[0, 1] < -0.7  # arms swing against the leg of their side


def test_bones_keep_their_length_and_feet_stay_above_the_floor() -> None:
    person = draw_person(np.random.default_rng(4))
    walk = draw_walk(person, np.random.default_rng(5))
    skeleton = pose(angles(walk, times(60)), person.build)
    j, length = skeleton.joint, person.build.length
    for side in ("left_", "right_"):
        for a, b, bone in (("hip", "knee", "thigh"), ("knee", "ankle", "shank"), ("elbow", "wrist", "forearm")):
            spans = np.linalg.norm(j[side + a] - j[side + b], axis=1)
            np.testing.assert_allclose(spans, length[bone], rtol=1e-9)
        assert (j[side + "toe"][:, 2] > 0).all()
    top = j["top"][:, 2]
    assert np.all(np.abs(top / person.build.stature - 0.98) < 0.06)


def test_the_knobs_for_people_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knobs, "IDENTITY_GAIT", 0.0)
    monkeypatch.setattr(knobs, "IDENTITY_BUILD", 0.0)
    a, b = (draw_person(np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(a.gait, b.gait)
    assert a.build.stature == b.build.stature
    assert a.build.radius == b.build.radius
