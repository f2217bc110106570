"""A volume small enough to look at as a whole: every few slices, 2 mm pixels, turned to the patient's axes.

All pixel evidence is taken from it, so that a candidate series can be judged by a fraction of its slices and judged the
same way again when all of them are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.dicom.geometry import Geometry

SLICE_STEP_MM = 5.0
_PIXEL_MM = 2.0
_COARSE_MM = 4.0
_BODY_HU = -300
# Wider than a table top and its mattress cover, narrower than any part of a trunk.
_OPENING_MM = 10.0

Bool3D = NDArray[np.bool_]
Float3D = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Overview:
    """A coarse copy of a volume in patient axes.

    Attributes
    ----------
    hu
        Array ``(z, y, x)`` of float32 Hounsfield units: z from feet to head, y from front to back, x from the
        patient's right to left, as far as the headers are right.
    spacing
        Distance in mm between neighbours along z, y and x.
    """

    hu: Float3D
    spacing: tuple[float, float, float]

    @cached_property
    def body(self) -> Bool3D:
        """The largest connected piece of tissue, without the table; lungs and bowel gas are not part of it."""
        opened = ndimage.binary_opening(self.hu > _BODY_HU, self.disc(_OPENING_MM))
        return largest_component(opened)

    @cached_property
    def outline(self) -> NDArray[np.float64]:
        """First and last row and column of the body in each slice, ``(z, 4)``; a slice without body has 0 to 0."""
        result = np.zeros((len(self.hu), 4))
        for z, mask in enumerate(self.body):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if len(rows):
                result[z] = rows[0], rows[-1], columns[0], columns[-1]
        return result

    @cached_property
    def inside(self) -> Bool3D:
        """What has body before and behind it, and to its right and left: the body with its lungs and bowel gas."""
        return _between(self.body, 1) & _between(self.body, 2)

    @cached_property
    def organ(self) -> Bool3D:
        """The largest solid soft-tissue organ: liver where there is one, with what touches it broadly."""
        factor = max(1, round(_COARSE_MM / self.spacing[1]))
        coarse = self.hu[:, ::factor, ::factor]
        soft = (coarse > 20) & (coarse < 230) & self.body[:, ::factor, ::factor]
        ball = ndimage.generate_binary_structure(3, 1)
        solid = largest_component(ndimage.binary_opening(soft, ball, iterations=3))
        fine: Bool3D = solid.repeat(factor, axis=1).repeat(factor, axis=2)
        return fine[:, : self.hu.shape[1], : self.hu.shape[2]]

    def disc(self, width_mm: float) -> NDArray[np.bool_]:
        """Return a square structuring element of an odd number of pixels in the slice, about `width_mm` wide."""
        size = odd(width_mm / self.spacing[1])
        return np.ones((1, size, size), dtype=bool)

    def flipped(self) -> Overview:
        """Return the overview with front and back exchanged."""
        return Overview(np.ascontiguousarray(self.hu[:, ::-1]), self.spacing)


def odd(value: float) -> int:
    """Return the odd whole number next to a positive value, at least 1."""
    return 2 * int(value / 2) + 1


def step(spacing_mm: float) -> int:
    """Return every how many slices an overview takes one."""
    return max(1, round(SLICE_STEP_MM / spacing_mm))


def overview(slices: NDArray[np.int16], geometry: Geometry) -> Overview:
    """Make the overview of the slices that `step` picks.

    Parameters
    ----------
    slices
        ``(slice, row, column)``: every ``step(geometry.spacing[0])``-th slice, from the first one on.
    geometry
        The grid of *all* slices.
    """
    factors = [max(1, round(_PIXEL_MM / spacing)) for spacing in geometry.spacing[1:]]
    coarse = np.stack([_block_mean(pixels, factors[0], factors[1]) for pixels in slices])
    spacing = [geometry.spacing[0] * step(geometry.spacing[0])]
    spacing += [mm * factor for mm, factor in zip(geometry.spacing[1:], factors, strict=True)]
    vectors = np.asarray(geometry.axes)
    patient_axes = np.abs(vectors).argmax(axis=1)  # which of x, y, z each array axis runs along
    order = [int(np.flatnonzero(patient_axes == axis)[0]) for axis in (2, 1, 0)]
    flips = tuple(slice(None, None, -1 if vectors[axis][patient_axes[axis]] < 0 else 1) for axis in order)
    turned = coarse.transpose(order)[flips]
    return Overview(np.ascontiguousarray(turned), (spacing[order[0]], spacing[order[1]], spacing[order[2]]))


def largest_component(mask: Bool3D) -> Bool3D:
    """Return the largest face-connected piece of a mask; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(mask.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    result: Bool3D = labels == sizes.argmax()
    return result


def _between(mask: Bool3D, axis: int) -> Bool3D:
    reached = np.logical_or.accumulate(mask, axis=axis)
    back = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    result: Bool3D = reached & back
    return result


def _block_mean(pixels: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.float32]:
    height, width = pixels.shape[0] // rows * rows, pixels.shape[1] // columns * columns
    blocks = pixels[:height, :width].reshape(height // rows, rows, width // columns, columns)
    result: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return result
