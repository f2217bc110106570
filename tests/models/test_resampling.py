"""Resampling there and back: what a voxel becomes, and that it comes back to its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.orientation import Orientation
from models.resampling import Box, Resampling, new_length, slabs, weights
from tests.models.orientations import ALL, Order, Signs, affine

SPACINGS = [(1.6, 0.57, 0.57), (5.0, 0.9, 0.7), (0.5, 0.5, 0.5), (3.0, 1.0, 1.0)]
GRIDS = [(3.0, 3.0, 3.0), (1.5, 1.5, 1.5), (3.0, 1.0, 1.0)]


def _whole(size: tuple[int, int, int]) -> Box:
    return slice(0, size[0]), slice(0, size[1]), slice(0, size[2])


def _centre(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) * spacing


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_a_larger_voxel_is_the_average_of_what_it_covers() -> None:
    matrix = weights(6, 2, 1 / 3)
    assert np.allclose(matrix, [[1 / 3] * 3 + [0] * 3, [0] * 3 + [1 / 3] * 3])
    # 2.5 old voxels to each of two new ones: the middle one is shared.
    assert np.allclose(weights(5, 2, 0.4), [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]])


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_a_smaller_voxel_lies_on_the_line_between_its_neighbours_and_fades_into_zeros() -> None:
    assert np.allclose(weights(2, 4, 2.0), [[0.75, 0], [0.75, 0.25], [0.25, 0.75], [0, 0.75]])


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
def test_beyond_the_image_are_zeros() -> None:
    # Five voxels of 1 mm in two of 3 mm: half a millimetre is missing on either side.
    assert np.allclose(weights(5, 2, 1 / 3).sum(axis=1), 2.5 / 3)


@pytest.mark.verifies("SRS-060", level="unit", technique="property")
@given(length=st.integers(1, 2000), zoom=st.floats(0.05, 20))
def test_a_new_grid_covers_the_old_one_and_no_voxel_more(length: int, zoom: float) -> None:
    count = new_length(length, zoom)
    assert count >= length * zoom - 1e-5
    assert count == 1 or count - 1 < length * zoom


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
def test_rounding_noise_of_a_spacing_adds_no_voxel() -> None:
    assert new_length(163, 3.0000000001 / 3.0) == 163


@pytest.mark.verifies("SRS-060", level="unit", technique="property")
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 24)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 8)] * 3),
    grid=st.sampled_from(GRIDS),
)
def test_a_constant_comes_back_as_it_was(
    size: tuple[int, int, int], spacing: tuple[float, float, float], grid: tuple[float, float, float]
) -> None:
    resampling = Resampling.to_spacing(size, spacing, grid)
    values = np.full(resampling.new_size, 0.75, np.float32)
    whole = _whole(size)
    back = np.concatenate([resampling.back(values, _whole(resampling.new_size), slab) for slab in slabs(whole)])
    assert back.shape == size
    assert np.allclose(back, 0.75, atol=1e-6)


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_window_is_cut_from_the_whole(spacing: tuple[float, float, float], grid: tuple[float, float, float]) -> None:
    volume = np.random.default_rng(1).normal(size=(11, 29, 34)).astype(np.float32)
    resampling = Resampling.to_spacing(volume.shape, spacing, grid)
    new = resampling.new_size
    window = (slice(new[0] // 3, new[0]), slice(0, max(1, new[1] // 2)), slice(new[2] // 4, max(1, new[2] - 1)))
    assert np.allclose(resampling.forward(volume, window), resampling.forward(volume)[window], atol=1e-5)


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_a_transform_sees_the_original_voxels() -> None:
    volume = np.zeros((40, 6, 6), np.int16)
    volume[:, :3] = 3000
    resampling = Resampling.to_spacing(volume.shape, (1.0, 1.0, 1.0), (1.0, 2.0, 2.0))
    clipped = resampling.forward(volume, transform=lambda part: np.minimum(part, 100))
    assert clipped[:, 1].max() == pytest.approx(50)


@pytest.mark.verifies("SRS-060", level="unit", technique="phantom")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("order", "signs"), ALL)
def test_a_mark_returns_to_its_place(
    order: Order, signs: Signs, spacing: tuple[float, float, float], grid: tuple[float, float, float]
) -> None:
    """Within half a voxel, original or new, whichever is larger: through turning, resampling and all the way back."""
    matrix = affine(order, signs, spacing)
    orientation = Orientation.of(matrix)
    shape = (9, 26, 31)
    # As large as six new voxels, so that it can be seen, and anywhere but in the middle.
    across = [
        min(shape[axis] - 3, max(3, round(6 * grid[2 - patient] / spacing[axis]))) for axis, patient in enumerate(order)
    ]
    mark = np.zeros(shape, np.int16)
    mark[tuple(slice(n - size - 1, n - 1) for n, size in zip(shape, across, strict=True))] = 1
    turned = orientation.apply(mark)
    resampling = Resampling.to_spacing(turned.shape, orientation.spacing, grid)
    coarse = resampling.forward(turned)
    found = np.zeros(shape, bool)
    drawn = orientation.apply(found)
    for slab in slabs(_whole(turned.shape)):
        drawn[slab] = resampling.back(coarse, _whole(resampling.new_size), slab) > 0.5
    allowed = np.array([max(spacing[axis], grid[2 - patient]) / 2 for axis, patient in enumerate(order)])
    assert (np.abs(_centre(found, spacing) - _centre(mark > 0, spacing)) <= allowed).all()


@pytest.mark.verifies("SRS-060", level="unit", technique="property")
@settings(max_examples=60, deadline=None)
@given(data=st.data(), spacing=st.sampled_from(SPACINGS), grid=st.sampled_from(GRIDS))
def test_boxes_are_mapped_without_loss(
    data: st.DataObject, spacing: tuple[float, float, float], grid: tuple[float, float, float]
) -> None:
    """Whatever a box covers there reaches at least the box itself on the way back."""
    size = (13, 40, 37)
    resampling = Resampling.to_spacing(size, spacing, grid)
    box = tuple(
        slice(start, data.draw(st.integers(start + 1, n))) for n in size for start in [data.draw(st.integers(0, n - 1))]
    )
    assert len(box) == 3
    back = resampling.reached(resampling.covered((box[0], box[1], box[2])))
    assert all(b.start <= a.start and a.stop <= b.stop for a, b in zip(box, back, strict=True))
    assert all(0 <= part.start < part.stop <= n for part, n in zip(back, size, strict=True))


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_slabs_cover_a_box_once() -> None:
    box = (slice(3, 150), slice(2, 5), slice(0, 4))
    seen = np.zeros((160, 6, 6), int)
    for slab in slabs(box):
        seen[slab] += 1
    assert (seen[box] == 1).all()
    assert seen.sum() == seen[box].sum()
