"""What the PACS got back, read by a path of its own: the page shows what the objects say, not what the node meant.

Nothing here comes from the node's reporting code. A value that a report lacks stays None and is shown as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from highdicom.seg import Segmentation, segread
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

# Concepts by (Code Value, Coding Scheme Designator): PS3.16 annex D (DCM) and SNOMED CT (SCT).
_MEASUREMENT_GROUP = ("125007", "DCM")
_TRACKING_ID = ("112039", "DCM")
_TRACKING_UID = ("112040", "DCM")
_REFERENCED_SEGMENT = ("121191", "DCM")
_VOLUME = ("118565006", "SCT")
_LONG_AXIS = ("103339001", "SCT")
_SHORT_AXIS = ("103340004", "SCT")
_ATTENUATION = ("112031", "DCM")
_ATTENUATION_SD = ("112183", "DCM")
_DERIVATION = ("121401", "DCM")
_MEAN = ("373098007", "SCT")
_STANDARD_DEVIATION = ("386136009", "SCT")
_ALGORITHM_NAME = ("111001", "DCM")
_ALGORITHM_VERSION = ("111003", "DCM")
_ALGORITHM_PARAMETERS = ("111002", "DCM")
_VOLUME_RATIO = ("113288", "DCM")
_COMMENT = ("121106", "DCM")
_IMAGING_MEASUREMENTS = ("126010", "DCM")
_LIVER = ("10200004", "SCT")

_MILLILITRES = {"cm3": 1.0, "mL": 1.0, "ml": 1.0, "mm3": 1e-3}

Code = tuple[str, str]


class ResultUnreadableError(ValueError):
    """SEG or SR lack what the page must show; the text says what, without identity."""


@dataclass(frozen=True)
class Axis:
    """A diameter as the SR draws it.

    Attributes
    ----------
    length_mm
        Length in mm.
    start, end
        ``(row, column)``, centres of pixels at whole numbers.
    image
        SOP Instance UID of the image that it lies on.
    """

    length_mm: float
    start: tuple[float, float]
    end: tuple[float, float]
    image: str


@dataclass(frozen=True)
class Finding:
    """A lesion, or the liver, as the SR reports it and the SEG draws it.

    Attributes
    ----------
    tracking_id, tracking_uid
        Its name and its UID, the same in SEG and SR.
    segment
        Its segment number in the SEG.
    volume_ml, hu_mean, hu_sd
        Volume in ml; mean and standard deviation in Hounsfield units.
    long_axis, short_axis
        Its diameters.
    """

    tracking_id: str
    tracking_uid: str
    segment: int
    volume_ml: float | None
    hu_mean: float | None
    hu_sd: float | None
    long_axis: Axis | None
    short_axis: Axis | None


@dataclass(frozen=True)
class Results:
    """SEG and SR of one study, put together.

    Attributes
    ----------
    liver, lesions
        The findings; lesions in the order of the SR.
    burden_percent
        Lesions in % of the liver's volume, as the SR says.
    notes
        Remarks of the SR, in its words.
    algorithm, version
        Which algorithm the SR names.
    parameters
        Its parameters as the SR lists them, among them the hashes of the weights.
    verified
        Whether someone has verified the report.
    images
        SOP Instance UIDs of the images that the SEG was made from.
    """

    liver: Finding
    lesions: tuple[Finding, ...]
    burden_percent: float | None
    notes: tuple[str, ...]
    algorithm: str
    version: str
    parameters: tuple[str, ...]
    verified: bool
    images: tuple[str, ...]
    _seg: Segmentation

    def mask(self, segments: Iterable[int], images: Sequence[str]) -> NDArray[np.bool_]:
        """Return where any of the segments is drawn.

        Parameters
        ----------
        segments
            Segment numbers.
        images
            SOP Instance UIDs of the source images.

        Returns
        -------
        ndarray
            ``(image, row, column)``.
        """
        pixels = self._seg.get_pixels_by_source_instance(
            list(images),
            segment_numbers=list(segments),
            assert_missing_frames_are_empty=True,
            ignore_spatial_locations=True,
        )
        return np.asarray(pixels.any(axis=-1), dtype=np.bool_)


def read_results(files: Iterable[Path]) -> Results:
    """Read the SEG and the SR of one study.

    Parameters
    ----------
    files
        The files; exactly one SEG and one SR.

    Raises
    ------
    ResultUnreadableError
        If there is another number of them, or the two do not fit together.
    """
    by_modality: dict[str, list[Path]] = {"SEG": [], "SR": []}
    for path in files:
        modality = str(dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality"))
        by_modality.setdefault(modality, []).append(path)
    counts = {modality: len(paths) for modality, paths in by_modality.items()}
    if counts != {"SEG": 1, "SR": 1}:
        raise ResultUnreadableError(f"expected one SEG and one SR, found {counts}")
    return _join(segread(by_modality["SEG"][0]), dcmread(by_modality["SR"][0]))


def _join(seg: Segmentation, report: Dataset) -> Results:
    segments = {str(item.TrackingUID): item for item in seg.SegmentSequence if "TrackingUID" in item}
    findings: dict[str, Finding] = {}
    groups_by_uid = _groups(report)
    for uid, groups in groups_by_uid.items():
        if uid not in segments:
            raise ResultUnreadableError("the SR measures something that the SEG does not draw")
        findings[uid] = _finding(uid, int(segments[uid].SegmentNumber), groups)
    organs = [uid for uid in findings if _code(segments[uid].SegmentedPropertyTypeCodeSequence[0]) == _LIVER]
    if len(organs) != 1:
        raise ResultUnreadableError(f"expected one liver in SEG and SR, found {len(organs)}")
    if missing := segments.keys() - findings.keys():
        raise ResultUnreadableError(f"{len(missing)} segments of the SEG are not measured in the SR")
    texts = _texts(report)
    return Results(
        liver=findings.pop(organs[0]),
        lesions=tuple(findings.values()),
        burden_percent=_burden(groups_by_uid[organs[0]]),
        notes=_notes(report),
        algorithm=next(iter(texts.get(_ALGORITHM_NAME, ())), ""),
        version=next(iter(texts.get(_ALGORITHM_VERSION, ())), ""),
        parameters=tuple(dict.fromkeys(texts.get(_ALGORITHM_PARAMETERS, ()))),
        verified=report.get("VerificationFlag") == "VERIFIED",
        images=_source_images(seg),
        _seg=seg,
    )


def _source_images(seg: Dataset) -> tuple[str, ...]:
    series = (item for item in seg.get("ReferencedSeriesSequence") or ())
    return tuple(str(i.ReferencedSOPInstanceUID) for item in series for i in item.ReferencedInstanceSequence)


def _finding(uid: str, segment: int, groups: Sequence[Dataset]) -> Finding:
    """Put together what the groups of one tracking UID say; TID 1410, 1411 and 1501 each say a part."""
    numbers: dict[Code, Dataset] = {}
    attenuation: dict[Code, Dataset] = {}
    tracking_id = ""
    for item in (item for group in groups for item in _children(group)):
        name = _name(item)
        if name == _TRACKING_ID:
            tracking_id = str(item.TextValue)
        elif name == _REFERENCED_SEGMENT and _stated_segment(item) != segment:
            raise ResultUnreadableError("SEG and SR give one finding different segments")
        elif item.ValueType == "NUM" and name == _ATTENUATION:
            attenuation[_derivation(item)] = item
        elif item.ValueType == "NUM":
            numbers.setdefault(name, item)
    return Finding(
        tracking_id=tracking_id,
        tracking_uid=uid,
        segment=segment,
        volume_ml=_volume(numbers.get(_VOLUME)),
        hu_mean=_value(attenuation.get(_MEAN)),
        hu_sd=_value(numbers.get(_ATTENUATION_SD) or attenuation.get(_STANDARD_DEVIATION)),
        long_axis=_axis(numbers.get(_LONG_AXIS)),
        short_axis=_axis(numbers.get(_SHORT_AXIS)),
    )


def _groups(report: Dataset) -> Mapping[str, list[Dataset]]:
    """Return the measurement groups by tracking UID, in the order of the report."""
    groups: dict[str, list[Dataset]] = {}
    for item in _walk(report):
        if _name(item) == _MEASUREMENT_GROUP:
            uids = [str(child.UID) for child in _children(item) if _name(child) == _TRACKING_UID]
            if len(uids) != 1:
                raise ResultUnreadableError("a measurement group of the SR has no tracking UID")
            groups.setdefault(uids[0], []).append(item)
    return groups


def _stated_segment(item: Dataset) -> int:
    number = item.ReferencedSOPSequence[0].ReferencedSegmentNumber
    return int(number[0] if isinstance(number, Sequence) else number)


def _value(item: Dataset | None) -> float | None:
    if item is None or not item.MeasuredValueSequence:
        return None
    return float(item.MeasuredValueSequence[0].NumericValue)


def _unit(item: Dataset) -> str:
    return str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue)


def _volume(item: Dataset | None) -> float | None:
    value = _value(item)
    if item is None or value is None:
        return None
    if _unit(item) not in _MILLILITRES:
        raise ResultUnreadableError(f"a volume in {_unit(item)}")
    return value * _MILLILITRES[_unit(item)]


def _axis(item: Dataset | None) -> Axis | None:
    """Read a length and the two-point polyline that it was measured along (PS3.3 C.18.6.1.2)."""
    value = _value(item)
    if item is None or value is None:
        return None
    if _unit(item) != "mm":
        raise ResultUnreadableError(f"a diameter in {_unit(item)}")
    for line in _children(item):
        if line.ValueType == "SCOORD" and len(line.GraphicData) == 4:
            # Image coordinates count columns first, from the outer corner of the first pixel.
            column_0, row_0, column_1, row_1 = (float(v) - 0.5 for v in line.GraphicData)
            image = next(child for child in _children(line) if child.ValueType == "IMAGE")
            uid = str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            return Axis(value, (row_0, column_0), (row_1, column_1), uid)
    raise ResultUnreadableError("a diameter of the SR has no line on an image")


def _notes(report: Dataset) -> tuple[str, ...]:
    """Return the comments on the report as a whole, those of single findings left out."""
    return tuple(
        str(item.TextValue)
        for container in _children(report)
        if _name(container) != _IMAGING_MEASUREMENTS
        for item in (container, *_walk(container))
        if item.ValueType == "TEXT" and _name(item) == _COMMENT
    )


def _burden(groups: Sequence[Dataset]) -> float | None:
    ratios = (item for group in groups for item in _children(group) if _name(item) == _VOLUME_RATIO)
    return _value(next(ratios, None))


def _texts(report: Dataset) -> dict[Code, list[str]]:
    texts: dict[Code, list[str]] = {}
    for item in _walk(report):
        if item.ValueType == "TEXT":
            texts.setdefault(_name(item), []).append(str(item.TextValue))
    return texts


def _walk(item: Dataset) -> Iterator[Dataset]:
    """Yield everything below an item, depth first."""
    for child in _children(item):
        yield child
        yield from _walk(child)


def _children(item: Dataset) -> Sequence[Dataset]:
    children: Sequence[Dataset] = item.get("ContentSequence") or ()
    return children


def _name(item: Dataset) -> Code:
    names = item.get("ConceptNameCodeSequence")
    return _code(names[0]) if names else ("", "")


def _derivation(item: Dataset) -> Code:
    for child in _children(item):
        if _name(child) == _DERIVATION:
            return _code(child.ConceptCodeSequence[0])
    return "", ""


def _code(item: Dataset) -> Code:
    return str(item.get("CodeValue", "")), str(item.get("CodingSchemeDesignator", ""))
