"""Check a SEG against the label maps and the source images, by an independent path.

The SEG is read with pydicom and unpacked here, bit by bit, and each frame is put where its own position says: that
highdicom reads back what highdicom wrote proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from node.dicom.findings import Reading
from node.report import codes
from node.report.check_codes import check_code
from node.report.defects import Defect, fail, require
from node.report.equipment import UNVERIFIED, algorithm_parameters, ascii_text
from node.report.expected import Expected, Series, check_identity, same_values
from node.report.values import LIVER_SEGMENT, segment_number

_POSITION_TOLERANCE_MM = 0.01
_SPACING_TOLERANCE_MM = 1e-4
_COSINE_TOLERANCE = 1e-4


def check_seg(seg: Dataset, expected: Expected) -> None:
    """Compare a SEG with what it shall say.

    Parameters
    ----------
    seg
        The SEG as it was read from its bytes.
    expected
        What it must say.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED` with the `Defect`.
    """
    series = expected.series
    require(
        seg.get("SOPClassUID") == SegmentationStorage and seg.get("SegmentationType") == "BINARY",
        Defect.WRONG_KIND,
        "not a binary segmentation",
    )
    check_identity(seg, series, "SEG")
    require(UNVERIFIED in seg.get("SeriesDescription", ""), Defect.NO_DISCLAIMER, "the SEG's series does not say it")
    _check_references(seg, series)
    _check_segments(seg, expected.reading)
    _check_grid(seg, series)
    _check_voxels(seg, expected)


def _check_references(seg: Dataset, series: Series) -> None:
    stated = [str(item.get("SeriesInstanceUID", "")) for item in seg.get("ReferencedSeriesSequence", [])]
    require(
        stated == [str(series.first.SeriesInstanceUID)],
        Defect.DANGLING_REFERENCE,
        "the SEG refers to another series",
    )
    known = {uid: str(h.SOPClassUID) for uid, h in zip(series.uids, series.headers, strict=True)}
    for item in _referencing_items(seg):
        uid, sop_class = str(item.ReferencedSOPInstanceUID), str(item.get("ReferencedSOPClassUID", ""))
        require(known.get(uid) == sop_class, Defect.DANGLING_REFERENCE, "the SEG refers to an image that is no source")


def _referencing_items(dataset: Dataset) -> Iterator[Dataset]:
    """Yield every item, at any depth, that refers to an instance."""
    if "ReferencedSOPInstanceUID" in dataset:
        yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _referencing_items(item)


def _check_segments(seg: Dataset, reading: Reading) -> None:
    items = list(seg.get("SegmentSequence", []))
    expected = [(reading.liver.tracking_uid, "Liver")]
    expected += [(lesion.tracking_uid, ascii_text(lesion.tracking_id)) for lesion in reading.lesions]
    numbers = [item.get("SegmentNumber") for item in items]
    require(
        numbers == list(range(1, len(expected) + 1)), Defect.SEGMENTS, f"{len(numbers)} for {len(expected)} segments"
    )
    for item, (uid, name) in zip(items, expected, strict=True):
        number = item.SegmentNumber
        same = (item.get("TrackingUID"), item.get("TrackingID")) == (uid, name)
        require(same, Defect.TRACKING, f"segment {number} is tracked as something else than the reading's")
        is_liver = number == LIVER_SEGMENT
        category, kind = (
            (codes.ANATOMICAL_STRUCTURE, codes.LIVER) if is_liver else (codes.ABNORMAL_STRUCTURE, codes.LESION)
        )
        check_code(item.get("SegmentedPropertyCategoryCodeSequence"), category, f"segment {number}'s category")
        check_code(item.get("SegmentedPropertyTypeCodeSequence"), kind, f"segment {number}'s type")
        if not is_liver:
            check_code(item.get("AnatomicRegionSequence"), codes.LIVER, f"segment {number}'s region")
        require(
            item.get("SegmentAlgorithmType") == "AUTOMATIC", Defect.NO_ALGORITHM, f"segment {number} says not AUTOMATIC"
        )
        _check_algorithm(item, reading, number)
        require(
            UNVERIFIED in item.get("SegmentDescription", ""), Defect.NO_DISCLAIMER, f"segment {number} does not say it"
        )


def _check_algorithm(item: Dataset, reading: Reading, number: int) -> None:
    sequence = item.get("SegmentationAlgorithmIdentificationSequence") or []
    require(len(sequence) == 1, Defect.NO_ALGORITHM, f"segment {number} names no algorithm")
    stated = sequence[0]
    check_code(stated.get("AlgorithmFamilyCodeSequence"), codes.ARTIFICIAL_INTELLIGENCE, f"segment {number}'s family")
    model = reading.model
    same = (stated.get("AlgorithmName"), stated.get("AlgorithmVersion")) == (
        ascii_text(model.name),
        ascii_text(model.version),
    )
    parameters = str(stated.get("AlgorithmParameters", "")).split("; ")
    require(
        same and set(algorithm_parameters(model)) <= set(parameters),
        Defect.NO_ALGORITHM,
        f"segment {number} names another algorithm than the reading",
    )


def _check_grid(seg: Dataset, series: Series) -> None:
    first = series.first
    frame_of_reference = seg.get("FrameOfReferenceUID")
    require(frame_of_reference, Defect.FRAME_OF_REFERENCE, "the SEG has no frame of reference")
    # A source without one was given one; then nothing can be compared.
    if first.get("FrameOfReferenceUID"):
        require(
            frame_of_reference == first.FrameOfReferenceUID,
            Defect.FRAME_OF_REFERENCE,
            "the SEG lies in another frame of reference than its source",
        )
    require((seg.get("Rows"), seg.get("Columns")) == series.shape[1:], Defect.GRID, "the SEG's frames differ in size")
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures, orientation = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
    same_spacing = same_values(measures.PixelSpacing, first.PixelSpacing, _SPACING_TOLERANCE_MM)
    require(same_spacing, Defect.GRID, "the SEG's pixel spacing is not the source's")
    same_axes = same_values(orientation.ImageOrientationPatient, first.ImageOrientationPatient, _COSINE_TOLERANCE)
    require(same_axes, Defect.GRID, "the SEG's orientation is not the source's")
    slices = series.shape[0]
    if slices > 1:
        distance = float(np.linalg.norm(series.positions[-1] - series.positions[0])) / (slices - 1)
        for keyword in ("SliceThickness", "SpacingBetweenSlices"):
            same = same_values(measures.get(keyword), distance, _POSITION_TOLERANCE_MM)
            require(same, Defect.GRID, f"the SEG's {keyword} is not the distance of the source's slices")


def _check_voxels(seg: Dataset, expected: Expected) -> None:
    liver, lesions, series = expected.liver, expected.lesions, expected.series
    require(liver.shape == lesions.shape == series.shape, Defect.GRID, "the label maps differ from the source in size")
    last = segment_number(len(expected.reading.lesions))
    seen: set[tuple[int, int]] = set()
    for frame, (number, k) in zip(_frames(seg), _frame_places(seg, series), strict=True):
        require(1 <= number <= last, Defect.SEGMENTS, f"a frame of segment {number}, which does not exist")
        require((number, k) not in seen, Defect.POSITION, f"two frames of segment {number} on slice {k + 1}")
        seen.add((number, k))
        mask = liver[k] if number == LIVER_SEGMENT else lesions[k] == number - LIVER_SEGMENT
        wrong = int(np.count_nonzero(frame != mask))
        require(not wrong, Defect.VOXELS, f"{wrong} voxels of segment {number} differ on slice {k + 1}")
    needed = {(LIVER_SEGMENT, int(k)) for k in np.flatnonzero(liver.any(axis=(1, 2)))}
    for k in np.flatnonzero(lesions.any(axis=(1, 2))).tolist():
        needed |= {(segment_number(int(number)), k) for number in np.unique(lesions[k]) if number}
    missing = needed - seen
    require(not missing, Defect.VOXELS, f"{len(missing)} frames are missing")


def _frames(seg: Dataset) -> Iterator[NDArray[np.bool_]]:
    """Yield the frames: one bit a pixel, the first in the lowest bit, frames not aligned to bytes (PS3.5 8.1.1)."""
    count, rows, columns = int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns)
    packed = np.frombuffer(seg.PixelData, dtype=np.uint8)
    size = rows * columns
    needed = -(-count * size // 8)
    require(needed <= packed.size <= needed + 1, Defect.UNREADABLE, "the SEG's pixel data has the wrong length")
    for index in range(count):
        start, stop = index * size, (index + 1) * size
        bits = np.unpackbits(packed[start // 8 : -(-stop // 8)], bitorder="little")
        yield bits[start % 8 : start % 8 + size].reshape(rows, columns).astype(bool)


def _frame_places(seg: Dataset, series: Series) -> Iterator[tuple[int, int]]:
    """Yield each frame's segment number and the slice that it lies on."""
    groups = seg.get("PerFrameFunctionalGroupsSequence") or []
    require(len(groups) == seg.NumberOfFrames, Defect.UNREADABLE, "the SEG's frames are not all described")
    for index, group in enumerate(groups, start=1):
        position = np.array([float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient])
        distances = np.abs(series.positions - position).max(axis=1)
        k = int(distances.argmin())
        if distances[k] > _POSITION_TOLERANCE_MM:
            fail(Defect.POSITION, f"frame {index} lies {distances[k]:.2f} mm off every source image")
        sources = [
            item.ReferencedSOPInstanceUID for d in group.DerivationImageSequence for item in d.SourceImageSequence
        ]
        require(
            sources == [series.uids[k]], Defect.POSITION, f"frame {index} names another image than the one it lies on"
        )
        segment = group.get("SegmentIdentificationSequence")
        if segment is None:  # one segment alone: said once for all frames
            segment = seg.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence
        yield int(segment[0].ReferencedSegmentNumber), k
