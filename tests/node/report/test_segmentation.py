from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

from node.dicom.reasons import Reason, Refused
from node.dicom.volume import LabelMap
from node.report.equipment import Equipment
from node.report.segmentation import make_seg
from tests.node.report.conftest import Results
from tests.node.report.synthetic import EQUIPMENT, MADE_AT, Study, as_bytes, study, with_header, with_results


def make(given: Study, **changes: object):
    return make_seg(
        given.reading, given.liver, given.lesions, given.sources, equipment=EQUIPMENT, made_at=MADE_AT, **changes
    ).dataset


@pytest.mark.verifies("SRS-090", level="integration", technique="oracle")
@pytest.mark.parametrize("kind", [{}, {"oblique": True}, {"descending": True}, {"lesions": 0}, {"lesions": 1}])
def test_every_voxel_lies_where_the_label_map_has_it(kind: dict[str, object]) -> None:
    given = study(**kind)
    seg = dcmread(io.BytesIO(as_bytes(with_results(given)[0])))
    # By patient coordinates: from each frame's own position to the label map's grid and back.
    into_grid = np.linalg.inv(given.lesions.geometry.affine())
    segments = [given.liver, *(given.lesions.labels == n for n in range(1, len(given.reading.lesions) + 1))]
    found = np.zeros((len(segments), *given.liver.shape), bool)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = [*map(float, group.PlanePositionSequence[0].ImagePositionPatient), 1.0]
        k, row, column = (into_grid @ position)[:3]
        assert (row, column) == pytest.approx((0, 0), abs=1e-3)
        assert k == pytest.approx(round(k), abs=1e-3)
        identified = group.get("SegmentIdentificationSequence")
        shared = seg.SharedFunctionalGroupsSequence[0]
        number = (identified or shared.SegmentIdentificationSequence)[0].ReferencedSegmentNumber
        found[number - 1, round(k)] = frame
    for mask, segment in zip(found, segments, strict=True):
        assert (mask == segment).all()


@pytest.mark.verifies("SRS-090", level="unit", technique="example")
def test_frames_without_a_voxel_are_left_out(phantom: Study, results: Results) -> None:
    filled = int(phantom.liver.any(axis=(1, 2)).sum())
    filled += sum(int((phantom.lesions.labels == n).any(axis=(1, 2)).sum()) for n in (1, 2, 3))
    assert results[0].dataset.NumberOfFrames == filled


@pytest.mark.verifies("SRS-090", level="unit", technique="example")
def test_liver_and_lesions_overlap_and_say_so(results: Results) -> None:
    seg = results[0].dataset
    assert seg.SegmentsOverlap == "YES"
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Liver", "L01 lesion", "L02 lesion", "L03 lesion"]
    colours = {tuple(s.RecommendedDisplayCIELabValue) for s in seg.SegmentSequence}
    assert len(colours) == 4


@pytest.mark.verifies("SRS-091", level="unit", technique="example")
def test_algorithm_is_identified_with_its_weights(results: Results) -> None:
    for segment in results[0].dataset.SegmentSequence:
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmVersion == "1.0"
        assert f"weights liver sha256={'0' * 64}" in algorithm.AlgorithmParameters
        assert segment.SegmentAlgorithmType == "AUTOMATIC"


@pytest.mark.verifies("SRS-090", level="unit", technique="example")
def test_slice_thickness_is_the_distance_of_the_slices_whatever_the_source_says(results: Results) -> None:
    measures = results[0].dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (2.5, 2.5)  # the headers say 5
    assert list(measures.PixelSpacing) == [0.8, 0.7]


@pytest.mark.verifies("SRS-098", level="unit", technique="example")
def test_a_retry_makes_the_same_bytes(phantom: Study, results: Results) -> None:
    again = with_results(phantom)
    assert [as_bytes(r) for r in again] == [as_bytes(r) for r in results]


@pytest.mark.verifies("SRS-098", level="unit", technique="example")
def test_another_revision_is_another_object_in_the_same_series(phantom: Study, results: Results) -> None:
    second = make(phantom, revision=2)
    assert second.SOPInstanceUID != results[0].dataset.SOPInstanceUID
    assert second.SeriesInstanceUID == results[0].dataset.SeriesInstanceUID
    assert second.InstanceNumber == 2


@pytest.mark.verifies("SRS-098", level="unit", technique="example")
def test_the_headers_stay_as_they_were(phantom: Study) -> None:
    before = [str(s.dataset) for s in phantom.sources]
    with_results(phantom)
    assert [str(s.dataset) for s in phantom.sources] == before


@pytest.mark.verifies("SRS-090", level="unit", technique="example")
def test_a_label_map_of_parenchyma_and_lesions_is_taken_for_the_liver(phantom: Study, results: Results) -> None:
    labels = phantom.liver.astype(np.uint8) + (phantom.lesions.labels > 0)
    given = replace(phantom, liver=LabelMap(labels.astype(np.uint8), phantom.lesions.geometry))
    assert make(given).PixelData == results[0].dataset.PixelData


@pytest.mark.verifies("SRS-092", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "keyword",
    ["FrameOfReferenceUID", "SOPInstanceUID", "SeriesInstanceUID", "PixelSpacing", "ImageOrientationPatient"],
)
def test_a_source_without_what_a_seg_refers_to_is_refused(phantom: Study, keyword: str) -> None:
    with pytest.raises(Refused, match=keyword) as refused:
        make(with_header(phantom, 3, **{keyword: None}))
    assert refused.value.reason is Reason.BAD_ATTRIBUTE


@pytest.mark.verifies("SRS-092", level="unit", technique="bad-input")
@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_sources_of_two_series_or_frames_are_refused(phantom: Study, keyword: str) -> None:
    with pytest.raises(Refused) as refused:
        make(with_header(phantom, 3, **{keyword: "1.2.3"}))
    assert refused.value.reason is Reason.MIXED_FRAMES


@pytest.mark.verifies("SRS-092", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", [-20.0, -30.0, 101.0]),
        ("PixelSpacing", [0.8, 0.8]),
        ("ImageOrientationPatient", [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        ("Rows", 64),
    ],
)
def test_label_maps_that_lie_elsewhere_than_the_images_are_refused(phantom: Study, keyword: str, value: object) -> None:
    with pytest.raises(Refused) as refused:
        make(with_header(phantom, **{keyword: value}))
    assert refused.value.reason is Reason.CHECK_FAILED


@pytest.mark.verifies("SRS-092", level="unit", technique="bad-input")
def test_slices_in_the_wrong_order_are_refused(phantom: Study) -> None:
    with pytest.raises(Refused, match="off source image 1"):
        make(replace(phantom, sources=phantom.sources[::-1]))


@pytest.mark.verifies("SRS-092", level="unit", technique="bad-input")
def test_label_maps_that_contradict_the_reading_are_refused(phantom: Study) -> None:
    grid = phantom.lesions.geometry
    labels = phantom.lesions.labels.copy()
    labels[labels == 3] = 0
    with pytest.raises(Refused, match="different lesions"):
        make(replace(phantom, lesions=LabelMap(labels, grid)))
    labels = phantom.lesions.labels.copy()
    labels[0, 0, 0] = 1
    with pytest.raises(Refused, match="outside the liver"):
        make(replace(phantom, lesions=LabelMap(labels, grid)))
    with pytest.raises(Refused, match="no voxel is liver"):
        make(replace(phantom, liver=np.zeros_like(phantom.liver)))
    with pytest.raises(Refused, match="differ in size"):
        make(replace(phantom, liver=phantom.liver[1:]))


@pytest.mark.verifies("SRS-092", level="unit", technique="boundary")
def test_no_sources_is_an_error(phantom: Study) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make(replace(phantom, sources=()))


@pytest.mark.verifies("SRS-091", level="unit", technique="bad-input")
@pytest.mark.parametrize("bad", ["", "a\\b", "ü", "A^B", "x" * 65])
def test_equipment_that_could_not_be_written_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="64 ASCII"):
        Equipment(bad, "model", "1", "2")
