"""The outline of a mask on one image, as a closed polygon along the pixels' edges.

Viewers list a measurement only if they can draw something for it: the contour is what carries volume and density into
their measurement list. It runs along pixel edges, so it encloses exactly the pixels of the mask (and its holes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

_EIGHT = np.ones((3, 3), dtype=bool)
# Walking right, down, left, up along pixel corners: the step, and the pixels ahead on the left and on the right of it
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_AHEAD_LEFT = ((-1, 0), (0, 0), (0, -1), (-1, -1))
_AHEAD_RIGHT = ((0, 0), (0, -1), (-1, -1), (-1, 0))
# OHIF takes a closed polygon of 4 or 5 points for its rectangle tool and then shows its own numbers instead of ours.
FEWEST_POINTS = 6


def largest_part(image: NDArray[np.bool_], near: tuple[float, float] | None = None) -> NDArray[np.bool_]:
    """Return one 8-connected part of a mask.

    Parameters
    ----------
    image
        Array ``(row, column)`` of bool, not empty.
    near
        ``(row, column)``: take the part nearest to this point instead of the largest.
    """
    parts, count = label(image, _EIGHT)
    if count == 1:
        return image
    if near is None:
        chosen = int(np.bincount(parts[parts > 0]).argmax())
    else:
        rows, columns = np.nonzero(parts)
        nearest = int(np.hypot(rows - near[0], columns - near[1]).argmin())
        chosen = int(parts[rows[nearest], columns[nearest]])
    part: NDArray[np.bool_] = parts == chosen
    return part


def trace(part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the outer boundary of one 8-connected part.

    Parameters
    ----------
    part
        Array ``(row, column)`` of bool: one 8-connected part.

    Returns
    -------
    points
        Array ``(n, 2)`` of ``(column, row)``, the first point repeated at the end, at least 6 points. In image
        coordinates of PS3.3 C.18.6.1.2: ``(0, 0)`` is the outer corner of the first pixel, its centre ``(0.5, 0.5)``.
    """
    inside = np.pad(part, 1)
    row, column = (int(v[0]) for v in np.nonzero(inside))
    start, heading = (row, column), 0
    corners: list[tuple[int, int]] = []
    while True:
        row, column = row + _STEPS[heading][0], column + _STEPS[heading][1]
        turn = _turn(inside, row, column, heading)
        if turn:
            corners.append((row, column))
            heading = (heading + turn) % 4
        if (row, column) == start and heading == 0:
            break
    points = np.array([*corners[-1:], *corners], dtype=float)[:, ::-1] - 1.0
    return _with_enough_points(points)


def _turn(inside: NDArray[np.bool_], row: int, column: int, heading: int) -> int:
    """Return -1 (left), 0 or 1 (right): the mask stays on the right hand, and corners that touch belong together."""
    if inside[row + _AHEAD_LEFT[heading][0], column + _AHEAD_LEFT[heading][1]]:
        return -1
    if inside[row + _AHEAD_RIGHT[heading][0], column + _AHEAD_RIGHT[heading][1]]:
        return 0
    return 1


def _with_enough_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(points) >= FEWEST_POINTS:
        return points
    middles = (points[:-1] + points[1:]) / 2
    return np.vstack([np.stack([points[:-1], middles], axis=1).reshape(-1, 2), points[-1:]])
