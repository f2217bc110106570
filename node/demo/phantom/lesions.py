"""The lesions of the phantom and what becomes of them between two visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from node.demo.phantom.anatomy import Anatomy
from node.demo.phantom.shapes import Point, Solid, ellipsoid

_EDGE_MM = 4.0  # a soft edge
_CORE_HU = 8.0  # how much darker the middle is
_ROUGHNESS = 0.1  # of the radius
_FROM_CAPSULE_MM = 1.0


@dataclass(frozen=True)
class PlannedLesion:
    """One lesion.

    Attributes
    ----------
    name
        In the table of the truth.
    course
        What it does between the visits, in a word.
    centre
        Anatomical x, y, z in mm.
    radii
        At the first and at the second visit, in mm; 0 where it is not there.
    hu
        Attenuation of its rim in HU.
    """

    name: str
    course: str
    centre: Point
    radii: tuple[float, float]
    hu: float


LESIONS = (
    PlannedLesion("A", "grows", (-75, -10, -60), (13, 19), 55),
    PlannedLesion("B", "shrinks", (-92, 28, -95), (15, 9), 50),
    PlannedLesion("C", "vanishes", (-45, -45, -75), (8, 0), 58),
    PlannedLesion("D", "appears", (-60, 35, -50), (0, 9), 55),
    PlannedLesion("E", "stays", (15, -55, -62), (10, 10), 52),
    PlannedLesion("F", "grows", (-100, -25, -110), (6, 11), 58),
)


def paint_lesion(anatomy: Anatomy, lesion: PlannedLesion, visit: int) -> Solid | None:
    """Paint a lesion as it is at a visit, and return its shape; None if it is not there."""
    radius = lesion.radii[visit]
    if radius <= 0:
        return None
    slab = anatomy.slab
    # Round where it is seen: the bend that makes organs look grown would make a lesion look squashed.
    x, y, z = (float(mm) for mm in slab.space.straight(np.array([lesion.centre]))[0])
    reach = 1.3 * radius + 2 * _EDGE_MM
    window = slab.box((x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach))
    rough = np.float32(_ROUGHNESS * radius) * slab.noise(window, 91, 14)
    round_ = ellipsoid(slab.straight_at(window), (x, y, z), (radius, 0.93 * radius, 1.05 * radius))
    solid = Solid(window, round_ + rough).cut(anatomy.liver.grown(-_FROM_CAPSULE_MM), 4)
    depth = np.clip(solid.distance * np.float32(-1 / radius), 0, 1)
    slab.paint(solid, lesion.hu - _CORE_HU * depth + 4 * slab.noise(window, 92, 6), edge_mm=_EDGE_MM)
    return solid
