"""Change the voxel size of a volume along its axes, and change it back to where it was.

A network must be fed by the resampling that it was trained with. These saw volumes that were averaged over the area of
the new voxel where it is larger and interpolated linearly where it is smaller, with zeros around the image and both
grids centred on the same point. All of that is linear and separable: one small matrix an axis says it, and a matrix
product carries it out. The way back has the same geometry, which a corner-aligned zoom (`scipy.ndimage.zoom`) misses by
up to half a voxel at the borders.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.interface import Float

Vector = tuple[float, float, float]
Size = tuple[int, int, int]
Box = tuple[slice, slice, slice]
Matrix = NDArray[np.float64]

#: Slices that are worked on at a time; it bounds the memory, whatever the size of the volume.
_SLAB = 32


def new_length(length: int, zoom: float) -> int:
    """Return how many voxels cover ``length`` old ones; the rounding noise of a spacing never adds one."""
    return max(1, math.ceil(length * zoom - 1e-6))


def weights(length: int, result: int, zoom: float) -> Matrix:
    """Return the matrix that resamples one axis.

    Parameters
    ----------
    length, result
        Number of voxels before and after. Both lie centred on the same point.
    zoom
        Old voxel size divided by the new one.

    Returns
    -------
    ndarray
        Shape ``(result, length)``. A row sums to less than 1 where the new voxel reaches beyond the old image.
    """
    if zoom < 1:
        edges = (np.arange(length + 1) - length / 2) * zoom + result / 2
        bins = np.arange(result)[:, None]
        matrix: Matrix = np.minimum(edges[1:], bins + 1) - np.maximum(edges[:-1], bins)
        return matrix.clip(min=0.0)
    centres = (np.arange(result) - (result - 1) / 2) / zoom + (length - 1) / 2
    matrix = 1.0 - np.abs(centres[:, None] - np.arange(length))
    return matrix.clip(min=0.0)


@dataclass(frozen=True)
class Resampling:
    """The two grids of one volume: as it came, and with the voxel size that a network wants.

    Attributes
    ----------
    size, spacing
        Voxels along the axes and their mm, as the volume came.
    new_size, new_spacing
        The same after resampling.
    """

    size: Size
    spacing: Vector
    new_size: Size
    new_spacing: Vector

    @classmethod
    def to_spacing(cls, size: tuple[int, ...], spacing: Vector, new_spacing: Vector) -> Resampling:
        """Plan to resample a volume of ``size`` voxels to another voxel size."""
        slices, rows, columns = (new_length(n, a / b) for n, a, b in zip(size, spacing, new_spacing, strict=True))
        return cls((size[0], size[1], size[2]), spacing, (slices, rows, columns), new_spacing)

    def forward(
        self,
        volume: NDArray[np.generic],
        window: Box | None = None,
        transform: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = None,
    ) -> Float:
        """Resample a volume; outside of it are zeros.

        Parameters
        ----------
        volume
            Array of ``size`` voxels.
        window
            The part of the new grid that is wanted; all by default.
        transform
            Applied to the voxels before they are resampled, a slab at a time.

        Returns
        -------
        ndarray
            float32, the size of the window.
        """
        matrices = []
        source = []
        for axis in range(3):
            matrix = weights(self.size[axis], self.new_size[axis], self.spacing[axis] / self.new_spacing[axis])
            if window is not None:
                matrix = matrix[window[axis]]
            source.append(_used(matrix))
            matrices.append(matrix[:, source[-1]])
        return _multiply(volume[tuple(source)], matrices, transform)

    def back(self, values: Float, window: Box, target: Box) -> Float:
        """Bring values from a window of the new grid back to a box of the original grid.

        Parameters
        ----------
        values
            Array on ``window`` of the new grid; the value at its border holds beyond it.
        window
            Where the values lie on the new grid.
        target
            The box wanted of the original grid.

        Returns
        -------
        ndarray
            float32, the size of the target.
        """
        matrices = []
        for axis in range(3):
            matrix = weights(self.new_size[axis], self.size[axis], self.new_spacing[axis] / self.spacing[axis])
            matrix = matrix[target[axis], window[axis]]
            total = matrix.sum(axis=1, keepdims=True)
            matrices.append(np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0))
        return _multiply(values, matrices, None)

    def covered(self, box: Box) -> Box:
        """Return the window of the new grid that a box of the original grid touches."""
        return _mapped(box, self.size, self.new_size, self.spacing, self.new_spacing)

    def reached(self, window: Box) -> Box:
        """Return the box of the original grid that a window of the new grid touches."""
        return _mapped(window, self.new_size, self.size, self.new_spacing, self.spacing)


def _mapped(box: Box, size: Size, other_size: Size, spacing: Vector, other_spacing: Vector) -> Box:
    result = []
    for axis in range(3):
        zoom = spacing[axis] / other_spacing[axis]
        start, stop = (
            (edge - size[axis] / 2) * zoom + other_size[axis] / 2 for edge in (box[axis].start, box[axis].stop)
        )
        result.append(slice(max(0, math.floor(start)), min(other_size[axis], math.ceil(stop))))
    return result[0], result[1], result[2]


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box that holds every true voxel, of which there must be one."""
    slices, rows, columns = ndimage.find_objects(mask.view(np.uint8))[0]
    return slices, rows, columns


def grown(box: Box, margin: int, size: tuple[int, ...]) -> Box:
    """Return a box with a margin all round, as far as the grid reaches."""
    a, b, c = (
        slice(max(0, part.start - margin), min(length, part.stop + margin))
        for part, length in zip(box, size, strict=True)
    )
    return a, b, c


def shifted(box: Box, origin: Box) -> Box:
    """Return a box that was counted from the start of another one, counted from where that one is counted."""
    a, b, c = (slice(o.start + part.start, o.start + part.stop) for part, o in zip(box, origin, strict=True))
    return a, b, c


def slabs(box: Box) -> list[Box]:
    """Cut a box into slabs of slices, to work through it in bounded memory."""
    slices, rows, columns = box
    return [
        (slice(start, min(start + _SLAB, slices.stop)), rows, columns)
        for start in range(slices.start, slices.stop, _SLAB)
    ]


def _multiply(
    volume: NDArray[np.generic],
    matrices: list[Matrix],
    transform: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None,
) -> Float:
    """Multiply each axis by its matrix: columns and rows a slab at a time, then the slices.

    Each as one product of two flat matrices: a product a slice takes 10 times as long when BLAS' threads must share
    their cores with others.
    """
    over_slices, over_rows, over_columns = (matrix.astype(np.float32) for matrix in matrices)
    slices, rows, columns = volume.shape
    planes = np.empty((slices, over_columns.shape[0], over_rows.shape[0]), np.float32)
    for start in range(0, slices, _SLAB):
        part = volume[start : start + _SLAB]
        if transform is not None:
            part = transform(part)
        part = part.astype(np.float32).reshape(-1, columns) @ over_columns.T
        part = part.reshape(-1, rows, over_columns.shape[0]).swapaxes(1, 2).reshape(-1, rows) @ over_rows.T
        planes[start : start + _SLAB] = part.reshape(-1, *planes.shape[1:])
    result = over_slices @ planes.reshape(slices, -1)
    return np.ascontiguousarray(result.reshape(-1, *planes.shape[1:]).swapaxes(1, 2))


def _used(matrix: Matrix) -> slice:
    """Return the range of columns that carry weight; at least one column, so that nothing is ever empty."""
    columns = np.flatnonzero(matrix.any(axis=0))
    return slice(int(columns[0]), int(columns[-1]) + 1) if columns.size else slice(0, 1)
