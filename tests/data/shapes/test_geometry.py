from __future__ import annotations

import math

import numpy as np
import pytest

from bcos_eval.data.shapes.geometry import BAR, OUTLINES, random_linear, rotation
from bcos_eval.data.shapes.random import Stream, scene_keys

EVERY_OUTLINE = pytest.mark.parametrize("outline", OUTLINES, ids=lambda outline: outline.name)


def stream_of(count):
    return Stream(scene_keys("test", np.arange(count, dtype=np.int64)), 0)


def lattice(side=800, reach=2.0):
    along = ((np.arange(side) + 0.5) / side * 2 - 1) * reach
    return *np.meshgrid(along, along), (2 * reach / side) ** 2


@EVERY_OUTLINE
def test_stated_area_is_the_area_inside(outline):
    x, y, cell = lattice()
    # The lattice misses up to half a cell along the boundary.
    assert (outline.distance(x, y) < 0).sum() * cell == pytest.approx(outline.area, rel=5e-3)


@EVERY_OUTLINE
def test_centre_of_mass_is_the_origin(outline):
    x, y, _ = lattice()
    inside = outline.distance(x, y) < 0
    assert abs(x[inside].mean()) < 2e-3
    assert abs(y[inside].mean()) < 2e-3


@EVERY_OUTLINE
def test_distance_never_changes_faster_than_the_place(outline):
    x, y, cell = lattice(side=400)
    distance = outline.distance(x, y)
    step = math.sqrt(cell)
    assert np.abs(np.diff(distance, axis=0)).max() <= step * (1 + 1e-9)
    assert np.abs(np.diff(distance, axis=1)).max() <= step * (1 + 1e-9)


@EVERY_OUTLINE
def test_single_precision_stays_single(outline):
    point = np.array([[0.3]], dtype=np.float32)
    assert outline.distance(point, point).dtype == np.float32


def test_distances_of_the_simple_outlines():
    distances = {outline.name: outline.distance for outline in OUTLINES}
    at = np.array([2.0]), np.array([0.0])
    assert distances["disc"](*at) == pytest.approx(1.0)
    assert distances["square"](*at) == pytest.approx(1.0)
    assert distances["cross"](*at) == pytest.approx(1.0)
    assert distances["ring"](*at) == pytest.approx(1.0)
    assert distances["ring"](np.array([0.0]), np.array([0.0])) == pytest.approx(0.44)


def test_star_has_five_points_and_five_notches():
    star = next(outline for outline in OUTLINES if outline.name == "star")
    angles = 2 * math.pi * np.arange(5) / 5
    np.testing.assert_allclose(star.distance(np.sin(angles), np.cos(angles)), 0.0, atol=1e-9)
    between = angles + math.pi / 5
    np.testing.assert_allclose(star.distance(0.48 * np.sin(between), 0.48 * np.cos(between)), 0.0, atol=1e-9)
    np.testing.assert_array_less(0.0, star.distance(0.6 * np.sin(between), 0.6 * np.cos(between)))


def test_only_the_bar_is_no_class():
    assert OUTLINES[BAR].name == "bar"
    assert len(OUTLINES) - 1 == BAR


def test_rotations_lie_on_the_circle_and_reach_every_direction():
    cosine, sine = rotation(stream_of(4000))
    np.testing.assert_allclose(cosine**2 + sine**2, 1.0, rtol=1e-12)
    counts, _ = np.histogram(np.arctan2(sine, cosine), bins=16, range=(-math.pi, math.pi))
    # Nearly uniform by construction: density within 9 %, and four standard errors of 250 draws.
    assert counts.min() > 250 * 0.91 - 4 * math.sqrt(250)
    assert counts.max() < 250 * 1.09 + 4 * math.sqrt(250)


def test_linear_maps_keep_areas():
    a, b, c, d = random_linear(stream_of(500), max_stretch=1.4, max_shear=0.3).T
    np.testing.assert_allclose(a * d - b * c, 1.0, rtol=1e-12)


def test_linear_maps_without_stretch_and_shear_are_rotations():
    a, b, c, d = random_linear(stream_of(100), max_stretch=1.0, max_shear=0.0).T
    np.testing.assert_allclose([a * a + b * b, a - d, b + c], [[1.0] * 100, [0.0] * 100, [0.0] * 100], atol=1e-12)
