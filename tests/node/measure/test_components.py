from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from node.measure.components import find_components


@pytest.mark.verifies("SRS-083", level="unit", technique="boundary")
def test_nothing_marked_gives_nothing():
    assert find_components(np.zeros((3, 4, 5), bool)) == ((), ())


@pytest.mark.verifies("SRS-083", level="unit", technique="example")
def test_largest_first_and_ties_by_position():
    mask = np.zeros((9, 9, 9), bool)
    mask[6, 1, 1:3] = True  # two voxels, upper
    mask[1, 5, 5:7] = True  # two voxels, lower: first of the two
    mask[4, 8, 5:9] = True  # four voxels
    components, _ = find_components(mask)
    assert [(c.number, c.voxels, c.offset) for c in components] == [
        (1, 4, (4, 8, 5)),
        (2, 2, (1, 5, 5)),
        (3, 2, (6, 1, 1)),
    ]
    assert components[0].centroid == (4.0, 8.0, 6.5)


@pytest.mark.verifies("SRS-083", level="unit", technique="example")
def test_ties_are_decided_by_the_centre_not_by_the_first_voxel():
    mask = np.zeros((9, 9, 9), bool)
    mask[1:5, 1, 1] = True  # centre at slice 2.5
    mask[2, 6, 3:7] = True  # centre at slice 2
    components, _ = find_components(mask)
    assert [c.centroid[0] for c in components] == [2.0, 2.5]


@pytest.mark.verifies("SRS-083", level="unit", technique="boundary")
def test_touching_at_a_corner_is_one():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    components, _ = find_components(mask)
    assert [c.voxels for c in components] == [3]


@pytest.mark.verifies("SRS-084", level="unit", technique="example")
def test_small_ones_are_left_out_and_counted():
    mask = np.zeros((1, 3, 9), bool)
    mask[0, 0, 0] = mask[0, 2, 8] = True
    mask[0, 0, 4:7] = True
    components, left_out = find_components(mask, min_voxels=2)
    assert [c.voxels for c in components] == [3]
    assert left_out == (1, 1)


@pytest.mark.verifies("SRS-083", level="unit", technique="example")
def test_memory_order_makes_no_difference():
    mask = np.random.default_rng(5).random((6, 7, 8)) < 0.15
    first, _ = find_components(mask)
    second, _ = find_components(np.asfortranarray(mask))
    assert [(c.number, c.voxels, c.offset) for c in first] == [(c.number, c.voxels, c.offset) for c in second]


@pytest.mark.verifies("SRS-083", level="unit", technique="oracle")
@settings(max_examples=80, deadline=None)
@given(hnp.arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
def test_same_components_as_scipy(mask):
    components, _ = find_components(mask)
    joined, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert len(components) == count
    rebuilt = np.zeros(mask.shape, int)
    for component in components:
        rebuilt[component.box][component.mask] = component.number
    assert len({(a, b) for a, b in zip(joined.ravel(), rebuilt.ravel(), strict=True)}) == count + (not mask.all())
