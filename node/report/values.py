"""The numbers of a reading as its results state them: which, in what unit, with how many digits, of which segment.

The writer and the checker share this table and nothing else: what a number means must not be decided twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.sr.coding import Code

from node.dicom.findings import Diameter, Lesion, Organ
from node.report import codes

LIVER_SEGMENT = 1


def segment_number(lesion_number: int) -> int:
    """Return the number of a lesion's segment: the liver is the first one."""
    return lesion_number + LIVER_SEGMENT


@dataclass(frozen=True)
class Quantity:
    """A number that a report states.

    Attributes
    ----------
    name, unit
        What it is and in which unit (UCUM).
    value
        Rounded to the digits that are shown.
    derivation
        How it was computed from the voxels, where the name leaves that open.
    method
        How it was measured.
    axis
        The line it is the length of, for a diameter.
    """

    name: Code
    unit: Code
    value: float
    derivation: Code | None = None
    method: Code | None = None
    axis: Diameter | None = None


def lesion_quantities(lesion: Lesion) -> Iterator[Quantity]:
    """Yield what is measured over a lesion's voxels (TID 1411)."""
    yield _volume(lesion.volume_ml)
    yield from _attenuation(lesion.hu_mean, lesion.hu_sd)


def lesion_axes(lesion: Lesion) -> Iterator[Quantity]:
    """Yield the diameters of a lesion (TID 1501)."""
    for name, axis in ((codes.LONG_AXIS, lesion.long_axis), (codes.SHORT_AXIS, lesion.short_axis)):
        yield Quantity(name, codes.MILLIMETRE, round(axis.length_mm, 2), axis=axis)


def liver_quantities(liver: Organ) -> Iterator[Quantity]:
    """Yield what is measured over the liver (TID 1411). The ratio is that of all lesions to the whole liver."""
    yield _volume(liver.volume_ml)
    yield Quantity(codes.VOLUME_RATIO, codes.PERCENT, round(liver.burden_percent, 3))
    yield from _attenuation(liver.hu_mean, liver.hu_sd)


def _volume(millilitres: float) -> Quantity:
    return Quantity(codes.VOLUME, codes.CUBIC_CENTIMETRE, round(millilitres, 3), method=codes.SUM_OF_VOXELS)


def _attenuation(mean: float, deviation: float) -> Iterator[Quantity]:
    yield Quantity(codes.ATTENUATION, codes.HOUNSFIELD_UNIT, round(mean, 1), derivation=codes.MEAN)
    yield Quantity(
        codes.ATTENUATION_SD, codes.HOUNSFIELD_UNIT, round(deviation, 1), derivation=codes.STANDARD_DEVIATION
    )
