"""The structured report: TID 1500 Measurement Report as a Comprehensive 3D SR (PS3.3 A.35.13, PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from numpy.typing import NDArray
from pydicom.sr.codedict import codes as standard

from node.dicom.datasets import PseudonymousDataset
from node.dicom.findings import Reading
from node.dicom.uids import derive_uid
from node.dicom.volume import LabelMap
from node.report import codes
from node.report.equipment import UNVERIFIED, Equipment, ascii_text, processing_step, stamp
from node.report.groups import axis_slice, lesion_groups, liver_groups
from node.report.library import image_library
from node.report.sources import check_grid, fit_headers

SR_SERIES_NUMBER = 9002

_CONTAINS = RelationshipTypeValues.CONTAINS


def make_sr(
    reading: Reading,
    seg: PseudonymousDataset,
    sources: Sequence[PseudonymousDataset],
    *,
    liver: LabelMap | NDArray[np.bool_],
    lesions: LabelMap,
    equipment: Equipment,
    made_at: datetime,
    revision: int = 1,
) -> PseudonymousDataset:
    """Write the findings of a reading as a DICOM structured report.

    Parameters
    ----------
    reading
        What was found. A reading without lesions makes a report that says so.
    seg
        The SEG of this reading, which the report refers to.
    sources
        Pseudonymous headers of the source images, sorted by slice.
    liver, lesions
        As for `node.report.segmentation.make_seg`: the contours are drawn from them.
    equipment, made_at, revision
        Who makes it, when, and the how manieth report of this reading it is. Equal arguments make equal bytes.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED` if the label maps do not lie on the source images; `Reason.BAD_ATTRIBUTE` if a source
        lacks what a report must refer to.
    """
    headers = fit_headers(sources)
    check_grid(headers, lesions.geometry)
    outline = np.asarray(liver.labels > 0 if isinstance(liver, LabelMap) else liver, dtype=bool)
    groups = liver_groups(reading, outline, seg.dataset, headers)
    for lesion in reading.lesions:
        mask = lesions.labels[axis_slice(lesion.long_axis)] == lesion.number
        groups.extend(lesion_groups(reading, lesion, mask, seg.dataset, headers))
    content = MeasurementReport(
        observation_context=_observer(equipment),
        procedure_reported=codes.PROCEDURE,
        imaging_measurements=groups,
        title=standard.DCM.ImagingMeasurementReport,
    )
    _insert_library(content[0].ContentSequence, image_library(headers))
    content[0].ContentSequence.append(_statements(reading))
    made_at = made_at.replace(microsecond=0, tzinfo=None)
    sr = Comprehensive3DSR(
        evidence=[*headers, seg.dataset],
        content=content[0],
        series_instance_uid=derive_uid(reading.reading_uid, "SR", "series"),
        series_number=SR_SERIES_NUMBER,
        sop_instance_uid=derive_uid(reading.reading_uid, "SR", str(revision)),
        instance_number=revision,
        manufacturer=equipment.manufacturer,
        manufacturer_model_name=equipment.model_name,
        software_versions=equipment.software_version,
        device_serial_number=equipment.serial_number,
        is_complete=True,
        is_final=False,
        is_verified=False,
        contributing_equipment=[processing_step(equipment, made_at)],
        series_description=f"Liver AI measurements - {UNVERIFIED}",
        content_date=made_at.date(),
        content_time=made_at.time(),
        series_date=made_at.date(),
        series_time=made_at.time(),
    )
    stamp(sr, made_at)
    return PseudonymousDataset(sr)


def _observer(equipment: Equipment) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=equipment.uid,
        name=equipment.model_name,
        manufacturer_name=equipment.manufacturer,
        model_name=equipment.model_name,
        serial_number=equipment.serial_number,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=standard.DCM.Device, observer_identifying_attributes=device
        )
    )


def _insert_library(content: ContentSequence, library: ContainerContentItem) -> None:
    """Put the Image Library where TID 1500 has it: before the measurements, which are the last item so far."""
    content.insert(len(content) - 1, library)


def _statements(reading: Reading) -> ContainerContentItem:
    """Return what is said of the reading as a whole: TID 1500 rows 12 to 14, which highdicom does not write."""
    container = ContainerContentItem(codes.QUALITATIVE, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence(list(_sentences(reading)))
    return container


def _sentences(reading: Reading) -> Iterator[ContentItem]:
    yield _comment(f"{UNVERIFIED}. Made by an algorithm and read by nobody yet.")
    outcome = codes.WITH_FINDINGS if reading.lesions else codes.WITHOUT_FINDINGS
    yield CodeContentItem(codes.SUMMARY, outcome, _CONTAINS)
    yield _comment(summary(reading))
    for note in reading.notes:
        yield _comment(f"[{note.reason.value}] {note.text}")


def summary(reading: Reading) -> str:
    """Return the result in one sentence: a negative study says that it was searched."""
    liver = f"{reading.liver.volume_ml:.0f} ml"
    if not reading.lesions:
        return f"Liver ({liver}) searched for focal lesions: none found."
    count = len(reading.lesions)
    found = "1 lesion" if count == 1 else f"{count} lesions"
    return (
        f"Liver ({liver}) searched for focal lesions: {found} found, together {reading.liver.burden_percent:.1f} % of "
        "the liver's volume (Volume Ratio). What kind of lesion was not determined."
    )


def _comment(text: str) -> TextContentItem:
    return TextContentItem(codes.COMMENT, ascii_text(text), _CONTAINS)
