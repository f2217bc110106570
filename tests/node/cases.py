"""A small study that the whole node can read with the tiny network: a PHANTOM trunk with a liver and three lesions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.node.gather.synthetic import PIXEL_MM, SIZE, SLICE_MM, SLICES, trunk, write

LESIONS = (((-62, -10, 125), 16), ((-80, 10, 100), 11), ((-45, -30, 105), 9))
"""Centre (x, y, z) in mm as in the trunk's own grid, and radius in mm."""


@cache
def liver_and_lesions() -> NDArray[np.int16]:
    """Return HU ``(slice, row, column)``. Only liver and lesions lie where the tiny network looks for a liver."""
    hu = trunk().astype(np.int16).copy()
    z = (np.arange(SLICES) * SLICE_MM)[:, None, None]
    y = ((np.arange(SIZE) - SIZE / 2 + 0.5) * PIXEL_MM)[None, :, None]
    x = ((np.arange(SIZE) - SIZE / 2 + 0.5) * PIXEL_MM)[None, None, :]
    top = (SLICES - 1) * SLICE_MM
    liver = ((x + 62) / 68) ** 2 + ((y + 10) / 66) ** 2 + ((z - (top - 95)) / 80) ** 2 <= 1
    liver &= (hu > 50) & (hu < 170)
    hu[~liver & (hu > -20) & (hu < 230)] -= 70
    hu[liver & (hu < 100)] = 100
    for (cx, cy, cz), radius in LESIONS:
        inside = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= radius**2
        hu[inside & liver] = 50
    return hu


def write_case(folder: Path, **names: str) -> list[Path]:
    """Write the study as DICOM files."""
    return write(folder, liver_and_lesions(), **names)
