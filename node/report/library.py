"""The Image Library of the report (TID 1600): every source image, once, with what they have in common said once.

highdicom's own repeats a dozen descriptors at every slice and cannot do without a Slice Thickness, which real scanners
leave out. Viewers list a report's measurements only if it has a library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    UIDRefContentItem,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from node.report.codes import SOURCE

_PIXELS = Code("{pixels}", "UCUM", "Pixels")
_DIRECTION_COSINE = Code("{-1:1}", "UCUM", "{-1:1}")
_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT


def image_library(headers: Sequence[Dataset]) -> ContainerContentItem:
    """Return the Image Library with one group and one entry an image.

    Parameters
    ----------
    headers
        Headers of the images of one series, as `node.report.sources.fit_headers` returns them.
    """
    group = ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=RelationshipTypeValues.CONTAINS)
    group.ContentSequence = ContentSequence([*_shared(headers[0]), *(_entry(header) for header in headers)])
    library = ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=RelationshipTypeValues.CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def _shared(header: Dataset) -> Iterator[ContentItem]:
    """Yield what holds for every image of the series: TID 1602 and TID 1604."""
    yield CodeContentItem(codes.DCM.Modality, codes.cid29.ComputedTomography, _CONTEXT)
    yield UIDRefContentItem(codes.DCM.FrameOfReferenceUID, header.FrameOfReferenceUID, _CONTEXT)
    yield _number(codes.DCM.PixelDataRows, header.Rows, _PIXELS)
    yield _number(codes.DCM.PixelDataColumns, header.Columns, _PIXELS)
    between_rows, between_columns = header.PixelSpacing
    yield _number(codes.DCM.HorizontalPixelSpacing, between_columns, codes.UCUM.Millimeter)
    yield _number(codes.DCM.VerticalPixelSpacing, between_rows, codes.UCUM.Millimeter)
    if header.get("SliceThickness"):
        yield _number(codes.DCM.SliceThickness, header.SliceThickness, codes.UCUM.Millimeter)
    names = (
        codes.DCM.ImageOrientationPatientRowX,
        codes.DCM.ImageOrientationPatientRowY,
        codes.DCM.ImageOrientationPatientRowZ,
        codes.DCM.ImageOrientationPatientColumnX,
        codes.DCM.ImageOrientationPatientColumnY,
        codes.DCM.ImageOrientationPatientColumnZ,
    )
    for name, cosine in zip(names, header.ImageOrientationPatient, strict=True):
        yield _number(name, cosine, _DIRECTION_COSINE)


def _entry(header: Dataset) -> ImageContentItem:
    entry = ImageContentItem(
        SOURCE,
        referenced_sop_class_uid=header.SOPClassUID,
        referenced_sop_instance_uid=header.SOPInstanceUID,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
    names = (codes.DCM.ImagePositionPatientX, codes.DCM.ImagePositionPatientY, codes.DCM.ImagePositionPatientZ)
    entry.ContentSequence = ContentSequence(
        [_number(n, v, codes.UCUM.Millimeter) for n, v in zip(names, header.ImagePositionPatient, strict=True)]
    )
    return entry


def _number(name: Code, value: float, unit: Code) -> NumContentItem:
    return NumContentItem(name, value, unit, relationship_type=_CONTEXT)
