"""From the networks' label map to the findings of a reading: the liver as a whole and each lesion in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.dicom.findings import Diameter, Lesion, Organ
from node.dicom.reasons import Note, Reason, Refused
from node.dicom.uids import derive_uid
from node.dicom.volume import LabelMap, Volume
from node.measure.components import Component, find_components
from node.measure.diameters import axial_diameters

PARENCHYMA, LESION = 1, 2
"""What the values of the networks' label map mean."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in one study.

    Attributes
    ----------
    organ
        The liver, lesions included.
    lesions
        In the order of their numbers; empty if none was found.
    lesion_map
        Label map of uint16 on the same grid: a lesion's voxels hold its number, everything else 0.
    notes
        What the report must say about the measuring.
    """

    organ: Organ
    lesions: tuple[Lesion, ...]
    lesion_map: LabelMap
    notes: tuple[Note, ...]


def measure(volume: Volume, labels: LabelMap, reading_uid: str, min_volume_ml: float) -> Measured:
    """Measure the liver and its lesions.

    Parameters
    ----------
    volume
        The CT volume, its slices axial.
    labels
        1 liver parenchyma, 2 lesion, on the volume's grid.
    reading_uid
        UID of the reading. The tracking UIDs derive from it, so a repeated step finds the same ones.
    min_volume_ml
        Lesions smaller than this, in ml, are specks: left out of lesions and burden, and said in a note.

    Returns
    -------
    Measured
        Lesions are the 26-connected components of value 2, numbered by volume, largest first (ties: by position). Mean
        and SD of HU are over all voxels of the lesion, or of the liver's parenchyma (SD of the population).

    Raises
    ------
    Refused
        ``NO_LIVER`` if the label map holds no parenchyma.
    ValueError
        If labels and volume are not on one grid.
    """
    if labels.geometry != volume.geometry or labels.labels.shape != volume.hu.shape:
        raise ValueError("The label map is not on the volume's grid.")
    voxel_ml = volume.geometry.voxel_volume_ml
    min_voxels = max(1, int(np.ceil(round(min_volume_ml / voxel_ml, 9))))
    components, specks = find_components(labels.labels == LESION, min_voxels)
    lesion_map = np.zeros(volume.hu.shape, np.uint16)
    for component in components:
        lesion_map[component.box][component.mask] = component.number
    return Measured(
        organ=_liver(volume, labels, components, reading_uid),
        lesions=tuple(_lesion(volume, component, reading_uid) for component in components),
        lesion_map=LabelMap(lesion_map, labels.geometry),
        notes=_speck_notes(specks, voxel_ml, min_volume_ml),
    )


def lesion_name(number: int) -> str:
    """Return the name under which a reader sees a lesion: ``L01`` for number 1."""
    return f"L{number:02d}"


def shift_diameter(diameter: Diameter, offset: tuple[int, int, int]) -> Diameter:
    """Return a diameter found in a box in the indices of the array that the box was cut from."""
    start, end = (
        (point[0] + offset[0], point[1] + offset[1], point[2] + offset[2]) for point in (diameter.start, diameter.end)
    )
    return Diameter(length_mm=diameter.length_mm, start=start, end=end)


def _lesion(volume: Volume, component: Component, reading_uid: str) -> Lesion:
    long_axis, short_axis = axial_diameters(component.mask, volume.geometry.spacing)
    hu_mean, hu_sd = _mean_and_sd(volume.hu[component.box][component.mask])
    name = lesion_name(component.number)
    return Lesion(
        number=component.number,
        tracking_id=name,
        tracking_uid=derive_uid(reading_uid, "lesion", name),
        volume_ml=component.voxels * volume.geometry.voxel_volume_ml,
        long_axis=shift_diameter(long_axis, component.offset),
        short_axis=shift_diameter(short_axis, component.offset),
        hu_mean=hu_mean,
        hu_sd=hu_sd,
        centroid=component.centroid,
    )


def _liver(volume: Volume, labels: LabelMap, lesions: tuple[Component, ...], reading_uid: str) -> Organ:
    parenchyma = volume.hu[labels.labels == PARENCHYMA]
    if parenchyma.size == 0:
        raise Refused(Reason.NO_LIVER, "No liver parenchyma was found in this study.")
    hu_mean, hu_sd = _mean_and_sd(parenchyma)
    voxels = int(np.count_nonzero(labels.labels))
    return Organ(
        volume_ml=voxels * volume.geometry.voxel_volume_ml,
        hu_mean=hu_mean,
        hu_sd=hu_sd,
        burden_percent=100.0 * sum(lesion.voxels for lesion in lesions) / voxels,
        tracking_uid=derive_uid(reading_uid, "organ", "liver"),
    )


def _mean_and_sd(hu: NDArray[np.int16]) -> tuple[float, float]:
    return float(hu.mean(dtype=np.float64)), float(hu.std(dtype=np.float64))


def _speck_notes(specks: tuple[int, ...], voxel_ml: float, min_volume_ml: float) -> tuple[Note, ...]:
    if not specks:
        return ()
    regions = "1 region" if len(specks) == 1 else f"{len(specks)} regions"
    text = (
        f"{regions} marked as lesion but smaller than {min_volume_ml:g} ml "
        f"({sum(specks) * voxel_ml:.3f} ml in all) were left out: too small to measure."
    )
    return (Note(reason=Reason.SPECKS_IGNORED, text=text),)
