"""Diameters of shapes whose answer is known, and of random ones against a search by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from node.dicom.findings import Diameter
from node.measure.diameters import axial_diameters

ONE_MM = (1.0, 1.0, 1.0)


def canvas(rows: int = 60, columns: int = 60, slices: int = 1) -> np.ndarray:
    return np.zeros((slices, rows, columns), bool)


def ellipse(a_mm: float, b_mm: float, degrees: float, pixel: tuple[float, float], half: int = 60) -> np.ndarray:
    """An ellipse of half axes a and b, its long axis turned from the rows' direction."""
    rows = np.arange(-half, half + 1)[:, None] * pixel[0]
    columns = np.arange(-half, half + 1)[None] * pixel[1]
    t = np.deg2rad(degrees)
    along, across = columns * np.cos(t) + rows * np.sin(t), -columns * np.sin(t) + rows * np.cos(t)
    return ((along / a_mm) ** 2 + (across / b_mm) ** 2 <= 1)[None]


def vector_mm(diameter: Diameter, spacing: tuple[float, float, float]) -> np.ndarray:
    return (np.array(diameter.end) - np.array(diameter.start)) * spacing


@pytest.mark.verifies("SRS-085", level="unit", technique="bad-input")
def test_empty_mask_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        axial_diameters(canvas(), ONE_MM)


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_bar_of_40_by_10_mm():
    mask = canvas()
    mask[0, 20:30, 10:50] = True
    long, short = axial_diameters(mask, ONE_MM)
    assert long.length_mm == pytest.approx(41.0)  # 9-40-41: the corners are cut by half a pixel
    assert short.length_mm == pytest.approx(10.25)  # the chord; the hull's width would be 19.4


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_bar_converges_to_its_true_size_with_finer_pixels():
    mask = canvas(60, 220)
    mask[0, 10:50, 20:180] = True
    long, short = axial_diameters(mask, (1.0, 0.25, 0.25))
    assert long.length_mm == pytest.approx(np.hypot(40, 10), abs=0.07)
    assert short.length_mm == pytest.approx(10 / np.cos(np.arctan(10 / 40)), abs=0.02)


@pytest.mark.verifies("SRS-085", level="unit", technique="boundary")
def test_a_single_voxel_is_a_pixel_long_and_wide():
    mask = canvas(5, 5)
    mask[0, 2, 3] = True
    long, short = axial_diameters(mask, (3.0, 0.7, 0.7))
    assert (long.length_mm, short.length_mm) == (pytest.approx(0.7), pytest.approx(0.7))


@pytest.mark.verifies("SRS-085", level="unit", technique="boundary")
@pytest.mark.parametrize("row_mm", [0.5, 0.2])
def test_a_single_line_is_as_long_as_its_pixels_and_one_wide(row_mm):
    mask = canvas(9, 9)
    mask[0, 4, 1:8] = True
    long, short = axial_diameters(mask, (3.0, row_mm, 0.5))
    assert long.length_mm == pytest.approx(7 * 0.5)
    assert short.length_mm == pytest.approx(row_mm)
    assert long.start[1] == long.end[1] == 4.0
    assert {long.start[2], long.end[2]} == {0.5, 7.5}


@pytest.mark.verifies("SRS-085", level="unit", technique="boundary")
def test_pixels_that_touch_at_corners_only_are_one_lesion():
    mask = canvas(9, 9)
    mask[0, range(1, 8), range(1, 8)] = True
    long, short = axial_diameters(mask, ONE_MM)
    assert long.length_mm == pytest.approx(np.hypot(7, 6))
    assert 0.6 < short.length_mm < 1.1


@pytest.mark.verifies("SRS-085", level="unit", technique="boundary")
def test_voxels_that_touch_across_slices_are_measured_on_one_slice():
    mask = canvas(5, 5, 5)
    mask[range(5), range(5), range(5)] = True  # a space diagonal: 26-connected, one voxel on each slice
    long, short = axial_diameters(mask, ONE_MM)
    assert (long.length_mm, short.length_mm) == (pytest.approx(1.0), pytest.approx(1.0))


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
@pytest.mark.parametrize("degrees", [0, 17, 45, 73, 90, 120])
@pytest.mark.parametrize("pixel", [(0.7, 0.7), (0.5, 1.0), (1.0, 0.5)])
def test_ellipse_is_right_to_a_pixel(degrees, pixel):
    spacing = (5.0, *pixel)
    long, short = axial_diameters(ellipse(20, 12, degrees, pixel), spacing)
    assert long.length_mm == pytest.approx(40, abs=max(pixel))
    assert short.length_mm == pytest.approx(24, abs=max(pixel))
    assert vector_mm(long, spacing) @ vector_mm(short, spacing) == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(vector_mm(long, spacing)) == pytest.approx(long.length_mm)
    assert np.linalg.norm(vector_mm(short, spacing)) == pytest.approx(short.length_mm)


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_short_axis_of_an_angle_stays_inside_it():
    mask = canvas(50, 50)
    mask[0, 5:45, 5:11] = True
    mask[0, 39:45, 5:45] = True
    long, short = axial_diameters(mask, ONE_MM)
    # From tip to tip; both tips are cut by half a pixel at their corners.
    assert long.length_mm == pytest.approx(np.hypot(40, 40), abs=1.0)
    # Perpendicular to that, an arm of 6 mm is crossed in 6 x sqrt 2; the hull is 24 wide.
    assert short.length_mm == pytest.approx(6 * np.sqrt(2), abs=0.2)


def u_shape() -> np.ndarray:
    mask = canvas(50, 50)
    mask[0, 5:45, 10:40] = True
    mask[0, 5:38, 16:34] = False
    return mask


def h_shape() -> np.ndarray:
    mask = canvas(50, 70)
    mask[0, 5:12, 5:65] = True
    mask[0, 35:42, 5:65] = True
    mask[0, 12:35, 30:35] = True
    return mask


def open_ring() -> np.ndarray:
    mask = ellipse(25, 18, 20, (1, 1), 40) & ~ellipse(18, 11, 20, (1, 1), 40)
    mask[0, 35:45, 40:] = False
    return mask


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
@pytest.mark.parametrize("mask", [u_shape(), h_shape(), open_ring()], ids=["U", "H", "open ring"])
def test_short_axis_does_not_leave_the_lesion(mask):
    _, short = axial_diameters(mask, ONE_MM)
    line = np.linspace(short.start, short.end, 300)[1:-1, 1:]
    assert is_inside(mask[0], line).all()
    assert short.length_mm < 30  # all three are wider than that from outside to outside


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_a_necrotic_core_does_not_interrupt_the_axes():
    disc = ellipse(15, 15, 0, (1, 1), 20)
    ring = disc & ~ellipse(9, 9, 0, (1, 1), 20)
    assert axial_diameters(ring, ONE_MM) == axial_diameters(disc, ONE_MM)


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_parts_that_are_separate_on_an_image_are_measured_separately():
    """Two metastases bridged by a voxel on the next image are not one of three times the size."""
    mask = canvas(30, 60, 2)
    mask[0, 10:20, 5:15] = True
    mask[0, 10:20, 40:50] = True
    mask[1, 15, 14:41] = True
    long, _ = axial_diameters(mask, ONE_MM)
    assert long.start[0] == long.end[0] == 1.0
    assert long.length_mm == pytest.approx(27.0)


@pytest.mark.verifies("SRS-085", level="unit", technique="example")
def test_of_equally_long_images_the_one_with_most_lesion_counts():
    mask = canvas(30, 30, 3)
    mask[:, 15, 5:25] = True
    mask[2, 12:19, 12:18] = True
    long, short = axial_diameters(mask, ONE_MM)
    assert (long.start[0], short.start[0]) == (2.0, 2.0)
    mask[1] = mask[2]
    assert axial_diameters(mask, ONE_MM)[0].start[0] == 1.0


@pytest.mark.verifies("SRS-085", level="unit", technique="boundary")
def test_a_lesion_on_the_image_border_has_ends_within_the_image():
    mask = np.ones((1, 6, 8), bool)
    for diameter in axial_diameters(mask, ONE_MM):
        for _, row, column in (diameter.start, diameter.end):
            assert -0.5 <= row <= 5.5
            assert -0.5 <= column <= 7.5


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_a_giant_lesion():
    z, y, x = np.ogrid[-80:80, -256:256, -256:256]
    mask = (z / 80) ** 2 + (y * 0.6 / 90) ** 2 + (x * 0.6 / 120) ** 2 <= 1
    long, short = axial_diameters(mask, (1.0, 0.6, 0.6))
    assert long.length_mm == pytest.approx(240, abs=0.7)
    assert short.length_mm == pytest.approx(180, abs=0.7)


# --- random shapes ---------------------------------------------------------------------------------------------------

blobs = hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)), elements=st.booleans())
pixels = st.sampled_from([(1.0, 1.0), (0.5, 1.3), (0.8, 0.7)])
modest = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def parts_of(image: np.ndarray) -> list[np.ndarray]:
    """8-connected parts, by flood fill."""
    left = {tuple(p) for p in np.argwhere(image).tolist()}
    parts = []
    while left:
        queue = [left.pop()]
        part = np.zeros_like(image)
        while queue:
            row, column = queue.pop()
            part[row, column] = True
            for step in itertools.product((-1, 0, 1), repeat=2):
                near = (row + step[0], column + step[1])
                if near in left:
                    left.remove(near)
                    queue.append(near)
        parts.append(part)
    return parts


def without_holes(part: np.ndarray) -> np.ndarray:
    """Fill what the outside cannot reach through sides of pixels."""
    padded = np.pad(part, 1)
    outside = {(0, 0)}
    queue = [(0, 0)]
    while queue:
        row, column = queue.pop()
        for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            inside = 0 <= near[0] < padded.shape[0] and 0 <= near[1] < padded.shape[1]
            if inside and not padded[near] and near not in outside:
                outside.add(near)
                queue.append(near)
    filled = np.ones_like(padded)
    for pixel in outside:
        filled[pixel] = False
    return filled[1:-1, 1:-1]


def half_way_points(part: np.ndarray) -> np.ndarray:
    """Points between a pixel inside and its neighbour outside, by looking at each."""
    padded = np.pad(part, 1)
    points = []
    for row, column in np.argwhere(padded):
        points.extend(
            (row - 1 + dr / 2, column - 1 + dc / 2)
            for dr, dc in ((1, 0), (-1, 0), (0, 1), (0, -1))
            if not padded[row + dr, column + dc]
        )
    return np.array(points)


def is_inside(filled: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points lie in the region whose border is half-way between pixels, cell by cell of 2x2 centres."""
    m = np.pad(filled, 2)
    points = np.clip(points, -1.5, np.array(filled.shape) + 0.5)
    cell = np.floor(points).astype(int)
    u, v = (points - cell).T
    r, c = (cell + 2).T
    corners = np.stack([m[r, c], m[r, c + 1], m[r + 1, c], m[r + 1, c + 1]])
    near = np.stack([u + v, u + 1 - v, 1 - u + v, 2 - u - v]) <= 0.5 + 1e-9  # in the triangle at that corner
    count = corners.sum(axis=0)
    opposite = (count == 2) & (corners[0] == corners[3])
    rows = corners[0] == corners[1]  # of two neighbours: both on one row
    first = np.where(rows, corners[0], corners[0])
    side = np.where(rows, np.where(first, u <= 0.5, u >= 0.5), np.where(first, v <= 0.5, v >= 0.5))
    cut = (near & ~corners).any(axis=0)
    kept = (near & corners).any(axis=0)
    return np.select([count == 4, count == 3, opposite, count == 2, count == 1], [True, ~cut, ~cut, side, kept], False)


def brute_short_axis(part: np.ndarray, ends_mm: np.ndarray, pixel: np.ndarray) -> float:
    """The longest run of inside points on lines perpendicular to the long axis, by sampling."""
    filled = without_holes(part)
    along = (ends_mm[1] - ends_mm[0]) / np.linalg.norm(ends_mm[1] - ends_mm[0])
    across = np.array([-along[1], along[0]])
    grid = np.stack(np.meshgrid(*(np.arange(-0.5, n + 0.5, 0.5) for n in part.shape), indexing="ij"), -1).reshape(-1, 2)
    offsets = np.unique(np.round((grid * pixel) @ along, 9))
    reach = float(np.abs(grid * pixel).sum(axis=1).max()) + 1
    step = 0.01
    s = np.arange(-reach, reach, step)
    best = 0
    for offset in np.concatenate([offsets - 1e-6, offsets + 1e-6]):
        inside = is_inside(filled, (offset * along + s[:, None] * across) / pixel)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
        if len(edges):
            best = max(best, int((edges[1::2] - edges[::2]).max()))
    return best * step


def brute_diameters(mask: np.ndarray, pixel: np.ndarray) -> tuple[float, list[tuple[int, np.ndarray, np.ndarray]]]:
    """The longest distance between half-way points of a part on an image, and everything that attains it."""
    found = []
    for image in range(len(mask)):
        for part in parts_of(mask[image]):
            points = half_way_points(part) * pixel
            found.extend(
                (float(np.linalg.norm(pair[1] - pair[0])), image, part, np.array(pair))
                for pair in itertools.combinations(points, 2)
            )
    longest = max(length for length, *_ in found)
    return longest, [(image, part, ends) for length, image, part, ends in found if length > longest - 1e-6]


@pytest.mark.verifies("SRS-085", level="unit", technique="oracle")
@modest
@given(blobs, pixels)
def test_random_shapes_against_brute_force(mask, pixel):
    assume(mask.any())
    long, short = axial_diameters(mask, (4.0, *pixel))
    longest, attained = brute_diameters(mask, np.array(pixel))
    assert long.length_mm == pytest.approx(longest)
    area = {image: int(mask[image].sum()) for image, _, _ in attained}
    image = min(area, key=lambda k: (-area[k], k))
    assert long.start[0] == short.start[0] == image
    expected = max(brute_short_axis(part, ends, np.array(pixel)) for k, part, ends in attained if k == image)
    assert short.length_mm == pytest.approx(expected, abs=0.03)


@pytest.mark.verifies("SRS-085", level="unit", technique="property")
@modest
@given(blobs, pixels)
def test_lengths_do_not_depend_on_how_the_image_is_turned(mask, pixel):
    assume(mask.any())
    spacing = (4.0, *pixel)
    lengths = [d.length_mm for d in axial_diameters(mask, spacing)]
    for turned in (mask[:, ::-1], mask[:, :, ::-1], mask[:, ::-1, ::-1]):
        assert [d.length_mm for d in axial_diameters(turned, spacing)] == pytest.approx(lengths)
    transposed = axial_diameters(mask.transpose(0, 2, 1), (4.0, pixel[1], pixel[0]))
    assert [d.length_mm for d in transposed] == pytest.approx(lengths)


@pytest.mark.verifies("SRS-085", level="unit", technique="property")
@modest
@given(blobs, pixels)
def test_axes_are_perpendicular_and_inside_the_image(mask, pixel):
    assume(mask.any())
    spacing = (4.0, *pixel)
    long, short = axial_diameters(mask, spacing)
    assert vector_mm(long, spacing) @ vector_mm(short, spacing) == pytest.approx(0, abs=1e-6)
    assert short.length_mm <= long.length_mm + 1e-6
    for point in (long.start, long.end, short.start, short.end):
        assert all(-0.5 <= x <= n - 0.5 for x, n in zip(point[1:], mask.shape[1:], strict=True))
