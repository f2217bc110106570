"""The DICOM Segmentation: the liver as a whole and each lesion its own segment (PS3.3 A.51).

BINARY, because it is what viewers show right and where segments may overlap: a lesion is a part of the liver. Frames
without a voxel are left out, else a SEG of 13 segments is ten times as large and too slow to open.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import cos, radians, sin

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DS

from node.dicom.datasets import PseudonymousDataset
from node.dicom.findings import ModelIdentity, Reading
from node.dicom.geometry import Geometry
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import derive_uid
from node.dicom.volume import LabelMap
from node.report import codes
from node.report.equipment import UNVERIFIED, Equipment, algorithm_parameters, ascii_text, processing_step, stamp
from node.report.sources import check_grid, fit_headers
from node.report.values import LIVER_SEGMENT, segment_number

SEG_SERIES_NUMBER = 9001
_LIVER_COLOUR = CIELabColor(80.0, -12.0, -18.0)  # pale blue: lets the parenchyma and the lesions be seen through it
_GOLDEN_ANGLE = 137.508  # degrees; neighbouring numbers get hues far apart, however many there are
_FIRST_HUE = 45.0


def make_seg(
    reading: Reading,
    liver: LabelMap | NDArray[np.bool_],
    lesions: LabelMap,
    sources: Sequence[PseudonymousDataset],
    *,
    equipment: Equipment,
    made_at: datetime,
    revision: int = 1,
) -> PseudonymousDataset:
    """Write the outlines of a reading as a DICOM Segmentation.

    Parameters
    ----------
    reading
        What was found. A reading without lesions makes a SEG of the liver alone.
    liver
        Array ``(slice, row, column)`` of bool, or a label map whose values above 0 are the liver; lesions included.
    lesions
        The lesions on the same grid; value = `Lesion.number`.
    sources
        Pseudonymous headers of the source images, sorted by slice: ``liver[k]`` lies on ``sources[k]``.
    equipment, made_at, revision
        Who makes it, when, and the how manieth SEG of this reading it is. Equal arguments make equal bytes.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED` if the label maps do not lie on the source images or do not match the reading;
        `Reason.BAD_ATTRIBUTE` if a source lacks what a SEG must refer to.
    """
    headers = fit_headers(sources)
    check_grid(headers, lesions.geometry)
    outline = np.asarray(liver.labels > 0 if isinstance(liver, LabelMap) else liver, dtype=bool)
    _check_labels(reading, outline, lesions)
    _state_grid(headers, lesions.geometry)
    made_at = made_at.replace(microsecond=0, tzinfo=None)
    seg = hd.seg.Segmentation(
        source_images=headers,
        pixel_array=_stack(outline, lesions.labels, len(reading.lesions)),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_describe(reading),
        series_instance_uid=derive_uid(reading.reading_uid, "SEG", "series"),
        series_number=SEG_SERIES_NUMBER,
        sop_instance_uid=derive_uid(reading.reading_uid, "SEG", str(revision)),
        instance_number=revision,
        manufacturer=equipment.manufacturer,
        manufacturer_model_name=equipment.model_name,
        software_versions=equipment.software_version,
        device_serial_number=equipment.serial_number,
        content_label="LIVER_LESIONS",
        content_description=f"AI outlines. {UNVERIFIED}",
        content_creator_name=f"{equipment.model_name}^",  # one component: a device, not a person
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        contributing_equipment=[processing_step(equipment, made_at)],
        series_description=f"Liver AI outlines - {UNVERIFIED}",
        content_date=made_at.date(),
        content_time=made_at.time(),
        series_date=made_at.date(),
        series_time=made_at.time(),
    )
    stamp(seg, made_at)
    _fix_dimension_organization(seg, derive_uid(reading.reading_uid, "SEG", "dimensions"))
    return PseudonymousDataset(seg)


def _check_labels(reading: Reading, liver: NDArray[np.bool_], lesions: LabelMap) -> None:
    """Refuse label maps that say something else than the reading: a SEG would put a wrong name on an outline."""
    if liver.shape != lesions.labels.shape or liver.shape != lesions.geometry.shape:
        raise Refused(Reason.CHECK_FAILED, "the label maps of liver and lesions differ in size")
    if not liver.any():
        raise Refused(Reason.CHECK_FAILED, "no voxel is liver")
    counts = np.bincount(lesions.labels.ravel(), minlength=1)
    found = [number for number in range(1, len(counts)) if counts[number]]
    if found != [lesion.number for lesion in reading.lesions] or found != list(range(1, len(found) + 1)):
        raise Refused(Reason.CHECK_FAILED, "the lesion label map and the reading name different lesions")
    if (lesions.labels[~liver] > 0).any():
        raise Refused(Reason.CHECK_FAILED, "a lesion lies outside the liver")


def _stack(
    liver: NDArray[np.bool_], lesions: NDArray[np.uint8] | NDArray[np.uint16], lesion_count: int
) -> NDArray[np.bool_]:
    """Return an array ``(slice, row, column, segment)``, laid out with the segment first.

    The pages of `numpy.zeros` that no lesion touches cost no memory, and highdicom's frames stay contiguous: 50 lesions
    would be gigabytes otherwise.
    """
    stack = np.zeros((LIVER_SEGMENT + lesion_count, *liver.shape), dtype=bool)
    stack[0] = liver
    occupied = np.flatnonzero((lesions > 0).any(axis=(1, 2)))
    for k in occupied:
        for number in np.unique(lesions[k]):
            if number:
                stack[number, k] = lesions[k] == number
    return np.moveaxis(stack, 0, -1)


def _state_grid(headers: list[Dataset], geometry: Geometry) -> None:
    """Make the headers say what a voxel of the mask stands for; highdicom takes the SEG's grid from them.

    The source's Slice Thickness may be missing, or differ from the distance of the slices: then volumes computed from
    the SEG would be wrong. Orientations may differ in the last digits, which highdicom takes for another orientation.
    """
    for header in headers:
        header.SliceThickness = DS(geometry.spacing[0], auto_format=True)
        header.SpacingBetweenSlices = header.SliceThickness
        header.ImageOrientationPatient = headers[0].ImageOrientationPatient


def _describe(reading: Reading) -> list[SegmentDescription]:
    algorithm = _identify(reading.model)
    liver = SegmentDescription(
        segment_number=LIVER_SEGMENT,
        segment_label="Liver",
        segmented_property_category=codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=codes.LIVER,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=reading.liver.tracking_uid,
        tracking_id="Liver",
        display_color=_LIVER_COLOUR,
    )
    lesions = [
        SegmentDescription(
            segment_number=segment_number(lesion.number),
            segment_label=f"{ascii_text(lesion.tracking_id)} lesion",
            segmented_property_category=codes.ABNORMAL_STRUCTURE,
            segmented_property_type=codes.LESION,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=lesion.tracking_uid,
            tracking_id=ascii_text(lesion.tracking_id),
            anatomic_regions=[codes.LIVER],
            display_color=_lesion_colour(lesion.number),
        )
        for lesion in reading.lesions
    ]
    for description in (liver, *lesions):
        description.SegmentDescription = f"AI outline. {UNVERIFIED}"
    return [liver, *lesions]


def _identify(model: ModelIdentity) -> hd.AlgorithmIdentificationSequence:
    identification = hd.AlgorithmIdentificationSequence(
        name=ascii_text(model.name),
        version=ascii_text(model.version),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        source=ascii_text(model.manufacturer),
    )
    identification[0].AlgorithmParameters = "; ".join(algorithm_parameters(model))
    return identification


def _lesion_colour(number: int) -> CIELabColor:
    """Return a strong colour that differs from its neighbours' and from the liver's."""
    hue = radians(_FIRST_HUE + _GOLDEN_ANGLE * (number - 1))
    return CIELabColor(62.0, 60.0 * cos(hue), 60.0 * sin(hue))


def _fix_dimension_organization(seg: hd.seg.Segmentation, uid: str) -> None:
    """Replace the one UID that highdicom draws at random."""
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
