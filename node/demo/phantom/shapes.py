"""Solids as signed distances in mm (inside negative), worked out only in the box where they can be.

Primitives return distances at points; a `Solid` holds them with the box of the slab that they fill. Outside its box a
solid is `FAR` away. Solids are joined, cut and hollowed with rounded edges, as organs that press on each other are.
The primitives and the rounded minimum are those of Inigo Quilez's articles on distance functions (iquilezles.org).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Point = tuple[float, float, float]
"""Position in mm as (x, y, z): x to the left, y to posterior, z to the head (LPS)."""
Window = tuple[slice, slice, slice]
Points = tuple[Array, Array, Array]
"""Coordinates x, y and z of the voxels of a box, each an array ``(z, y, x)``."""

FAR = np.float32(60.0)
"""Distance in mm of everything outside a solid's box. Boxes are cut so that nothing nearer matters."""


def smooth_max(a: Array, b: Array, k: float) -> Array:
    """Return the larger of two distances, rounded where they differ by less than k mm: the intersection of solids."""
    if k <= 0:
        larger: Array = np.maximum(a, b)
        return larger
    near: Array = np.abs(a - b)
    np.subtract(np.float32(k), near, out=near)
    np.maximum(near, np.float32(0), out=near)
    near *= near
    near *= np.float32(0.25 / k)
    near += np.maximum(a, b)
    return near


def smooth_min(a: Array, b: Array, k: float) -> Array:
    """Return the smaller of two distances, rounded where they differ by less than k mm: the union of solids."""
    return -smooth_max(-a, -b, k)


@dataclass(frozen=True, eq=False)
class Solid:
    """Distances in a box of a slab.

    Attributes
    ----------
    window
        The box, as slices of the slab's arrays.
    distance
        Array of the box's shape, in mm.
    """

    window: Window
    distance: Array

    def on(self, window: Window) -> Array:
        """Return the distances in another box."""
        if window == self.window:
            return self.distance
        result = np.full([part.stop - part.start for part in window], FAR, np.float32)
        shared = overlap(self.window, window)
        result[within(shared, window)] = self.distance[within(shared, self.window)]
        return result

    def grown(self, mm: float | Array) -> Solid:
        """Return the solid with its surface moved outwards by so many mm."""
        return Solid(self.window, self.distance - np.asarray(mm, np.float32))

    def cut(self, other: Solid, rounding: float = 0.0) -> Solid:
        """Return what both have in common."""
        return Solid(self.window, smooth_max(self.distance, other.on(self.window), rounding))

    def joined(self, other: Solid, rounding: float = 0.0) -> Solid:
        """Return what either has."""
        window = hull(self.window, other.window)
        return Solid(window, smooth_min(self.on(window), other.on(window), rounding))

    def without(self, other: Solid, rounding: float = 0.0, gap: float = 0.0) -> Solid:
        """Return what the other leaves free, keeping a gap of so many mm to it."""
        shared = overlap(self.window, other.window)
        distance = self.distance.copy()
        mine = within(shared, self.window)
        theirs = np.float32(gap) - other.distance[within(shared, other.window)]
        distance[mine] = smooth_max(distance[mine], theirs, rounding)
        return Solid(self.window, distance)


def overlap(a: Window, b: Window) -> Window:
    """Return the box that two boxes share, perhaps an empty one."""
    parts = [
        slice(max(p.start, q.start), max(p.start, q.start, min(p.stop, q.stop))) for p, q in zip(a, b, strict=True)
    ]
    return (parts[0], parts[1], parts[2])


def hull(a: Window, b: Window) -> Window:
    """Return the smallest box around two boxes; an empty one adds nothing."""
    if any(p.start >= p.stop for p in a):
        return b
    if any(p.start >= p.stop for p in b):
        return a
    parts = [slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True)]
    return (parts[0], parts[1], parts[2])


def within(inner: Window, outer: Window) -> Window:
    """Return a box in the indices of another that contains it."""
    parts = [slice(p.start - q.start, p.stop - q.start) for p, q in zip(inner, outer, strict=True)]
    return (parts[0], parts[1], parts[2])


def rotation(axis: str, degrees: float) -> NDArray[np.float64]:
    """Return the matrix that turns the patient's axes about x, y or z."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, s], [0, -s, c]],
        "y": [[c, 0, -s], [0, 1, 0], [s, 0, c]],
        "z": [[c, s, 0], [-s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis], dtype=np.float64)


def ellipsoid(points: Points, centre: Point, radii: Point, turn: NDArray[np.float64] | None = None) -> Array:
    """Return distances to an ellipsoid, close to true near its surface."""
    local: Sequence[Array] = [p - np.float32(c) for p, c in zip(points, centre, strict=True)]
    if turn is not None:
        m = turn.astype(np.float32)
        local = [m[i, 0] * local[0] + m[i, 1] * local[1] + m[i, 2] * local[2] for i in range(3)]
    scaled = _norm([p * np.float32(1 / r) for p, r in zip(local, radii, strict=True)]) + np.float32(1e-4)
    slope = _norm([p * np.float32(1 / r**2) for p, r in zip(local, radii, strict=True)]) + np.float32(1e-6)
    result: Array = scaled * (scaled - 1) / slope
    return result


def elliptic_cylinder(x: Array, y: Array, centre: tuple[float, float], radii: tuple[float, float]) -> Array:
    """Return distances to an upright elliptic cylinder without ends."""
    zero = np.zeros((1, 1, 1), np.float32)
    return ellipsoid((x, y, zero), (*centre, 0.0), (*radii, 1.0))


def squircle_cylinder(x: Array, y: Array, half_width: float, half_depth: float, centre_y: float = 0.0) -> Array:
    """Return distances to an upright cylinder whose section lies between an ellipse and a rectangle: a trunk."""
    power = np.float32(2.3)
    dy = y - np.float32(centre_y)
    reach = (np.abs(x / np.float32(half_width)) ** power + np.abs(dy / np.float32(half_depth)) ** power) ** (1 / power)
    radius = np.hypot(x, dy) + np.float32(1)
    result: Array = (1 - 1 / np.maximum(reach, np.float32(0.02))) * radius * np.float32(0.93)
    return result


def capsule(points: Points, start: ArrayLike, end: ArrayLike, start_radius: float, end_radius: float) -> Array:
    """Return distances to a round rod whose radius changes evenly."""
    start = np.asarray(start, np.float32)
    axis = np.asarray(end, np.float32) - start
    squared = float(axis @ axis) + 1e-6
    local = [p - c for p, c in zip(points, start, strict=True)]
    share = reduce(np.add, [p * np.float32(d / squared) for p, d in zip(local, axis, strict=True)])
    np.clip(share, 0, 1, out=share)
    radius = np.float32(start_radius) + np.float32(end_radius - start_radius) * share
    result: Array = _norm([p - share * np.float32(d) for p, d in zip(local, axis, strict=True)]) - radius
    return result


def _norm(parts: Sequence[Array]) -> Array:
    result: Array = np.sqrt(reduce(np.add, [part * part for part in parts]))
    return result
