from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_fill_holes, label

from node.report.contour import largest_part, trace


def shoelace(points: np.ndarray) -> float:
    x, y = points[:-1].T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@pytest.mark.verifies("SRS-093", level="unit", technique="property")
@settings(max_examples=200, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_contour_encloses_exactly_the_part_and_its_holes(image: np.ndarray) -> None:
    parts, count = label(image, np.ones((3, 3)))
    for number in range(1, count + 1):
        part = parts == number
        points = trace(part)
        filled = binary_fill_holes(part)
        assert shoelace(points) == pytest.approx(filled.sum())
        assert (points[0] == points[-1]).all()
        assert len(points) >= 6
        rows, columns = np.nonzero(part)
        assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
        assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


@pytest.mark.verifies("SRS-093", level="unit", technique="boundary")
def test_one_pixel_is_no_rectangle_of_four_corners() -> None:
    assert trace(np.ones((1, 1), bool)).tolist() == [
        [0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5], [0, 0],
    ]  # fmt: skip


@pytest.mark.verifies("SRS-093", level="unit", technique="boundary")
def test_pixels_that_touch_at_a_corner_are_one_contour() -> None:
    points = trace(np.eye(3, dtype=bool))
    assert shoelace(points) == 3


@pytest.mark.verifies("SRS-093", level="unit", technique="example")
def test_largest_part_and_the_part_near_a_point() -> None:
    image = np.zeros((8, 8), bool)
    image[:2, :2] = True
    image[5:, 5:] = True
    assert largest_part(image).sum() == 9
    assert largest_part(image, near=(0.0, 1.0)).sum() == 4
    assert largest_part(image, near=(7.0, 7.0)).sum() == 9
