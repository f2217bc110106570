"""One CT image as selection sees it: where it lies in the patient, how it is sampled, what it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Note, Reason, Refused
from node.gather.fields import harmless_number, number, numbers, text, texts, whole_number

_PIXEL_FLAWS = frozenset({Reason.NO_PIXEL_DATA, Reason.TRUNCATED})
_MULTI_FRAME = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
# PS3.5 A.4: the syntaxes that lose information whatever the encoder was asked for, and the attribute for the others.
_LOSSY_SYNTAX = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81"})


@dataclass(frozen=True, eq=False)
class CtImage:
    """A single-frame CT image whose needed attributes could be read.

    Attributes
    ----------
    header
        Its header.
    sop_instance_uid, series_uid
        Its own UID and its series'.
    flaw
        NO_PIXEL_DATA or TRUNCATED where the pixels are missing or cut short.
    rows, columns
        Size of the matrix.
    row_axis, column_axis
        LPS unit vectors along which the *column* index (first triplet of Image Orientation) and the *row* index
        (second triplet) increase: PS3.3 C.7.6.2.1.1.
    position
        LPS position in mm of the centre of the first voxel.
    pixel_spacing
        Distance in mm between rows and between columns.
    slope, intercept
        Rescale to Hounsfield units. 1 and 0 where absent: the pixels are then held to what CT looks like.
    thickness, spacing_between, tilt
        Slice Thickness and Spacing Between Slices in mm, Gantry/Detector Tilt in degrees; None where absent or broken.
    instance_number
        None where absent or broken: it only breaks ties.
    """

    header: RealDataset
    sop_instance_uid: str
    series_uid: str
    flaw: Note | None
    rows: int
    columns: int
    row_axis: NDArray[np.float64]
    column_axis: NDArray[np.float64]
    position: NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    slope: float
    intercept: float
    thickness: float | None
    spacing_between: float | None
    tilt: float | None
    instance_number: float | None

    @property
    def dataset(self) -> Dataset:
        """The header's attributes."""
        return self.header.dataset

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """LPS unit vector perpendicular to the image, such that column, row and normal are right-handed."""
        return np.cross(self.row_axis, self.column_axis)

    @cached_property
    def image_type(self) -> tuple[str, ...]:
        """Image Type in capitals. A hint, never evidence: a usable series may call itself DERIVED."""
        return tuple(value.upper() for value in texts(self.dataset, "ImageType"))

    @property
    def is_lossy(self) -> bool:
        """True if the pixels went through an irreversible compression."""
        syntax = text(getattr(self.dataset, "file_meta", Dataset()), "TransferSyntaxUID")
        return text(self.dataset, "LossyImageCompression") == "01" or syntax in _LOSSY_SYNTAX

    def said(self, keyword: str) -> str:
        """Return a text attribute of the header, "" if absent."""
        return text(self.dataset, keyword)


def read_image(header: RealDataset) -> CtImage:
    """Take from a header what selection needs.

    Raises
    ------
    Refused
        NOT_CT, MULTI_FRAME, NO_PIXEL_DATA, NO_GEOMETRY (an attribute is absent) or BAD_ATTRIBUTE (it makes no sense).
    """
    dataset = header.dataset
    _refuse_other_objects(dataset)
    row_axis, column_axis = _orientation(dataset)
    spacing = _needed(dataset, "PixelSpacing", 2)
    if min(spacing) <= 0:
        raise Refused(Reason.BAD_ATTRIBUTE, "PixelSpacing (0028,0030) is not positive.")
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope == 0:
        raise Refused(Reason.BAD_ATTRIBUTE, "RescaleSlope (0028,1053) is 0.")
    return CtImage(
        header=header,
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        flaw=next((note for note in header.notes if note.reason in _PIXEL_FLAWS), None),
        rows=_size(dataset, "Rows"),
        columns=_size(dataset, "Columns"),
        row_axis=row_axis,
        column_axis=column_axis,
        position=np.array(_needed(dataset, "ImagePositionPatient", 3)),
        pixel_spacing=(spacing[0], spacing[1]),
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        thickness=harmless_number(dataset, "SliceThickness") or None,
        spacing_between=harmless_number(dataset, "SpacingBetweenSlices") or None,
        tilt=harmless_number(dataset, "GantryDetectorTilt"),
        instance_number=harmless_number(dataset, "InstanceNumber"),
    )


def _refuse_other_objects(dataset: Dataset) -> None:
    sop_class = text(dataset, "SOPClassUID")
    modality = text(dataset, "Modality")
    if sop_class in _MULTI_FRAME:
        raise Refused(Reason.MULTI_FRAME, "An enhanced multi-frame CT; only single-frame CT images are read.")
    if sop_class != CTImageStorage or modality not in {"CT", ""}:
        raise Refused(Reason.NOT_CT, f"Not a CT image but {_object_name(sop_class)}.")
    if "Rows" not in dataset and "PixelData" not in dataset:
        raise Refused(Reason.NO_PIXEL_DATA, "The object describes no image.")
    if (harmless_number(dataset, "NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTI_FRAME, "Several frames in one CT image; only single-frame CT images are read.")
    if (whole_number(dataset, "SamplesPerPixel") or 1) > 1:
        raise Refused(Reason.NOT_CT, "A colour image, not CT values.")


def _object_name(sop_class: str) -> str:
    """Return the registered name of a SOP class, and no text of the header's own."""
    uid = UID(sop_class)
    return uid.name if uid.type == "SOP Class" else "an object of a private or unknown class"


def _needed(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    values = numbers(dataset, keyword, count)
    if values is None:
        raise Refused(Reason.NO_GEOMETRY, f"{keyword} is missing: the image's place or scale is not known.")
    return values


def _size(dataset: Dataset, keyword: str) -> int:
    value = whole_number(dataset, keyword)
    if value is None or value < 1:
        raise Refused(Reason.BAD_ATTRIBUTE, f"{keyword} is missing or not positive.")
    return value


def _orientation(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two direction cosines, made exactly orthonormal; refuse what is not nearly so (PS3.3 C.7.6.2.1.1)."""
    values = np.array(_needed(dataset, "ImageOrientationPatient", 6))
    row, column = values[:3], values[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(row @ column)) > 0.01:
        raise Refused(
            Reason.BAD_ATTRIBUTE, "ImageOrientationPatient (0020,0037) is not two perpendicular unit vectors."
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)
