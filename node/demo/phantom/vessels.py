"""Everything that branches or winds: vessels of liver, lungs and mesentery, loops of bowel. Grown once a phantom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.demo.phantom.shapes import Point
from node.demo.phantom.slab import Space, Tubes

Rod = tuple[Point, Point, float, float]
_FINEST_MM = 0.9  # thinner branches would be lost in the noise
_ORGAN_MARGIN_MM = 14.0  # around what other organs are shaped by


@dataclass(frozen=True)
class Growth:
    """How a vessel branches.

    Attributes
    ----------
    start, direction
        Where it enters and which way it runs: anatomical x, y, z, in mm.
    radius, length
        Of the first part, in mm.
    levels
        How many times it forks.
    spread
        How far the branches part, as a tangent.
    """

    start: Point
    direction: Point
    radius: float
    length: float
    levels: int
    spread: float = 0.55


def grow(rng: np.random.Generator, growth: Growth) -> list[Rod]:
    """Return a tree of rods: each part winds in three steps, with side branches, and forks in two at its end."""
    if growth.levels == 0 or growth.radius < _FINEST_MM:
        return []
    rods: list[Rod] = []
    place, heading = np.array(growth.start, dtype=float), _unit(np.array(growth.direction, dtype=float))
    for step in range(3):
        heading = _unit(heading + rng.normal(0, 0.18, 3))
        beyond = place + heading * growth.length / 3
        radii = [growth.radius * (1 - 0.08 * i) for i in (step, step + 1)]
        rods.append((_point(place), _point(beyond), radii[0], radii[1]))
        place = beyond
        if step < 2 and growth.levels > 1:
            aside = _point(heading + rng.normal(0, 0.8, 3))
            twig = Growth(
                _point(place), aside, growth.radius * 0.5, growth.length * 0.6, growth.levels - 2, growth.spread
            )
            rods.extend(grow(rng, twig) if twig.levels > 0 else [])
    sideways = rng.normal(0, 1, 3)
    sideways = _unit(sideways - (sideways @ heading) * heading)
    for sign in (1, -1):
        aside = _point(heading + sign * sideways * growth.spread * rng.uniform(0.7, 1.3))
        branch = Growth(
            _point(place), aside, growth.radius * 0.74, growth.length * 0.82, growth.levels - 1, growth.spread
        )
        rods.extend(grow(rng, branch))
    return rods


def chain(points: Sequence[Point], radii: float | Sequence[float]) -> list[Rod]:
    """Return the rods of a tube through points, with one radius or one at each point, in mm."""
    each = [float(r) for r in np.broadcast_to(np.asarray(radii, dtype=float), len(points))]
    return [(points[i], points[i + 1], each[i], each[i + 1]) for i in range(len(points) - 1)]


class Plan:
    """The tubes of one phantom.

    Parameters
    ----------
    space
        The space that they are placed in.
    """

    def __init__(self, space: Space) -> None:
        rng = np.random.default_rng([space.fields.seed, 99])
        self.mesentery = Tubes.place(space, _mesentery(rng))
        self.lung = Tubes.place(space, _lung(rng))
        self.liver = Tubes.place(space, _liver(rng))
        self.bowel = Tubes.place(space, _bowel(rng), _ORGAN_MARGIN_MM)
        # Right to left across the abdomen, from the caecum up, along the stomach and down again.
        colon = [(-100, 5, -260), (-98, 5, -215), (-94, -15, -180), (-70, -50, -170), (-25, -72, -165), (25, -74, -160)]
        colon += [(70, -55, -135), (100, -5, -110), (106, 20, -140), (104, 25, -260)]
        self.colon = Tubes.place(space, chain(colon, (26, 24, 22, 19, 18, 18, 18, 18, 17, 15)), _ORGAN_MARGIN_MM)
        duodenum = [(-5, -38, -122), (-40, -18, -122), (-46, 8, -140), (-44, 15, -180), (-5, 6, -190)]
        self.duodenum = Tubes.place(space, chain(duodenum, 12), _ORGAN_MARGIN_MM)
        pancreas = [(-28, -2, -140), (-22, -8, -118), (8, -14, -102), (40, 6, -92), (66, 26, -80)]
        self.pancreas = Tubes.place(space, chain(pancreas, (14, 12, 9, 9, 10)), _ORGAN_MARGIN_MM)
        vena_cava = [(-20, 20, -260), (-22, 18, -150), (-24, 16, -90), (-20, 8, -45), (-10, 2, -10), (-8, -5, 60)]
        self.vena_cava = Tubes.place(space, chain(vena_cava, (11, 11, 12, 13, 13, 14)))
        aorta = [(6, 22, -260), (10, 20, -120), (12, 26, -20), (14, 32, 60)]
        self.aorta = Tubes.place(space, chain(aorta, (9, 10.5, 11.5, 12)))
        portal = chain([(0, -4, -112), (-14, 0, -98), (-34, 0, -84), (-46, 2, -76)], (7, 7.5, 7.5, 6.5))
        splenic = chain([(-2, -6, -112), (30, 10, -100), (68, 30, -82)], (5, 4.5, 4))
        superior_mesenteric = chain([(0, -8, -112), (4, -14, -150), (2, -20, -230)], (6, 5.5, 4.5))
        self.portal = Tubes.place(space, portal + splenic + superior_mesenteric)
        renal = chain([(-20, 14, -138), (-52, 36, -150)], 4) + chain([(12, 12, -132), (50, 38, -140)], 4)
        self.renal = Tubes.place(space, chain([(10, 12, -112), (8, -2, -130), (8, -6, -230)], (4, 4, 3.5)) + renal)
        ligament = chain([(10, -90, -110), (6, -60, -92), (0, -30, -80)], (7, 5, 3))
        self.ligament = Tubes.place(space, ligament, _ORGAN_MARGIN_MM)
        self.hilum = Tubes.place(space, chain([(-8, -5, -92), (-38, 2, -84)], (10, 6)), _ORGAN_MARGIN_MM)


def _liver(rng: np.random.Generator) -> list[Rod]:
    right, left, confluence = (-46.0, 2.0, -76.0), (-30.0, -2.0, -80.0), (-16.0, 4.0, -32.0)
    growths = [
        Growth(right, (-1, 0.25, 0.15), 5.0, 30, 6),
        Growth(right, (-0.9, 0.6, -0.5), 4.2, 30, 6),
        Growth(right, (-0.8, -0.5, -0.5), 4.2, 30, 6),
        Growth(right, (-0.8, 0.1, 0.9), 4.0, 28, 6),
        Growth(right, (-0.2, -0.9, 0.5), 4.0, 30, 6),
        Growth(right, (-1, 0, -0.6), 4.0, 32, 6),
        Growth(left, (0.5, -0.8, 0.3), 4.2, 30, 6),
        Growth((-10, -25, -68), (0.9, -0.5, 0.2), 3.6, 28, 5),
        # The hepatic veins run to the confluence under the diaphragm.
        Growth(confluence, (-1, 0.1, -0.25), 5.0, 40, 6, 0.4),
        Growth(confluence, (-0.45, -0.8, -0.45), 4.6, 40, 6, 0.4),
        Growth(confluence, (0.5, -0.85, -0.3), 4.4, 40, 6, 0.4),
        Growth(confluence, (-0.7, 0.6, -0.7), 3.6, 40, 6, 0.4),
        Growth(confluence, (-0.8, -0.4, -0.1), 3.6, 40, 6, 0.4),
    ]
    return [rod for growth in growths for rod in grow(rng, growth)]


def _lung(rng: np.random.Generator) -> list[Rod]:
    rods: list[Rod] = []
    for side in (-1.0, 1.0):
        for _ in range(14):
            start = (side * 38, 10 + rng.normal(0, 8), 45 + rng.normal(0, 15))
            heading = (side * rng.uniform(0.2, 1), rng.normal(0, 0.8), rng.normal(-0.7, 0.5))
            rods.extend(grow(rng, Growth(start, heading, 3.2, 30, 5)))
    return rods


def _mesentery(rng: np.random.Generator) -> list[Rod]:
    headings = [(rng.normal(0, 0.8), -0.7, rng.normal(-1, 0.4)) for _ in range(10)]
    return [rod for heading in headings for rod in grow(rng, Growth((0, -5, -130), heading, 2.4, 32, 4))]


def _bowel(rng: np.random.Generator) -> list[Rod]:
    rods: list[Rod] = []
    for _ in range(14):
        place = np.array([rng.uniform(-70, 80), rng.uniform(-70, 10), rng.uniform(-245, -165)])
        heading = _unit(rng.normal(0, 1, 3))
        points = [_point(place)]
        for _ in range(9):
            heading = _unit(heading + rng.normal(0, 0.55, 3))
            place = np.clip(place + heading * 14, (-80, -72, -250), (90, 18, -150))
            points.append(_point(place))
        rods.extend(chain(points, rng.uniform(9, 13)))
    return rods


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return result


def _point(vector: NDArray[np.float64]) -> Point:
    x, y, z = (float(v) for v in vector)
    return x, y, z
