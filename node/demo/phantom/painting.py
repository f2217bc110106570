"""The tissues, painted back to front: what comes later lies in front. Portal venous phase, attenuations in HU."""

from __future__ import annotations

import numpy as np

from node.demo.phantom.anatomy import HALF_DEPTH, KIDNEYS, LEFT, RIGHT, Anatomy, vertebra_phase
from node.demo.phantom.shapes import (
    Array,
    Point,
    Solid,
    Window,
    ellipsoid,
    elliptic_cylinder,
    smooth_max,
    smooth_min,
)

FAT_HU, LUNG_HU, LIVER_HU, GAS_HU = -102.0, -860.0, 112.0, -920.0
LIVER_MOTTLE_HU = 1.5
GALLBLADDER_WALL_MM = 1.5
FEET, HEAD = -400.0, 400.0


def paint_body(a: Anatomy) -> None:
    """Paint everything but the lesions."""
    for layer in (
        _wall,
        _bowel,
        _deep_muscles,
        _pancreas,
        _stomach,
        _spleen,
        _kidneys,
        _spine,
        _lungs,
        _heart,
        _ribs,
        _liver,
        _great_vessels,
        _liver_vessels,
        _table,
    ):
        layer(a)


def _ellipsoid(a: Anatomy, window: Window, centre: Point, radii: Point) -> Solid:
    return a.slab.solid(window, lambda p: ellipsoid(p, centre, radii))


def _wall(a: Anatomy) -> None:
    s, trunk = a.slab, a.trunk
    s.paint(a.body, 15)  # skin
    s.paint(a.body.grown(-2.2), FAT_HU + 6 * s.noise(trunk, 12, 12))
    s.paint(a.muscle, 62 + 5 * s.noise(trunk, 13, 10))
    sheath = np.abs(a.muscle.distance + np.float32(6.5) + np.float32(1.5) * s.noise(trunk, 14, 30))
    s.paint(Solid(trunk, sheath - np.float32(0.9)), -70, share=0.7)
    s.paint(a.cavity, FAT_HU + 7 * s.noise(trunk, 15, 15))


def _bowel(a: Anatomy) -> None:
    s = a.slab
    for gut, wall_hu, keys in ((a.bowel, 70 + 12 * s.noise(a.bowel.window, 32, 8), (33, 10)), (a.colon, 55, (35, 6))):
        small = gut is a.bowel
        s.paint(gut, wall_hu)
        content = gut.grown(-3)
        s.paint(content, (32 + 22 * s.noise(gut.window, *keys)) if small else (-10 + 110 * s.noise(gut.window, *keys)))
        y = s.at(gut.window)[1]
        if small:
            gas = -8 * (s.noise(gut.window, 34, 30) - np.float32(1.5))
        else:
            gas = -7 * (s.noise(gut.window, 36, 28) - np.float32(0.1) - np.float32(0.02) * (y + 30))
        s.paint(content.cut(Solid(gut.window, gas), 4), GAS_HU)
    s.paint(s.tubes(a.plan.mesentery).cut(a.cavity.grown(-8), 4), 120)


def _deep_muscles(a: Anatomy) -> None:
    s = a.slab
    for side in (RIGHT, LEFT):
        psoas = s.window((side * 38 - 22, 24, FEET), (side * 38 + 22, 64, -139))
        s.paint(_ellipsoid(a, psoas, (side * 38, 44, -260), (21, 19, 120)), 60 + 5 * s.noise(psoas, 13, 10))
        back = s.window((side * 34 - 31, 64, FEET), (side * 34 + 31, 104, HEAD))
        x, y, _ = s.at(back)
        s.paint(Solid(back, elliptic_cylinder(x, y, (side * 34, 84), (30, 19))), 60 + 9 * s.noise(back, 16, 9))
        crus = s.window((side * 13 - 7, 1, -151), (side * 13 + 13, 43, 11))
        s.paint(_ellipsoid(a, crus, (side * 13 + 3, 22, -70), (9, 20, 80)).cut(a.cavity, 6), 65)


def _pancreas(a: Anatomy) -> None:
    s = a.slab
    s.paint(a.pancreas, 95 + 12 * s.noise(a.pancreas.window, 42, 7))
    s.paint(a.duodenum, 80)
    s.paint(a.duodenum.grown(-3), 30 + 15 * s.noise(a.duodenum.window, 43, 12))


def _stomach(a: Anatomy) -> None:
    s, window = a.slab, a.stomach.window
    s.paint(a.stomach, 85 + 8 * s.noise(window, 51, 8))
    inside = a.stomach.grown(-5)
    s.paint(inside, 22 + 10 * s.noise(window, 52, 8))
    fluid_level = s.solid(window, lambda p: p[1] + np.float32(34))
    s.paint(inside.cut(fluid_level, 3), -930)


def _spleen(a: Anatomy) -> None:
    a.slab.paint(a.spleen, 122 + 3 * a.slab.noise(a.spleen.window, 53, 10))


def _kidneys(a: Anatomy) -> None:
    s = a.slab
    for side in (RIGHT, LEFT):
        kidney = a.kidney(side)
        s.paint(kidney, 195)  # cortex
        pyramids = (np.float32(0.55) - np.abs(s.noise(kidney.window, 55 - side, 14))) * 6
        s.paint(kidney.grown(-7).cut(Solid(kidney.window, pyramids), 4), 165)
        x, y, z = KIDNEYS[side][0]
        for inward, forward, radii, hu in ((16, 5, (15, 9, 26), -80), (18, 6, (11, 4, 8), 60)):  # sinus fat, pelvis
            centre = (x - side * inward, y - forward, z)
            s.paint(_ellipsoid(a, kidney.window, centre, radii), hu)


def _spine(a: Anatomy) -> None:
    s, bodies = a.slab, a.vertebral_bodies
    phase = vertebra_phase(s.at(bodies.window)[2])
    disc = Solid(bodies.window, np.abs(phase - 17) - np.float32(4.5))
    s.paint(bodies.grown(1), 60)
    s.paint(bodies.without(disc, 3), 420)
    s.paint(bodies.grown(-2).without(disc, 3, gap=2), 190 + 45 * s.noise(bodies.window, 61, 4))
    s.paint(bodies.cut(disc, 3), 85)
    arch = s.window((-40, 54, FEET), (40, 110, HEAD))
    x, y, z = s.at(arch)
    phase = vertebra_phase(z)
    s.paint(Solid(arch, elliptic_cylinder(x, y, (0, 70), (14, 13))), 380)
    s.paint(Solid(arch, elliptic_cylinder(x, y, (0, 68), (9.5, 8.5))), 25)  # the canal
    spinous = smooth_max(elliptic_cylinder(x, y, (0, 92), (4.5, 16)), np.abs(phase - 6) - 11, 4)
    s.paint(Solid(arch, spinous), 330)
    transverse = smooth_max(elliptic_cylinder(x, y, (0, 74), (38, 5)), np.abs(phase - 30) - 7, 4)
    s.paint(Solid(arch, transverse), 300)


def _lungs(a: Anatomy) -> None:
    s = a.slab
    s.paint(a.lungs, LUNG_HU + 20 * s.noise(a.trunk, 71, 25))
    s.paint(s.tubes(a.plan.lung).cut(a.lungs.grown(-2), 2), 40)


def _heart(a: Anatomy) -> None:
    s, heart = a.slab, a.heart
    s.paint(heart.grown(5), -90)
    s.paint(heart, 120)
    chambers = s.solid(
        heart.window,
        lambda p: smooth_min(ellipsoid(p, (40, -25, 34), (26, 24, 38)), ellipsoid(p, (0, -45, 36), (30, 22, 34)), 10),
    )
    s.paint(chambers, 165)
    oesophagus = s.window((-3, 2, -75), (19, 22, HEAD))
    tube = s.solid(
        oesophagus, lambda p: elliptic_cylinder(p[0], p[1], (8, 12), (9, 8)) + np.maximum(-70 - p[2], np.float32(0))
    )
    s.paint(tube, 55)


def _ribs(a: Anatomy) -> None:
    s, trunk = a.slab, a.trunk
    cage = a.wall_layer(21.5, 19, -2).distance
    x, y, z = s.at(trunk)
    angle = np.arctan2(np.abs(x), (y + 2) * np.float32(1.3))  # 0 at the back, pi in front
    slope = np.clip(angle - np.float32(0.15), 0, np.float32(1.6))
    course = -58 * slope - 8 * slope**2 + 30 * np.clip(angle - np.float32(2.0), 0, 1)
    ribs = np.full(cage.shape, 30, np.float32)
    across = (cage / np.float32(4.6)) ** 2
    for number in range(-3, 9):
        height = 40 - number * 29
        lowest, highest = float(s.axes[0][0]), float(s.axes[0][-1])
        if not lowest - 25 < height < highest + 145:  # a rib falls by 115 mm; no need to look where it is not
            continue
        end = 2.35 if height > -40 else (2.1 if height > -75 else 1.55)
        rib = 5 * (np.sqrt(across + ((z - course - height) / np.float32(7.5)) ** 2) - 1)
        rib = np.maximum(rib, np.maximum((angle - np.float32(end)) * 70, (np.float32(0.2) - angle) * 60))
        np.minimum(ribs, rib, out=ribs)
    s.paint(Solid(trunk, ribs), 520)
    s.paint(Solid(trunk, ribs + 2), 210 + 40 * s.noise(trunk, 62, 4))
    sternum = smooth_max(elliptic_cylinder(x, y, (0, 17 - HALF_DEPTH), (17, 5.5)), -40 - z, 6)
    s.paint(Solid(trunk, sternum), 220)
    arch_z = -45 - np.float32(0.715) * np.abs(x)
    cartilage = 5 * np.sqrt((cage / np.float32(4.5)) ** 2 + ((z - arch_z) / np.float32(8)) ** 2) - 5
    s.paint(Solid(trunk, np.maximum(cartilage, np.abs(x) - 95)), 110)


def _liver(a: Anatomy) -> None:
    s, window = a.slab, a.liver.window
    mottle: Array = np.float32(0.6) * s.noise(window, 81, 9) + np.float32(0.5) * s.noise(window, 82, 30)
    s.paint(a.liver, LIVER_HU + LIVER_MOTTLE_HU * mottle)
    s.paint(a.gallbladder.grown(GALLBLADDER_WALL_MM), 45)
    s.paint(a.gallbladder, 10)


def _great_vessels(a: Anatomy) -> None:
    s = a.slab
    s.paint(s.tubes(a.plan.portal).cut(a.cavity, 4), 177)
    s.paint(a.vena_cava, 150)
    s.paint(s.tubes(a.plan.aorta), 172)
    s.paint(s.tubes(a.plan.renal), 165)


def _liver_vessels(a: Anatomy) -> None:
    a.slab.paint(a.slab.tubes(a.plan.liver).cut(a.liver.grown(-3), 4), 165)


def _table(a: Anatomy) -> None:
    """Paint the table's two shells. It is straight: the bend is the patient's."""
    s = a.slab
    y, x = (axis.reshape(shape) for axis, shape in zip(s.axes[1:], ((1, -1, 1), (1, 1, -1)), strict=True))
    top = HALF_DEPTH + 10 - np.float32(0.0011) * x**2
    images, rows, columns = (slice(0, len(axis)) for axis in s.axes)
    for depth in (3, 18):
        shell: Array = np.maximum(np.abs(y - top - depth) - np.float32(1.2), np.abs(x) - 185)
        s.paint(Solid((images, rows, columns), np.repeat(shell, len(s.axes[0]), axis=0)), -100)
