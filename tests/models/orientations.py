"""Every way a volume's axes can lie along a patient's."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

Signs = tuple[int, int, int]
Order = tuple[int, int, int]
#: The 48 axis-parallel orientations: which LPS axis slice, row and column run along, and in which direction.
ALL: list[tuple[Order, Signs]] = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def affine(order: Order, signs: Signs, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the matrix from ``(slice, row, column, 1)`` to LPS mm of one orientation."""
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for axis, (patient_axis, sign, mm) in enumerate(zip(order, signs, spacing, strict=True)):
        matrix[patient_axis, axis] = sign * mm
    matrix[:3, 3] = (-120.0, 35.5, 800.25)
    return matrix
