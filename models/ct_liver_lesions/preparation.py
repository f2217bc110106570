"""What the two networks are shown, and what their answers mean on the original voxels.

Everything here has its axes to head, anterior and right (`models.orientation`). The networks were trained behind the
preparation of pyliverlesionseg 0.3, and what they are shown follows it step by step. The way back does not: the
original makes the probabilities binary on the coarse grid, zooms corner on corner and keeps every voxel above zero,
which moves outlines outwards. Here probabilities come back by the exact inverse geometry and are compared on the
original voxels (docs/decisions/0007-lesion-outlines.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.ct_liver_lesions.architecture import LESION, LIVER, Size
from models.interface import Float, Hounsfield
from models.median import median_of_27
from models.resampling import Box, Resampling, Vector, bounding_box, grown, shifted, slabs

Mask = NDArray[np.bool_]

_MEDIAN_MM: Vector = (1.5, 1.5, 1.5)
_LIVER_MM: Vector = (3.0, 3.0, 3.0)
_LESION_MM: Vector = (3.0, 1.0, 1.0)
#: What the liver network answers for, in mm.
LIVER_FIELD_MM: Vector = (
    LIVER.output_size[0] * _LIVER_MM[0],
    LIVER.output_size[1] * _LIVER_MM[1],
    LIVER.output_size[2] * _LIVER_MM[2],
)
#: The value of -200 HU and less: what the lesion network is shown outside of the liver.
_DARKEST = -0.5
#: How many voxels around the liver the lesion network is shown.
_SEEN_AROUND = 2
_FACES = ndimage.generate_binary_structure(3, 1)
_FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)


def normalise(hu: NDArray[np.generic]) -> Float:
    """Clip Hounsfield units to -200 .. 200 and scale them to -0.5 .. 0.5."""
    return np.clip(hu.astype(np.float32), -200, 200) / np.float32(400)


# --- the liver ---------------------------------------------------------------------------------------------------


def liver_image(hu: Hounsfield, spacing: Vector) -> tuple[Float, Resampling]:
    """Bring the trunk to 3 mm, with the noise taken off at 1.5 mm.

    Parameters
    ----------
    hu
        The trunk (`body.trunk`).
    spacing
        Its voxel size in mm.

    Returns
    -------
    ndarray, Resampling
        Normalised image, and the way from it back to the voxels of ``hu``.
    """
    fine = Resampling.to_spacing(hu.shape, spacing, _MEDIAN_MM)
    coarse = Resampling.to_spacing(fine.new_size, _MEDIAN_MM, _LIVER_MM)
    image = normalise(coarse.forward(median_of_27(fine.forward(hu))))
    return image, Resampling(fine.size, spacing, coarse.new_size, _LIVER_MM)


def field(size: Size, network: Size) -> tuple[Box, Box]:
    """Lay the field of a network over the middle of an image.

    Parameters
    ----------
    size
        Voxels of the image.
    network
        Voxels of the network's input or output. The middle of a length n is its voxel n // 2.

    Returns
    -------
    Box, Box
        The part of the image that the field covers, and where in the field that part lies.
    """
    image, inside = [], []
    for length, wanted in zip(size, network, strict=True):
        offset = length // 2 - wanted // 2
        start, stop = max(0, offset), min(length, offset + wanted)
        image.append(slice(start, stop))
        inside.append(slice(start - offset, stop - offset))
    return (image[0], image[1], image[2]), (inside[0], inside[1], inside[2])


def liver_batch(image: Float) -> Float:
    """Put an image into the liver network's input, zeros around it."""
    batch = np.zeros((1, 1, *LIVER.input_size), np.float32)
    part, inside = field(image.shape, LIVER.input_size)
    batch[0, 0][inside] = image[part]
    return batch


def liver_probability(answer: Float, size: Size) -> tuple[Float, Box]:
    """Cut the image out of the liver network's answer.

    Parameters
    ----------
    answer
        Output of the network.
    size
        Voxels of the image that it was given.

    Returns
    -------
    ndarray, Box
        Probabilities, and the part of the image that they are for.
    """
    part, inside = field(size, LIVER.output_size)
    return answer[0, 0][inside], part


def largest_piece(probability: Float, threshold: float) -> Float:
    """Keep the liver only: give other pieces, and what hangs on it by a thread, probability 0.

    Parameters
    ----------
    probability
        On the 3 mm grid.
    threshold
        What counts as liver.

    Returns
    -------
    ndarray
        The probabilities of the largest piece and of all that is below the threshold anyway.
    """
    above = probability > threshold
    pieces, count = ndimage.label(ndimage.binary_erosion(above, _FACES_AND_EDGES), _FACES)
    if count == 0:
        return np.zeros_like(probability)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    liver = ndimage.binary_dilation(largest, _FACES_AND_EDGES)
    return np.where(liver | ~above, probability, np.float32(0))


# --- its lesions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LesionView:
    """What the lesion network is shown.

    Attributes
    ----------
    image
        Normalised, voxels of 3 x 1 x 1 mm, the box of the liver; darkest outside of the liver.
    seen
        Where ``image`` shows tissue: the liver and two voxels around it.
    window
        Where the box lies on the grid of 3 x 1 x 1 mm.
    resampling
        From the original voxels to that grid.
    """

    image: Float
    seen: Mask
    window: Box
    resampling: Resampling


def lesion_view(hu: Hounsfield, liver: NDArray[np.generic], within: Box, spacing: Vector) -> LesionView:
    """Cut the liver out for the lesion network.

    Parameters
    ----------
    hu, liver
        The volume, and an array of its size that is not zero where the liver is.
    within
        A box that holds the liver, of which there is some.
    spacing
        Voxel size in mm.
    """
    resampling = Resampling.to_spacing(hu.shape, spacing, _LESION_MM)
    box = shifted(bounding_box(liver[within] != 0), within)
    around = grown(resampling.covered(box), _SEEN_AROUND + 1, resampling.new_size)
    share = resampling.forward(liver, around, lambda part: part != 0)
    seen = ndimage.binary_dilation(share > 0.5, _FACES_AND_EDGES, iterations=_SEEN_AROUND)
    if not seen.any():  # a liver of less than half a voxel of this grid
        seen[:] = True
    box = bounding_box(seen)
    window = shifted(box, around)
    image = np.where(seen[box], resampling.forward(hu, window, normalise), np.float32(_DARKEST))
    return LesionView(image, seen[box], window, resampling)


@dataclass(frozen=True)
class Tile:
    """One position of the lesion network's output on the image.

    Attributes
    ----------
    start
        Where the output begins; negative where the image is smaller than the output.
    own
        The part of the image for which this tile's answer counts: tiles overlap at the far end of each axis, and the
        last one counts.
    """

    start: Size
    own: Box


def tiles(seen: Mask) -> list[Tile]:
    """Lay the lesion network's output over an image; tiles whose own part shows no tissue are left out.

    Parameters
    ----------
    seen
        Where the image shows tissue.
    """
    axes = [_along(length, side) for length, side in zip(seen.shape, LESION.output_size, strict=True)]
    laid = [Tile((a[0], b[0], c[0]), (slice(*a[1]), slice(*b[1]), slice(*c[1]))) for a, b, c in product(*axes)]
    return [tile for tile in laid if seen[tile.own].any()]


def _along(length: int, side: int) -> list[tuple[int, tuple[int, int]]]:
    """Return start and own part of each tile of one axis: side by side from 0, the last flush with the end."""
    if length <= side:
        return [(length // 2 - side // 2, (0, length))]
    starts = [*range(0, length - side, side), length - side]
    return [(start, (start, stop)) for start, stop in zip(starts, [*starts[1:], length], strict=True)]


def lesion_batch(image: Float, tile: Tile) -> Float:
    """Cut the lesion network's input for one tile out of the image, zeros around it."""
    batch = np.zeros((1, 1, *LESION.input_size), np.float32)
    source, target = [], []
    for start, length, whole, answered in zip(
        tile.start, image.shape, LESION.input_size, LESION.output_size, strict=True
    ):
        begin = start - (whole - answered) // 2
        source.append(slice(max(0, begin), min(length, begin + whole)))
        target.append(slice(source[-1].start - begin, source[-1].stop - begin))
    batch[0, 0][tuple(target)] = image[tuple(source)]
    return batch


def lesion_answer(answer: Float, tile: Tile) -> Float:
    """Cut a tile's own part out of the lesion network's answer."""
    part = [
        slice(counts.start - start, counts.stop - start) for counts, start in zip(tile.own, tile.start, strict=True)
    ]
    own: Float = answer[0, 0][tuple(part)]
    return own


def found_pieces(probability: Float, threshold: float, found: float) -> Float:
    """Keep the lesions that are found: give other pieces above the threshold probability 0.

    Parameters
    ----------
    probability
        On the grid of 3 x 1 x 1 mm.
    threshold
        What counts to a lesion's outline.
    found
        What the probability must exceed somewhere in it.
    """
    above = probability > threshold
    pieces, _ = ndimage.label(above, np.ones((3, 3, 3)))
    kept = np.isin(pieces, np.unique(pieces[probability > max(found, threshold)]))
    return np.where(kept | ~above, probability, np.float32(0))


# --- the way back ------------------------------------------------------------------------------------------------


def outline(probability: Float, window: Box, resampling: Resampling, threshold: float) -> Iterator[tuple[Box, Mask]]:
    """Compare probabilities with a threshold on the original voxels, a slab of slices at a time.

    Parameters
    ----------
    probability
        On ``window`` of the resampled grid.
    window
        Where it lies.
    resampling
        From the original voxels to that grid.
    threshold
        A voxel counts if its interpolated probability is greater.

    Yields
    ------
    Box, ndarray
        A box of the original grid, and which of its voxels count. Where no box is yielded, none does.
    """
    above = probability > threshold
    if not above.any():
        return
    box = grown(bounding_box(above), 1, probability.shape)
    place = shifted(box, window)
    for slab in slabs(resampling.reached(place)):
        yield slab, resampling.back(probability[box], place, slab) > threshold
