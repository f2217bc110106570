"""A few images of the phantom at once: where their voxels are in the bent anatomy, and what is painted on them so far.

Slabs are drawn one by one, in threads: a voxel's value depends on its place only, never on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from node.demo.phantom.fields import Axes, Fields
from node.demo.phantom.shapes import FAR, Array, Point, Points, Solid, Window, capsule

AIR_HU = -1000.0
_BEND_MM, _BEND_LENGTH_MM = 4.0, 40.0
_BEND_KEYS = (1, 2, 3)


class Space:
    """The bent space that the anatomy is drawn in.

    Parameters
    ----------
    seed
        Of the phantom. Straight organs look drawn: points are displaced by about 4 mm, smoothly.
    """

    def __init__(self, seed: int) -> None:
        self.fields = Fields(seed)
        self._seen: dict[tuple[Point, Point], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._bend = [self.fields.get(key, _BEND_LENGTH_MM) for key in _BEND_KEYS]

    def bent(self, axes: Axes) -> Points:
        """Return the anatomical x, y, z of the voxels of a grid, given its positions along z, y and x in mm."""
        z, y, x = (axis.reshape([-1 if i == j else 1 for j in range(3)]) for i, axis in enumerate(axes))
        dx, dy, dz = (bend.on(axes) * np.float32(_BEND_MM) for bend in self._bend)
        return dx + x, dy + y, dz + z

    def seen(self, lower: Point, upper: Point) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the box in which an anatomical box is seen: lower and upper x, y, z in mm."""
        if (lower, upper) not in self._seen:  # two threads may both work it out: to the same result
            corners = np.stack(np.meshgrid(*np.linspace(lower, upper, 4).T, indexing="ij"), axis=-1).reshape(-1, 3)
            places = self.straight(corners)
            self._seen[lower, upper] = (places.min(axis=0), places.max(axis=0))
        return self._seen[lower, upper]

    def straight(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where anatomical points ``(n, 3)`` of x, y, z are seen: the inverse of `bent`, to about 0.1 mm."""
        seen = points.copy()
        for _ in range(5):
            seen = points - _BEND_MM * np.stack([bend.at(seen[:, ::-1]) for bend in self._bend], axis=1)
        return seen


@dataclass(frozen=True, eq=False)
class Tubes:
    """Round rods that follow each other: vessels, gut.

    Attributes
    ----------
    starts, ends
        Arrays ``(n, 3)`` of anatomical x, y, z in mm.
    radii
        Array ``(n, 2)``: at the start and at the end, in mm.
    lower, upper
        Arrays ``(n, 3)``: the box in which each is seen, in mm.
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    radii: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @classmethod
    def place(cls, space: Space, rods: list[tuple[Point, Point, float, float]], margin_mm: float = 2.5) -> Tubes:
        """Find out where rods (start, end, radius at start and end) are seen, with a margin around them."""
        starts, ends = (np.array([rod[i] for rod in rods], dtype=float) for i in range(2))
        radii = np.array([rod[2:] for rod in rods], dtype=float)
        seen = np.stack([space.straight(starts), space.straight((starts + ends) / 2), space.straight(ends)])
        # The bend stretches by at most a half over a rod's width.
        reach = 1.5 * radii.max(axis=1, keepdims=True) + margin_mm
        return cls(starts, ends, radii, seen.min(axis=0) - reach, seen.max(axis=0) + reach)


@dataclass(eq=False)
class Slab:
    """Consecutive images.

    Attributes
    ----------
    space
        The space that the anatomy is drawn in.
    axes
        Positions of the voxels along z, y and x, in mm.
    voxel_mm
        Cube root of a voxel's volume: how far an edge is blurred by partial volume.
    """

    space: Space
    axes: Axes
    voxel_mm: float
    points: Points = field(init=False)
    hu: Array = field(init=False)

    def __post_init__(self) -> None:
        self.points = self.space.bent(self.axes)
        self.hu = np.full([len(axis) for axis in self.axes], AIR_HU, np.float32)

    def window(self, lower: Point, upper: Point, margin_mm: float = 12.0) -> Window:
        """Return the box of the slab in which an anatomical box is seen, with a margin around it."""
        low, high = self.space.seen(lower, upper)
        return self.box(low - margin_mm, high + margin_mm)

    def box(self, lower: ArrayLike, upper: ArrayLike) -> Window:
        """Return the box of the slab between two places x, y, z in mm, without a bend."""
        first, last = self._indices(np.array([lower, upper]))
        return _window(first, last)

    def at(self, window: Window) -> Points:
        """Return the anatomical x, y, z of a box's voxels."""
        x, y, z = self.points
        return x[window], y[window], z[window]

    def straight_at(self, window: Window) -> Points:
        """Return x, y, z in mm of a box's voxels, without a bend."""
        z, y, x = np.meshgrid(*(axis[part] for axis, part in zip(self.axes, window, strict=True)), indexing="ij")
        return x, y, z

    def solid(self, window: Window, distance: Callable[[Points], Array]) -> Solid:
        """Return a solid whose distances a function gives at the points of a box."""
        x, y, z = self.at(window)
        return Solid(window, np.broadcast_to(distance((x, y, z)), x.shape).astype(np.float32, copy=False))

    def tubes(self, tubes: Tubes) -> Solid:
        """Return the union of rods."""
        first, last = self._indices(tubes.lower), self._indices(tubes.upper)
        seen = np.flatnonzero((first < last).all(axis=1)).tolist()
        if not seen:
            nowhere = slice(0, 0)
            return Solid((nowhere, nowhere, nowhere), np.empty((0, 0, 0), np.float32))
        lowest = first[seen].min(axis=0)
        distance = np.full(last[seen].max(axis=0) - lowest, FAR, np.float32)
        for i in seen:
            rod = capsule(self.at(_window(first[i], last[i])), tubes.starts[i], tubes.ends[i], *tubes.radii[i])
            part = distance[_window(first[i] - lowest, last[i] - lowest)]
            np.minimum(part, rod, out=part)
        return Solid(_window(lowest, lowest + distance.shape), distance)

    def noise(self, window: Window, key: int, length_mm: float) -> Array:
        """Return the smooth random field of that number and length in a box, of unit variance."""
        z, y, x = (axis[part] for axis, part in zip(self.axes, window, strict=True))
        return self.space.fields.get(key, length_mm).on((z, y, x))

    def paint(self, solid: Solid, hu: float | Array, edge_mm: float | None = None, share: float = 1.0) -> None:
        """Paint a solid over what is there, its edge blurred.

        Parameters
        ----------
        solid
            What.
        hu
            One attenuation in HU, or one for each voxel of the solid's box.
        edge_mm
            Width of the edge; None: a voxel's.
        share
            Of the tissue in what is painted: 1 covers what was there.
        """
        cover = solid.distance * np.float32(-1 / (edge_mm or self.voxel_mm))
        cover += np.float32(0.5)
        np.clip(cover, 0, 1, out=cover)
        cover *= np.float32(share)
        under = self.hu[solid.window]
        under += cover * (np.asarray(hu, np.float32) - under)

    def _indices(self, mm: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the first voxel along z, y and x at or beyond each of some points ``(n, 3)`` of x, y, z in mm."""
        return np.stack([np.searchsorted(axis, mm[:, 2 - i]) for i, axis in enumerate(self.axes)], axis=1)


def _window(first: NDArray[np.intp], last: NDArray[np.intp]) -> Window:
    z, y, x = (slice(int(a), int(max(a, b))) for a, b in zip(first, last, strict=True))
    return z, y, x
