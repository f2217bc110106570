"""The regular voxel grid of a volume in the patient coordinate system."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Vector = tuple[float, float, float]


class Geometry(BaseModel):
    """A regular grid of voxels: slices, rows and columns in the DICOM patient coordinate system.

    Indices are always ``(slice, row, column)``; slice index 0 is the first image of the *sorted* series. Positions are
    mm in LPS (x to the patient's left, y to posterior, z to the head): PS3.3 C.7.6.2.1.1.

    Attributes
    ----------
    shape
        Number of slices, rows and columns.
    origin
        LPS position in mm of the centre of voxel ``(0, 0, 0)``.
    spacing
        Distance in mm between neighbouring slices, rows and columns. All positive.
    axes
        LPS unit vectors along which the slice, row and column index increase.
    """

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, int, int]
    origin: Vector
    spacing: Vector
    axes: tuple[Vector, Vector, Vector]

    def affine(self) -> NDArray[np.float64]:
        """Return the 4x4 matrix that takes ``(slice, row, column, 1)`` to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.axes).T * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    def to_patient(self, index: NDArray[np.float64] | Vector) -> NDArray[np.float64]:
        """Return the LPS positions in mm of voxel indices.

        Parameters
        ----------
        index
            Array of shape ``(..., 3)`` with ``(slice, row, column)``.
        """
        affine = self.affine()
        result: NDArray[np.float64] = np.asarray(index, dtype=float) @ affine[:3, :3].T + affine[:3, 3]
        return result

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing) * abs(np.linalg.det(np.asarray(self.axes))) / 1000.0)

    def mirrored(self, patient_axis: int) -> Self:
        """Return the geometry of the same voxels if one patient axis was labelled the wrong way round.

        Parameters
        ----------
        patient_axis
            0 left-right, 1 anterior-posterior, 2 head-feet. Mirrors about the centre of the grid along that axis.
        """
        sign = np.ones(3)
        sign[patient_axis] = -1.0
        centre = self.to_patient(tuple((n - 1) / 2 for n in self.shape))  # type: ignore[arg-type]
        origin = centre + sign * (np.asarray(self.origin) - centre)
        axes = [tuple(float(v) for v in sign * np.asarray(axis)) for axis in self.axes]
        return self.model_copy(update={"origin": tuple(float(v) for v in origin), "axes": tuple(axes)})
