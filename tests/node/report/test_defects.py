"""Every seeded defect is caught, and by its name. Most of them pass every public validator."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.dicom.datasets import PseudonymousDataset
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import derive_uid
from node.report.checker import check
from tests.node.report.conftest import Results
from tests.node.report.synthetic import Study, as_bytes

Tamper = Callable[[Dataset], object]


def groups(sr: Dataset) -> list[Dataset]:
    return list(next(i for i in sr.ContentSequence if _meaning(i) == "Imaging Measurements").ContentSequence)


def _meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def item(sr: Dataset, group: int, meaning: str) -> Dataset:
    """The liver's groups are 0 and 1, those of lesion n are 3n-1, 3n and 3n+1."""
    return next(i for i in groups(sr)[group].ContentSequence if _meaning(i) == meaning)


def statement(sr: Dataset, start: str) -> Dataset:
    container = next(i for i in sr.ContentSequence if _meaning(i) == "Qualitative Evaluations")
    return next(i for i in container.ContentSequence if str(i.get("TextValue", _meaning(i))).startswith(start))


def library(sr: Dataset) -> Dataset:
    return next(i for i in sr.ContentSequence if _meaning(i) == "Image Library").ContentSequence[0]


def remove(sequence: list[Dataset], condition: Callable[[Dataset], bool]) -> None:
    for index in [k for k, entry in enumerate(sequence) if condition(entry)][::-1]:
        del sequence[index]


def flip(seg: Dataset, axis: int) -> None:
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    bits = np.packbits(np.flip(frames, axis).ravel(), bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)


def flip_one_bit(seg: Dataset) -> None:
    data = bytearray(seg.PixelData)
    data[len(data) // 2] ^= 0b100
    seg.PixelData = bytes(data)


def shift_frames(seg: Dataset, by: float) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        x, y, z = position.ImagePositionPatient
        position.ImagePositionPatient = [x + by, y, z]


def swap_positions(seg: Dataset) -> None:
    first, second = seg.PerFrameFunctionalGroupsSequence[3:5]
    first.PlanePositionSequence, second.PlanePositionSequence = (
        second.PlanePositionSequence,
        first.PlanePositionSequence,
    )
    first.DerivationImageSequence, second.DerivationImageSequence = (
        second.DerivationImageSequence,
        first.DerivationImageSequence,
    )


def drop_last_frame(seg: Dataset) -> None:
    count = seg.NumberOfFrames - 1
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)[:count]
    bits = np.packbits(frames.ravel(), bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)
    seg.NumberOfFrames = count
    del seg.PerFrameFunctionalGroupsSequence[-1]


def set_value(sr: Dataset, group: int, meaning: str, value: float) -> None:
    measured = item(sr, group, meaning).MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = str(value), value


def line(sr: Dataset, meaning: str = "Long axis") -> Dataset:
    return next(i for i in item(sr, 4, meaning).ContentSequence if i.ValueType == "SCOORD")


def move(scoord: Dataset, by: float) -> None:
    scoord.GraphicData = [v + by for v in scoord.GraphicData]


def code(target: Dataset, value: str, scheme: str, meaning: str) -> None:
    target.CodeValue, target.CodingSchemeDesignator, target.CodeMeaning = value, scheme, meaning


SEG_DEFECTS: dict[str, tuple[str, Tamper]] = {
    "frames mirrored": ("wrong-voxels", lambda seg: flip(seg, 2)),
    "frames upside down": ("wrong-voxels", lambda seg: flip(seg, 1)),
    "frames in reverse order": ("wrong-voxels", lambda seg: flip(seg, 0)),
    "one voxel changed": ("wrong-voxels", flip_one_bit),
    "frames shifted by a pixel": ("wrong-position", lambda seg: shift_frames(seg, 0.7)),
    "two frames exchanged": ("wrong-voxels", swap_positions),
    "a frame names another image": (
        "wrong-position",
        lambda seg: setattr(
            seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0],
            "ReferencedSOPInstanceUID",
            seg.PerFrameFunctionalGroupsSequence[1]
            .DerivationImageSequence[0]
            .SourceImageSequence[0]
            .ReferencedSOPInstanceUID,
        ),
    ),
    "a frame is missing": ("wrong-voxels", drop_last_frame),
    "pixel data cut short": ("unreadable", lambda seg: setattr(seg, "PixelData", seg.PixelData[:-4])),
    "a frame of another segment": (
        "wrong-position",
        lambda seg: setattr(
            seg.PerFrameFunctionalGroupsSequence[-1].SegmentIdentificationSequence[0], "ReferencedSegmentNumber", 3
        ),
    ),
    "a frame of no segment": (
        "wrong-segments",
        lambda seg: setattr(
            seg.PerFrameFunctionalGroupsSequence[-1].SegmentIdentificationSequence[0], "ReferencedSegmentNumber", 9
        ),
    ),
    "frame of reference of the SEG": (
        "wrong-frame-of-reference",
        lambda seg: setattr(seg, "FrameOfReferenceUID", "1.2.3"),
    ),
    "pixel spacing of the SEG": (
        "wrong-grid",
        lambda seg: setattr(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing", [0.7, 0.8]),
    ),
    "slice thickness of the SEG": (
        "wrong-grid",
        lambda seg: setattr(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "SliceThickness", "5"),
    ),
    "orientation of the SEG": (
        "wrong-grid",
        lambda seg: setattr(
            seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
            "ImageOrientationPatient",
            [1, 0, 0, 0, -1, 0],
        ),
    ),
    "tracking UID in the SEG": (
        "wrong-tracking",
        lambda seg: setattr(seg.SegmentSequence[1], "TrackingUID", "1.2.3"),
    ),
    "a segment too few": ("wrong-segments", lambda seg: seg.SegmentSequence.pop()),
    "a lesion coded as tumour": (
        "wrong-code",
        lambda seg: code(seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0], "108369006", "SCT", "Neoplasm"),
    ),
    "no algorithm in the SEG": (
        "no-algorithm-identification",
        lambda seg: delattr(seg.SegmentSequence[2], "SegmentationAlgorithmIdentificationSequence"),
    ),
    "a segment said to be manual": (
        "no-algorithm-identification",
        lambda seg: setattr(seg.SegmentSequence[2], "SegmentAlgorithmType", "MANUAL"),
    ),
    "other weights in the SEG": (
        "no-algorithm-identification",
        lambda seg: setattr(
            seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0],
            "AlgorithmParameters",
            "threshold=0.5",
        ),
    ),
    "disclaimer of the SEG": ("no-disclaimer", lambda seg: setattr(seg, "SeriesDescription", "Liver")),
    "source series of the SEG": (
        "dangling-reference",
        lambda seg: setattr(seg.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"),
    ),
    "source image of the SEG": (
        "dangling-reference",
        lambda seg: setattr(
            seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0], "ReferencedSOPInstanceUID", "1.2.3"
        ),
    ),
    "patient of the SEG": ("wrong-patient", lambda seg: setattr(seg, "PatientID", "PHANTOM-2")),
    "study of the SEG": ("wrong-study", lambda seg: setattr(seg, "StudyInstanceUID", "1.2.3")),
    "a fractional SEG": ("wrong-kind", lambda seg: setattr(seg, "SegmentationType", "FRACTIONAL")),
    "an attribute that the standard requires": (
        "invalid-object",
        lambda seg: delattr(seg, "DimensionIndexSequence"),
    ),
    "a value that the standard does not know": (
        "invalid-object",
        lambda seg: setattr(seg, "LossyImageCompression", "02"),
    ),
}

SR_DEFECTS: dict[str, tuple[str, Tamper]] = {
    "patient of the SR": ("wrong-patient", lambda sr: setattr(sr, "PatientName", "PHANTOM^OTHER")),
    "study of the SR": ("wrong-study", lambda sr: setattr(sr, "StudyInstanceUID", "1.2.3")),
    "the SR in the source's series": (
        "wrong-study",
        lambda sr: setattr(sr, "SeriesInstanceUID", derive_uid("phantom", "series")),
    ),
    "a report said to be verified": ("wrong-document", lambda sr: setattr(sr, "VerificationFlag", "VERIFIED")),
    "no template": ("wrong-document", lambda sr: delattr(sr, "ContentTemplateSequence")),
    "another title": (
        "wrong-code",
        lambda sr: code(sr.ConceptNameCodeSequence[0], "126001", "DCM", "Oncology Measurement Report"),
    ),
    "disclaimer of the SR": ("no-disclaimer", lambda sr: setattr(sr, "SeriesDescription", "Liver")),
    "disclaimer in the text": (
        "no-disclaimer",
        lambda sr: setattr(statement(sr, "UNVERIFIED"), "TextValue", "Report"),
    ),
    "missing evidence": (
        "wrong-evidence",
        lambda sr: (
            sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence.pop()
        ),
    ),
    "evidence in another series": (
        "wrong-evidence",
        lambda sr: setattr(
            sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"
        ),
    ),
    "an image missing in the library": ("wrong-image-library", lambda sr: library(sr).ContentSequence.pop()),
    "no library": (
        "wrong-image-library",
        lambda sr: remove(sr.ContentSequence, lambda i: _meaning(i) == "Image Library"),
    ),
    "a position in the library": (
        "wrong-image-library",
        lambda sr: setattr(
            library(sr).ContentSequence[-1].ContentSequence[2].MeasuredValueSequence[0], "NumericValue", "1"
        ),
    ),
    "a note left out": (
        "wrong-statements",
        lambda sr: setattr(statement(sr, "[phase"), "TextValue", "nothing to say"),
    ),
    "something found said to be nothing": (
        "wrong-code",
        lambda sr: code(
            statement(sr, "CAD").ConceptCodeSequence[0],
            "111241",
            "DCM",
            "All algorithms succeeded; without findings",
        ),
    ),
    "no tracking UID": (
        "wrong-tracking",
        lambda sr: remove(groups(sr)[2].ContentSequence, lambda i: _meaning(i) == "Tracking Unique Identifier"),
    ),
    "tracking UID in the SR": (
        "wrong-tracking",
        lambda sr: setattr(item(sr, 3, "Tracking Unique Identifier"), "UID", "1.2.3"),
    ),
    "tracking name": ("wrong-tracking", lambda sr: setattr(item(sr, 3, "Tracking Identifier"), "TextValue", "L09")),
    "a group twice": (
        "wrong-groups",
        lambda sr: next(i for i in sr.ContentSequence if _meaning(i) == "Imaging Measurements").ContentSequence.append(
            groups(sr)[2]
        ),
    ),
    "a group missing": (
        "wrong-groups",
        lambda sr: next(i for i in sr.ContentSequence if _meaning(i) == "Imaging Measurements").ContentSequence.pop(3),
    ),
    "a finding coded as tumour": (
        "wrong-code",
        lambda sr: code(item(sr, 2, "Finding").ConceptCodeSequence[0], "108369006", "SCT", "Neoplasm"),
    ),
    "a site missing": (
        "wrong-groups",
        lambda sr: remove(groups(sr)[2].ContentSequence, lambda i: "site" in _meaning(i).lower()),
    ),
    "code and meaning that differ": (
        "wrong-code",
        lambda sr: setattr(item(sr, 2, "Volume").ConceptNameCodeSequence[0], "CodeMeaning", "Area"),
    ),
    "a wrong number": ("wrong-values", lambda sr: set_value(sr, 2, "Volume", 0.881)),
    "a negative volume": ("wrong-values", lambda sr: set_value(sr, 2, "Volume", -0.88)),
    "two numbers for one": (
        "wrong-values",
        lambda sr: setattr(item(sr, 2, "Volume").MeasuredValueSequence[0], "FloatingPointValue", 1.0),
    ),
    "a bogus unit": (
        "wrong-code",
        lambda sr: code(
            item(sr, 2, "Volume").MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0], "ccm", "UCUM", "ccm"
        ),
    ),
    "a value missing": (
        "wrong-values",
        lambda sr: setattr(item(sr, 2, "Volume"), "MeasuredValueSequence", []),
    ),
    "a measurement missing": (
        "wrong-values",
        lambda sr: remove(groups(sr)[2].ContentSequence, lambda i: _meaning(i) == "Volume"),
    ),
    "a mean that says not how": (
        "wrong-values",
        lambda sr: delattr(item(sr, 2, "Attenuation Coefficient"), "ContentSequence"),
    ),
    "no algorithm in the SR": (
        "no-algorithm-identification",
        lambda sr: remove(groups(sr)[4].ContentSequence, lambda i: _meaning(i).startswith("Algorithm")),
    ),
    "a segment number": (
        "wrong-groups",
        lambda sr: setattr(item(sr, 2, "Referenced Segment").ReferencedSOPSequence[0], "ReferencedSegmentNumber", 3),
    ),
    "another SEG": (
        "dangling-reference",
        lambda sr: setattr(
            item(sr, 2, "Referenced Segment").ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"
        ),
    ),
    "source series of a group": (
        "dangling-reference",
        lambda sr: setattr(item(sr, 2, "Source Series for Segmentation"), "UID", "1.2.3"),
    ),
    "a wrong relationship": (
        "wrong-relationship",
        lambda sr: setattr(line(sr), "RelationshipType", "CONTAINS"),
    ),
    "a contour outside the image": ("wrong-region", lambda sr: move(item(sr, 3, "Image Region"), 60.0)),
    "a contour moved by a pixel": ("wrong-region", lambda sr: move(item(sr, 3, "Image Region"), 1.0)),
    "a contour not closed": (
        "wrong-region",
        lambda sr: setattr(
            item(sr, 3, "Image Region"), "GraphicData", list(item(sr, 3, "Image Region").GraphicData)[:-2]
        ),
    ),
    "a contour that a viewer takes for its rectangle": (
        "wrong-region",
        lambda sr: setattr(item(sr, 9, "Image Region"), "GraphicData", [40, 20, 41, 20, 41, 21, 40, 21, 40, 20]),
    ),
    "a malformed polyline": (
        "wrong-region",
        lambda sr: setattr(
            item(sr, 3, "Image Region"), "GraphicData", list(item(sr, 3, "Image Region").GraphicData)[:-1]
        ),
    ),
    "a contour on another image": (
        "wrong-region",
        lambda sr: setattr(
            item(sr, 3, "Image Region").ContentSequence[0].ReferencedSOPSequence[0],
            "ReferencedSOPInstanceUID",
            library(sr).ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
        ),
    ),
    "a line outside the image": ("wrong-region", lambda sr: move(line(sr), 60.0)),
    "a line beside the lesion": ("wrong-diameter", lambda sr: move(line(sr), 3.0)),
    "a line of another length": (
        "wrong-diameter",
        lambda sr: setattr(line(sr), "GraphicData", [line(sr).GraphicData[0] + 0.2, *list(line(sr).GraphicData)[1:]]),
    ),
    "a line of three points": (
        "wrong-diameter",
        lambda sr: setattr(line(sr), "GraphicData", [*line(sr).GraphicData, *list(line(sr).GraphicData)[:2]]),
    ),
    "a diameter without its line": (
        "wrong-diameter",
        lambda sr: delattr(item(sr, 4, "Short axis"), "ContentSequence"),
    ),
    "a study date that is not the source's": (
        "inconsistent-with-study",
        lambda sr: setattr(sr, "StudyDate", "20200204"),
    ),
}


@pytest.mark.verifies("SRS-099", "SRS-100", level="integration", technique="fault-injection")
@pytest.mark.parametrize("name", [*(f"SEG: {n}" for n in SEG_DEFECTS), *(f"SR: {n}" for n in SR_DEFECTS)])
def test_a_seeded_defect_is_caught(phantom: Study, results: Results, name: str) -> None:
    which, _, what = name.partition(": ")
    defect, tamper = {"SEG": SEG_DEFECTS, "SR": SR_DEFECTS}[which][what]
    index = ["SEG", "SR"].index(which)
    tampered = dcmread(io.BytesIO(as_bytes(results[index])))
    tamper(tampered)
    given = list(results)
    given[index] = PseudonymousDataset(tampered)
    with pytest.raises(Refused) as refused:
        check(*given, phantom.sources, reading=phantom.reading, liver=phantom.liver, lesions=phantom.lesions)
    assert refused.value.reason is Reason.CHECK_FAILED
    assert refused.value.text.partition(": ")[0] == defect
