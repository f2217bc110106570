"""Connected components of a mask, in an order that does not depend on who looks first."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Component:
    """One connected component.

    Attributes
    ----------
    number
        1, 2, 3, ...: most voxels first; ties by centroid, then by bounding box (slice, row, column).
    voxels
        Number of voxels.
    centroid
        ``(slice, row, column)`` of the centre of mass, in voxel indices of the whole mask.
    box
        The smallest box of the whole mask that holds it.
    mask
        Array of bool of the box's shape: its own voxels and nobody else's.
    """

    number: int
    voxels: int
    centroid: tuple[float, float, float]
    box: Box
    mask: NDArray[np.bool_]

    @property
    def offset(self) -> tuple[int, int, int]:
        """Index of the box's first voxel in the whole mask."""
        return (self.box[0].start, self.box[1].start, self.box[2].start)


def find_components(mask: NDArray[np.bool_], min_voxels: int = 1) -> tuple[tuple[Component, ...], tuple[int, ...]]:
    """Split a mask into its 26-connected components.

    Parameters
    ----------
    mask
        Array ``(slice, row, column)`` of bool.
    min_voxels
        Components with fewer voxels are left out.

    Returns
    -------
    components
        Those kept, in the order of their numbers.
    left_out
        Voxel counts of those left out, largest first.
    """
    if not mask.any():
        return (), ()
    # C order whatever came in: cc3d numbers by memory order, and the boxes below are cut from this array.
    joined = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26)
    statistics = cc3d.statistics(joined)
    counts = [int(n) for n in statistics["voxel_counts"]]
    boxes: list[Box] = statistics["bounding_boxes"]
    centroids = [tuple(round(float(x), 6) for x in centroid) for centroid in statistics["centroids"]]

    def order(value: int) -> tuple[int, tuple[float, ...], tuple[int, ...]]:
        return (-counts[value], centroids[value], tuple(part.start for part in boxes[value]))

    values = sorted(range(1, len(counts)), key=order)
    kept = [value for value in values if counts[value] >= min_voxels]
    components = tuple(
        Component(
            number=number,
            voxels=counts[value],
            centroid=(centroids[value][0], centroids[value][1], centroids[value][2]),
            box=boxes[value],
            mask=joined[boxes[value]] == value,
        )
        for number, value in enumerate(kept, start=1)
    )
    return components, tuple(counts[value] for value in values[len(kept) :])
