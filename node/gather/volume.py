"""A stack of images to a volume: decode, rescale, and hold values and orientation to what the pixels show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.dicom.geometry import Geometry
from node.dicom.reasons import Note
from node.dicom.volume import Volume
from node.gather import hounsfield, orientation
from node.gather.overview import overview, step
from node.gather.phase import Enhancement, enhancement
from node.gather.pixels import PADDING, rescaled
from node.gather.selection import Candidate, Selection

AIR_HU = -1024
_SOFT_TISSUE_HU = (20, 200)


@dataclass(frozen=True)
class Evidence:
    """What the pixels of a stack show.

    Attributes
    ----------
    offset
        What must be added to the rescaled values to make them Hounsfield units.
    anatomy
        The grid as the patient lies in it.
    enhancement
        Attenuation of aorta and liver, and the phase by it.
    noise_hu
        Pixel noise in soft tissue, as if the slices were 3 mm thick: large for a sharp kernel.
    notes
        Corrections and phase, to be said in the report.
    """

    offset: int
    anatomy: Geometry
    enhancement: Enhancement
    noise_hu: float
    notes: tuple[Note, ...]


def preview(candidate: Candidate) -> Evidence:
    """Judge a candidate by as many of its slices as an overview takes.

    Raises
    ------
    Refused
        As `load` does.
    """
    every = step(candidate.geometry.spacing[0])
    return examine(_decode(candidate, every), candidate.geometry)


def load(selection: Selection | Candidate) -> tuple[Volume, tuple[Note, ...]]:
    """Make the volume of the first candidate.

    Returns
    -------
    tuple
        The volume in Hounsfield units (padding and everything below are -1024), and what must be said of it.

    Raises
    ------
    Refused
        UNDECODABLE with the number of the slice, HU_IMPLAUSIBLE, NO_BODY or ORIENTATION_IMPLAUSIBLE.
    """
    candidate = selection.candidates[0] if isinstance(selection, Selection) else selection
    hu = _decode(candidate, 1)
    evidence = examine(hu[:: step(candidate.geometry.spacing[0])], candidate.geometry)
    for pixels in hu:  # slice by slice: a whole volume in a wider type would double the memory
        corrected = np.where(pixels == PADDING, AIR_HU, pixels.astype(np.int32) + evidence.offset)
        pixels[...] = np.clip(corrected, AIR_HU, 32767)
    return Volume(hu, candidate.geometry, evidence.anatomy), (*candidate.notes, *evidence.notes)


def examine(slices: NDArray[np.int16], geometry: Geometry) -> Evidence:
    """Look at every ``step``-th slice of a volume; see `Evidence`.

    Raises
    ------
    Refused
        HU_IMPLAUSIBLE, NO_BODY or ORIENTATION_IMPLAUSIBLE.
    """
    view = overview(_without_padding(slices), geometry)
    offset, hu_note = hounsfield.offset(view.hu)
    view.hu[...] += offset
    view, mirrored = orientation.check(view)
    found = enhancement(view)
    notes = (hu_note, mirrored, found.note)
    return Evidence(
        offset=offset,
        anatomy=geometry.mirrored(1) if mirrored else geometry,
        enhancement=found,
        noise_hu=_noise(slices, offset) * (geometry.spacing[0] / 3.0) ** 0.5,
        notes=tuple(note for note in notes if note is not None),
    )


def _decode(candidate: Candidate, every: int) -> NDArray[np.int16]:
    count = len(candidate.images)
    picked = range(0, count, every)
    result = np.empty((len(picked), *candidate.geometry.shape[1:]), dtype=np.int16)
    for target, number in zip(result, picked, strict=True):
        target[...] = rescaled(candidate.images[number], f"Slice {number + 1} of {count}")
    return result


def _without_padding(slices: NDArray[np.int16]) -> NDArray[np.int16]:
    """Give padding the lowest value there is, which is air or below."""
    padded = slices == PADDING
    if not padded.any():
        return slices
    lowest = slices.min(where=~padded, initial=32767)
    result: NDArray[np.int16] = np.where(padded, lowest, slices)
    return result


def _noise(slices: NDArray[np.int16], offset: int) -> float:
    """Return the robust standard deviation of pixel noise in soft tissue, from differences of neighbours."""
    rows = slices[:, ::4].astype(np.int32) + offset
    left, right = rows[:, :, :-1], rows[:, :, 1:]
    low, high = _SOFT_TISSUE_HU
    soft = (left > low) & (left < high) & (right > low) & (right < high)
    if not soft.any():
        return 0.0
    return float(1.4826 * np.median(np.abs(right - left)[soft]) / np.sqrt(2))
