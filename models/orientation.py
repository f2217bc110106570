"""Turn a volume so that its axes run the way a network was trained on, and turn the answer back.

Only permutations and flips, so nothing is interpolated and the way back is exact. A tilted gantry or a slightly oblique
stack is taken as the nearest axis-parallel one: networks bear 20 degrees; voxels would not bear being resampled twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

#: Where slice, row and column lead in the networks' order, in LPS: to the head, to anterior, to the patient's right.
_HEAD_ANTERIOR_RIGHT = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class Orientation:
    """How the axes of one volume lie to head, anterior and right.

    Attributes
    ----------
    axes
        For head, anterior and right: which axis of the volume runs that way or the opposite one.
    flipped
        Whether it is the opposite one.
    spacing
        Voxel size in mm along head, anterior and right.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, affine: NDArray[np.float64]) -> Orientation:
        """Read the orientation from the matrix that takes ``(slice, row, column, 1)`` to LPS mm.

        Raises
        ------
        ValueError
            If an axis has no length or the matrix holds something else than numbers.
        """
        steps = np.asarray(affine, dtype=float)[:3, :3]
        lengths = np.linalg.norm(steps, axis=0)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ValueError("the affine must give every axis a finite, positive length")
        cosines = _HEAD_ANTERIOR_RIGHT @ (steps / lengths)
        axes = max(permutations(range(3)), key=lambda order: sum(abs(cosines[i, axis]) for i, axis in enumerate(order)))
        first, second, third = axes
        return cls(
            axes=(first, second, third),
            flipped=(bool(cosines[0, first] < 0), bool(cosines[1, second] < 0), bool(cosines[2, third] < 0)),
            spacing=(float(lengths[first]), float(lengths[second]), float(lengths[third])),
        )

    def apply(self, volume: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return a view of the volume with its axes to head, anterior and right."""
        turned = volume.transpose(self.axes)
        return turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)]

    def undo(self, volume: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return a view, in the volume's own order, of an array in head, anterior and right."""
        unflipped = volume[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)]
        back = [0, 0, 0]
        for position, axis in enumerate(self.axes):
            back[axis] = position
        return unflipped.transpose(back)
