"""The outline half-way between pixels and its chords, where the answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from node.measure.outline import hull, longest_chord, outline

pytestmark = pytest.mark.verifies("SRS-085", level="unit", technique="phantom")

DIAGONAL, OTHER_DIAGONAL = np.array([1.0, 1.0]) / np.sqrt(2), np.array([1.0, -1.0]) / np.sqrt(2)
ORIGIN = np.zeros(2)


def length(ends: np.ndarray) -> float:
    return float(np.linalg.norm(ends[1] - ends[0]))


def test_hull_of_one_pixel():
    assert sorted(map(tuple, hull(np.ones((1, 1), bool)))) == [(-0.5, 0.0), (0.0, -0.5), (0.0, 0.5), (0.5, 0.0)]


def test_outline_of_one_pixel_is_closed():
    pieces = outline(np.ones((1, 1), bool))
    assert len(pieces) == 4
    ends, times = np.unique(pieces.reshape(-1, 2), axis=0, return_counts=True)
    assert len(ends) == 4
    assert (times == 2).all()


def test_a_hole_has_an_outline_of_its_own():
    mask = np.ones((3, 3), bool)
    outer = len(outline(mask))
    mask[1, 1] = False
    assert len(outline(mask)) == outer + 4


@pytest.mark.parametrize(
    ("mask", "along", "across"),
    [
        (np.eye(2, dtype=bool), DIAGONAL, OTHER_DIAGONAL),
        (np.eye(2, dtype=bool)[::-1], OTHER_DIAGONAL, DIAGONAL),
    ],
)
def test_pixels_that_touch_at_a_corner_are_connected(mask, along, across):
    pieces = outline(mask)
    assert length(longest_chord(pieces, along, ORIGIN)) == pytest.approx(1.5 * np.sqrt(2))
    assert length(longest_chord(pieces, across, ORIGIN)) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("flip", [(), (0, 1)])
def test_the_longest_chord_may_be_an_edge(flip):
    """A half square: along its longest side the chords grow up to the side itself."""
    rows, columns = np.indices((9, 9))
    mask = np.flip(rows + columns < 9, flip)
    assert length(longest_chord(outline(mask), OTHER_DIAGONAL, ORIGIN)) == pytest.approx(8.5 * np.sqrt(2), abs=0.01)


def test_of_equal_chords_the_nearest_is_taken():
    pieces = outline(np.ones((21, 5), bool))
    for near in (4.0, 10.0, 16.0):
        ends = longest_chord(pieces, np.array([0.0, 1.0]), np.array([near, 2.0]))
        assert length(ends) == pytest.approx(5.0)
        assert ends[:, 0] == pytest.approx([near, near])


def test_chord_in_a_shape_with_two_arms_is_one_arm_long():
    mask = np.ones((5, 11), bool)
    mask[:4, 3:8] = False
    ends = longest_chord(outline(mask), np.array([0.0, 1.0]), ORIGIN)
    assert length(ends) == pytest.approx(11.0)  # through the floor
    mask[4, 5] = False
    assert length(longest_chord(outline(mask), np.array([0.0, 1.0]), ORIGIN)) == pytest.approx(5.0)
