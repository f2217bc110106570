"""The shapes of the organs: an upper abdomen, in mm from a point under the right dome of the diaphragm.

x runs to the patient's left, y to the back, z to the head. Every organ is shaped by its neighbours, so each shape is
worked out once a slab and kept. What a liver network was found to need of an abdomen is a border of fat around the
liver and the liver's own form: under the dome, along the wall, cut by an oblique plane below and marked by kidney,
gallbladder, fissure and hilum.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from node.demo.phantom.shapes import (
    FAR,
    Array,
    Point,
    Points,
    Solid,
    Window,
    ellipsoid,
    elliptic_cylinder,
    rotation,
    smooth_max,
    smooth_min,
    squircle_cylinder,
)
from node.demo.phantom.slab import Slab
from node.demo.phantom.vessels import Plan

HALF_WIDTH, HALF_DEPTH = 150.0, 113.0
RIGHT, LEFT = -1, 1
KIDNEYS = {RIGHT: ((-64.0, 48.0, -152.0), (27.0, 24.0, 52.0)), LEFT: ((64.0, 46.0, -138.0), (27.0, 24.0, 54.0))}
GALLBLADDER = (-36.0, -44.0, -152.0)  # under the liver: one sunk into it was taken for a lesion


class _Dome(NamedTuple):
    """One dome of the diaphragm: its top, half axes and how fast it falls with the square and its square, in mm."""

    top: Point
    half_axes: tuple[float, float]
    fall: float
    steep: float

    def height(self, x: Array, y: Array) -> Array:
        """Return its height above each point."""
        square = ((x - np.float32(self.top[0])) / np.float32(self.half_axes[0])) ** 2
        square += ((y - np.float32(self.top[1])) / np.float32(self.half_axes[1])) ** 2
        result: Array = np.float32(self.top[2]) - np.float32(self.fall) * square - np.float32(self.steep) * square**2
        return result


_RIGHT_DOME = _Dome((-62, -2, -2), (62, 78), 34, 24)
_LEFT_DOME = _Dome((66, 5, -18), (58, 78), 34, 24)
_MIDDLE_DOME = _Dome((8, -32, -22), (60, 60), 38, 0)  # under the heart
_DIAPHRAGM_LOWEST = -150.0


class Anatomy:
    """The organs as they lie in one slab.

    Parameters
    ----------
    slab
        The images.
    plan
        The phantom's tubes.
    """

    def __init__(self, slab: Slab, plan: Plan) -> None:
        self.slab = slab
        self.plan = plan

    @cached_property
    def trunk(self) -> Window:
        """The box around the body."""
        deep = 400.0
        return self.slab.window((-HALF_WIDTH, -HALF_DEPTH, -deep), (HALF_WIDTH, HALF_DEPTH, deep))

    def wall_layer(self, depth_x: float, depth_y: float, centre_y: float = 0.0) -> Solid:
        """Return what lies deeper under the skin than so many mm at the side and in front."""
        return self.slab.solid(
            self.trunk,
            lambda p: squircle_cylinder(p[0], p[1], HALF_WIDTH - depth_x, HALF_DEPTH - depth_y, centre_y),
        )

    @cached_property
    def body(self) -> Solid:
        """All within the skin."""
        return self.wall_layer(0, 0)

    @cached_property
    def muscle(self) -> Solid:
        """All within the fat under the skin."""
        return self.wall_layer(15, 14, -1).grown(-1.5 * self.slab.noise(self.trunk, 11, 40))

    @cached_property
    def cavity(self) -> Solid:
        """Abdomen and chest within their walls."""
        return self.wall_layer(28, 24, -3)

    @cached_property
    def below_diaphragm(self) -> Solid:
        """All below the three domes of the diaphragm, without a wall to the side."""
        return self.slab.solid(self.trunk, self._below_diaphragm)

    def _below_diaphragm(self, points: Points) -> Array:
        x, y, z = points
        right, left, middle = (dome.height(x, y) for dome in (_RIGHT_DOME, _LEFT_DOME, _MIDDLE_DOME))
        behind = np.float32(0.35) * np.maximum(y, 0)
        height = smooth_max(smooth_max(right - behind, left - behind, 32), middle, 32)
        height = np.maximum(height, np.float32(_DIAPHRAGM_LOWEST))
        if min(height.shape[1:]) < 2:
            return z - height
        dy, dx = np.gradient(height, *(float(np.diff(axis[:2])[0]) for axis in self.slab.axes[1:]), axis=(1, 2))
        result: Array = (z - height) / np.sqrt(1 + dx * dx + dy * dy)
        return result

    @cached_property
    def lungs(self) -> Solid:
        """Both lungs: the chest above the diaphragm without the mediastinum."""
        mediastinum = self.slab.solid(
            self.trunk,
            lambda p: np.minimum(ellipsoid(p, (0, 22, 0), (34, 50, 400)), ellipsoid(p, (15, -40, 40), (40, 60, 200))),
        )
        above = Solid(self.trunk, -self.below_diaphragm.distance)
        return self.cavity.grown(3).cut(above, 4).without(mediastinum, 8)

    @cached_property
    def heart(self) -> Solid:
        """The heart, lying on the diaphragm."""
        window = self.slab.window((-45, -100, -40), (90, 25, 85))
        solid = self.slab.solid(window, lambda p: ellipsoid(p, (22, -38, 28), (62, 47, 52), rotation("z", 25)))
        return solid.without(self.below_diaphragm, 10, gap=2)

    def kidney(self, side: int) -> Solid:
        """One kidney."""
        return self._right_kidney if side == RIGHT else self._left_kidney

    @cached_property
    def _right_kidney(self) -> Solid:
        return self._kidney(RIGHT)

    @cached_property
    def _left_kidney(self) -> Solid:
        return self._kidney(LEFT)

    def _kidney(self, side: int) -> Solid:
        centre, radii = KIDNEYS[side]
        lower = (centre[0] - 38, centre[1] - 34, centre[2] - 60)
        upper = (centre[0] + 38, centre[1] + 34, centre[2] + 60)
        turn = rotation("y", -10.0 * -side) @ rotation("x", 8)
        return self.slab.solid(self.slab.window(lower, upper), lambda p: ellipsoid(p, centre, radii, turn))

    @cached_property
    def gallbladder(self) -> Solid:
        """The gallbladder with its wall."""
        x, y, z = GALLBLADDER
        window = self.slab.window((x - 18, y - 32, z - 26), (x + 18, y + 32, z + 26))
        return self.slab.solid(window, lambda p: ellipsoid(p, GALLBLADDER, (15, 28, 17), rotation("x", -25)))

    @cached_property
    def vena_cava(self) -> Solid:
        """The inferior vena cava."""
        return self.slab.tubes(self.plan.vena_cava)

    @cached_property
    def liver(self) -> Solid:
        """The liver, without gallbladder."""
        window = self.slab.window((-135, -105, -215), (95, 100, 12))
        solid = self.slab.solid(window, lambda p: np.full(p[0].shape, -FAR, np.float32))
        solid = solid.cut(self.cavity.grown(-2.5)).cut(self.below_diaphragm.grown(-3), 10)
        solid = solid.cut(self.slab.solid(window, lambda p: self._above_viscera(p, window)), 28)
        solid = solid.cut(self.slab.solid(window, _in_front_of_spine), 32)
        solid = solid.cut(self.slab.solid(window, lambda p: p[0] - np.float32(80)), 24)
        solid = solid.without(self.slab.tubes(self.plan.ligament), 10).without(self.slab.tubes(self.plan.hilum), 10)
        return solid.without(self.kidney(RIGHT), 12, gap=5).without(self.gallbladder, 8, gap=2)

    def _above_viscera(self, points: Points, window: Window) -> Array:
        """Return distances to the oblique plane that ends the liver below, low on the right, high on the left."""
        x, y, z = points
        plane = np.float32(-122) + np.float32(0.66) * (x + 50) + np.float32(0.33) * y
        plane += 4 * self.slab.noise(window, 21, 60)
        return (plane - z) * np.float32(0.8)

    @cached_property
    def stomach(self) -> Solid:
        """The stomach with its wall."""
        window = self.slab.window((-26, -100, -150), (112, 40, 0))
        solid = self.slab.solid(
            window,
            lambda p: smooth_min(
                ellipsoid(p, (58, -8, -58), (40, 42, 48), rotation("y", 25)),
                ellipsoid(p, (22, -48, -122), (44, 24, 24), rotation("y", -20)),
                36,
            ),
        )
        return (
            solid.cut(self.cavity.grown(-4), 10).cut(self.below_diaphragm.grown(-4), 10).without(self.liver, 8, gap=3)
        )

    @cached_property
    def spleen(self) -> Solid:
        """The spleen, between stomach, left kidney and diaphragm."""
        window = self.slab.window((50, -2, -122), (130, 84, -10))
        solid = self.slab.solid(window, lambda p: ellipsoid(p, (88, 42, -66), (30, 40, 52), rotation("y", 18)))
        solid = solid.cut(self.cavity.grown(-3), 8).cut(self.below_diaphragm.grown(-3), 10)
        return solid.without(self.stomach, 10, gap=3).without(self.kidney(LEFT), 8, gap=4)

    @cached_property
    def colon(self) -> Solid:
        """The colon with its wall."""
        solid = self.slab.tubes(self.plan.colon)
        solid = solid.grown(-3 * self.slab.noise(solid.window, 31, 14))
        return self._among_viscera(solid).without(self.stomach, 8, gap=3)

    @cached_property
    def bowel(self) -> Solid:
        """Loops of small bowel with their wall."""
        solid = self._among_viscera(self.slab.tubes(self.plan.bowel).without(self.kidney(LEFT), 10, gap=5))
        return solid.without(self.stomach, 8, gap=3).without(self.colon, 6, gap=2)

    def _among_viscera(self, solid: Solid) -> Solid:
        return solid.cut(self.cavity.grown(-5), 8).without(self.liver, 8, gap=4)

    @cached_property
    def pancreas(self) -> Solid:
        """The pancreas."""
        solid = self.slab.tubes(self.plan.pancreas)
        solid = solid.grown(-2.5 * self.slab.noise(solid.window, 41, 9))
        return solid.without(self.liver, 6, gap=3).without(self.stomach, 6, gap=2)

    @cached_property
    def duodenum(self) -> Solid:
        """The duodenum with its wall."""
        return self.slab.tubes(self.plan.duodenum).without(self.liver, 6, gap=3).without(self.pancreas, 6, gap=2)

    @cached_property
    def vertebral_bodies(self) -> Solid:
        """The vertebral column's front part, discs included; waisted. See `vertebra_phase`."""
        window = self.slab.window((-30, 20, -400), (30, 70, 400))
        return self.slab.solid(
            window,
            lambda p: (
                elliptic_cylinder(p[0], p[1], (0, 46), (23, 17))
                + 2 * np.cos((vertebra_phase(p[2]) - 17) / 34 * np.float32(2 * np.pi))
            ),
        )


def vertebra_phase(z: Array) -> Array:
    """Return how far above the lower edge of its vertebra a point is, in mm: 0 to 34, the disc at 12.5 to 21.5."""
    result: Array = np.mod(z + np.float32(500), np.float32(34))
    return result


def _in_front_of_spine(points: Points) -> Array:
    x, y, _ = points
    right = x <= -20
    edge = np.float32(25) - np.where(right, np.float32(1.7), np.float32(0.5)) * (x + 20)
    result: Array = (y - edge) * np.where(right, np.float32(0.52), np.float32(0.87))
    return result
