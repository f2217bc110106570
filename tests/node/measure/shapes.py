"""Grids, volumes and bodies for the tests of this room. Drawn, not taken from anybody."""

from __future__ import annotations

import numpy as np

from node.dicom.geometry import Geometry
from node.dicom.volume import LabelMap, Volume

READING = "2.25.1234567890"


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Geometry:
    """Slices to the head, rows to posterior, columns to the left."""
    return Geometry(shape=shape, origin=(0, 0, 0), spacing=spacing, axes=((0, 0, 1), (0, 1, 0), (1, 0, 0)))


def volume_of(hu: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    geometry = grid(hu.shape, spacing)
    return Volume(hu.astype(np.int16), geometry, geometry)


def labels_on(volume: Volume, labels: np.ndarray) -> LabelMap:
    return LabelMap(labels.astype(np.uint8), volume.geometry)


class Body:
    """An elliptic trunk of 340x240 mm with a liver of 1.2 l, lungs above it and a lesion in it; 4 mm voxels."""

    spacing = (4.0, 4.0, 4.0)

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        z, y, x = np.meshgrid(np.arange(70) * 4.0, np.arange(80) * 4 - 160.0, np.arange(100) * 4 - 200.0, indexing="ij")
        trunk = (x / 170) ** 2 + (y / 120) ** 2 <= 1
        wall = (x / 150) ** 2 + (y / 100) ** 2 > 1
        self.liver = ((x + 65) / 72) ** 2 + (y / 72) ** 2 + ((z - 140) / 56) ** 2 <= 1
        lungs = (np.abs(x) > 25) & (z > 150) & ~wall & ~self.liver
        lesion = ((x + 80) / 14) ** 2 + (y / 14) ** 2 + ((z - 140) / 14) ** 2 <= 1
        hu = np.full(z.shape, -1000.0)
        hu[trunk] = 40
        hu[trunk & lungs] = -850
        hu[self.liver] = 110
        hu[lesion] = 55
        self.noise = rng.normal(0, 12, z.shape)
        self.hu = np.round(hu + np.where(trunk, self.noise, 0)).astype(np.int16)
        self.labels = self.liver.astype(np.uint8) + lesion.astype(np.uint8)

    def volume(self) -> Volume:
        return volume_of(self.hu, self.spacing)

    def with_tissue(self, hu: np.ndarray | float) -> Volume:
        """The same body with something else in place of the liver."""
        changed = self.hu.copy()
        changed[self.liver] = np.round(np.broadcast_to(hu, changed.shape)[self.liver])
        return volume_of(changed, self.spacing)
