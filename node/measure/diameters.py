"""Long and short axis of a lesion: what a reader with callipers would draw on the axial images.

The long axis is the longest straight line between two points of the outline on one image: callipers around the convex
hull, as RECIST 1.1 asks for (Eisenhauer 2009, Eur J Cancer 45:228: longest diameter in the plane of measurement). The
short axis is the longest chord perpendicular to it that stays inside the lesion on that image; the width of the hull
would nearly double it for a bar. A necrotic core does not interrupt it: holes are filled. Parts of a lesion that are
separate on an image are measured separately there: a line across healthy liver is not a diameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, label
from scipy.spatial.distance import pdist, squareform

from node.dicom.findings import Diameter
from node.measure.outline import TIE_MM, hull, longest_chord, outline


class _Candidate(NamedTuple):
    length: float
    image: int
    part: NDArray[np.bool_]
    corner: NDArray[np.float64]
    ends: NDArray[np.float64]  # (n, 2, 2): every pair of hull corners that is this long, in mm from the corner


def axial_diameters(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> tuple[Diameter, Diameter]:
    """Measure the long and the short axis of one lesion.

    Parameters
    ----------
    mask
        Array ``(slice, row, column)`` of bool, not empty, whose slices are axial.
    spacing
        Distance in mm between slices, rows and columns.

    Returns
    -------
    long_axis, short_axis
        On the same image, with their ends in voxel indices of `mask`. The ends lie on the outline (see
        `node.measure.outline`), half a pixel outside the outermost voxel centres.
        Of equally long axes the one on the image with the largest part of the lesion counts (the first such image),
        there the one with the longest short axis.
    """
    if not mask.any():
        raise ValueError("An empty mask has no diameter.")
    pixel = np.array(spacing[1:])
    candidates = _longest(mask, pixel)
    image = min({c.image for c in candidates}, key=lambda k: (-int(mask[k].sum()), k))
    axes = [
        (ends, short, candidate.corner)
        for candidate in candidates
        if candidate.image == image
        for ends, short in _with_short_axis(candidate, pixel)
    ]
    widest = max(_length(short) for _, short, _ in axes)
    long, short, corner = min(
        (axis for axis in axes if _length(axis[1]) > widest - TIE_MM),
        key=lambda axis: (axis[2] + axis[0] / pixel).round(6).ravel().tolist(),
    )
    shape = mask.shape[1:]
    return _diameter(image, long, corner, shape, pixel), _diameter(image, short, corner, shape, pixel)


def _longest(mask: NDArray[np.bool_], pixel: NDArray[np.float64]) -> list[_Candidate]:
    """Find the longest axes over all images, ties included."""
    best = 0.0
    found: list[_Candidate] = []
    # An image's box bounds its diameter from above: most images of a large lesion need not be looked at.
    bounds = {k: _box_diagonal(mask[k], pixel) for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist()}
    for image in sorted(bounds, key=lambda k: (-bounds[k], k)):
        if bounds[image] < best - TIE_MM:
            break
        for part, corner in _islands(mask[image]):
            if _box_diagonal(part, pixel) < best - TIE_MM:
                continue
            corners = hull(part) * pixel
            distances = pdist(corners)
            length = float(distances.max())
            best = max(best, length)
            first, second = np.nonzero(np.triu(squareform(distances) >= length - TIE_MM, 1))
            ends = np.stack([corners[first], corners[second]], axis=1)
            found.append(_Candidate(length, image, part, np.array(corner, dtype=float), ends))
    return [candidate for candidate in found if candidate.length >= best - TIE_MM]


def _islands(image: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], tuple[int, int]]]:
    """Yield the 8-connected parts of an image, each in its own box, with row and column of the box's first pixel."""
    # Not cc3d: its 4.1.1 joins pixels that do not touch on images of one column.
    joined, _ = label(image, np.ones((3, 3), bool))
    for value, box in enumerate(find_objects(joined), start=1):
        yield joined[box] == value, (box[0].start, box[1].start)


def _with_short_axis(
    candidate: _Candidate, pixel: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Pair each of a candidate's long axes with the longest chord inside the lesion perpendicular to it, in mm."""
    pieces = outline(binary_fill_holes(candidate.part)) * pixel
    pairs = []
    for ends in candidate.ends:
        row, column = (ends[1] - ends[0]) / _length(ends)
        pairs.append((ends, longest_chord(pieces, np.array([-column, row]), ends.mean(axis=0))))
    return pairs


def _box_diagonal(image: NDArray[np.bool_], pixel: NDArray[np.float64]) -> float:
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return float(np.hypot((rows[-1] - rows[0] + 1) * pixel[0], (columns[-1] - columns[0] + 1) * pixel[1]))


def _length(ends: NDArray[np.float64]) -> float:
    return float(np.hypot(*(ends[1] - ends[0])))


def _diameter(
    image: int,
    ends: NDArray[np.float64],
    corner: NDArray[np.float64],
    shape: tuple[int, ...],
    pixel: NDArray[np.float64],
) -> Diameter:
    # Rounding must not put the end of a lesion at the image's border outside the image.
    points = np.clip(corner + ends / pixel, -0.5, np.array(shape) - 0.5)
    start, end = ((float(image), float(row), float(column)) for row, column in points)
    return Diameter(length_mm=_length(ends), start=start, end=end)
