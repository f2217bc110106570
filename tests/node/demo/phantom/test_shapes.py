from __future__ import annotations

import numpy as np
import pytest

from node.demo.phantom.shapes import (
    FAR,
    Solid,
    capsule,
    ellipsoid,
    elliptic_cylinder,
    hull,
    overlap,
    rotation,
    smooth_max,
    smooth_min,
    squircle_cylinder,
)

pytestmark = pytest.mark.verifies("SRS-164", level="unit", technique="oracle")


def points(*xyz: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, z = (np.array(values, np.float32).reshape(1, 1, -1) for values in zip(*xyz, strict=True))
    return x, y, z


def window(*bounds: int) -> tuple[slice, slice, slice]:
    return slice(*bounds[:2]), slice(*bounds[2:4]), slice(*bounds[4:])


def test_distances_of_a_sphere_are_exact():
    distance = ellipsoid(points((0, 0, 10), (6, 8, 0), (3, 0, 0)), (0, 0, 0), (5, 5, 5))
    np.testing.assert_allclose(distance.ravel(), [5, 5, -2], atol=0.01)


def test_ellipsoid_is_zero_on_its_surface_and_negative_at_its_centre():
    distance = ellipsoid(points((11, 2, 3), (1, 22, 3), (1, 2, 33), (1, 2, 3)), (1, 2, 3), (10, 20, 30))
    np.testing.assert_allclose(distance.ravel()[:3], 0, atol=0.01)
    assert distance.ravel()[3] < -5


def test_turned_ellipsoid():
    distance = ellipsoid(points((0, 20, 0), (10, 0, 0)), (0, 0, 0), (20, 10, 5), rotation("z", 90))
    np.testing.assert_allclose(distance.ravel(), 0, atol=0.02)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotations_turn_and_do_not_stretch(axis):
    turn = rotation(axis, 33)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_cylinders():
    x, y, _ = points((10, 0, 0), (0, 20, 5), (0, 0, 0))
    np.testing.assert_allclose(elliptic_cylinder(x, y, (0, 0), (10, 20)).ravel()[:2], 0, atol=0.01)
    distance = squircle_cylinder(x, y, 10, 20).ravel()
    np.testing.assert_allclose(distance[:2], 0, atol=0.01)
    assert distance[2] < 0


def test_capsule_changes_its_radius_and_has_round_ends():
    distance = capsule(points((0, 0, 0), (5, 2, 0), (10, 0, 4), (-3, 0, 0)), (0, 0, 0), (10, 0, 0), 1, 3)
    np.testing.assert_allclose(distance.ravel(), [-1, 0, 1, 2], atol=1e-5)


def test_rounding_acts_only_where_both_are_near():
    a, b = np.float32([0, 0, 0]), np.float32([0, 3, 10])
    np.testing.assert_allclose(smooth_max(a, b, 4), [1, 3 + 1 / 16, 10])
    np.testing.assert_allclose(smooth_min(a, b, 4), [-1, -1 / 16, 0])
    np.testing.assert_allclose(smooth_max(a, b, 0), [0, 3, 10])


def test_boxes():
    a, b, none = window(0, 4, 0, 4, 0, 4), window(2, 6, 3, 5, 1, 2), window(0, 0, 0, 0, 0, 0)
    assert overlap(a, b) == window(2, 4, 3, 4, 1, 2)
    assert hull(a, b) == window(0, 6, 0, 5, 0, 4)
    assert hull(a, none) == hull(none, a) == a
    far = window(8, 9, 8, 9, 8, 9)
    assert all(part.start >= part.stop for part in overlap(a, far))


def test_solids_of_different_boxes():
    left = Solid(window(0, 1, 0, 1, 0, 4), np.float32([[[-2, -1, 1, 2]]]))
    right = Solid(window(0, 1, 0, 1, 2, 6), np.float32([[[-1, -2, -3, 5]]]))
    assert left.joined(right).window == window(0, 1, 0, 1, 0, 6)
    np.testing.assert_array_equal(left.joined(right).distance.ravel(), [-2, -1, -1, -2, -3, 5])
    np.testing.assert_array_equal(left.cut(right).distance.ravel(), [FAR, FAR, 1, 2])
    np.testing.assert_array_equal(left.without(right).distance.ravel(), [-2, -1, 1, 2])
    np.testing.assert_array_equal(right.without(left, gap=2).distance.ravel(), [1, 0, -3, 5])
    np.testing.assert_array_equal(left.grown(1.5).distance.ravel(), [-3.5, -2.5, -0.5, 0.5])
    np.testing.assert_array_equal(left.distance.ravel(), [-2, -1, 1, 2])  # nothing was changed in place
