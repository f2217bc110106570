from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from node.demo.results import ResultUnreadableError, read_results
from tests.node.demo import objects
from tests.node.demo.objects import SyntheticStudy


def groups(sr: Dataset) -> list[Dataset]:
    return [item for item in walk(sr) if item.ConceptNameCodeSequence[0].CodeValue == "125007"]


def walk(item: Dataset) -> list[Dataset]:
    children = list(item.get("ContentSequence", []))
    return [below for child in children for below in (child, *walk(child))]


def changed(synthetic: SyntheticStudy, sr: Dataset, folder: Path) -> list[Path]:
    sr.save_as(folder / "changed.dcm")
    return [synthetic.seg, folder / "changed.dcm"]


@pytest.mark.verifies("SRS-161", level="integration", technique="oracle")
def test_every_value_is_what_the_objects_say(synthetic: SyntheticStudy) -> None:
    results = read_results([synthetic.sr, synthetic.seg])

    assert results.liver.tracking_id == "Liver"
    assert results.liver.volume_ml == pytest.approx(objects.box_ml(objects.LIVER))
    assert (results.liver.hu_mean, results.liver.hu_sd) == (109.5, 4.5)
    assert results.burden_percent == objects.BURDEN_PERCENT
    assert [lesion.tracking_id for lesion in results.lesions] == ["L01", "L02"]
    for lesion, (_, box, axis), short in zip(results.lesions, objects.LESIONS, objects.SHORT_AXES, strict=True):
        assert lesion.volume_ml == pytest.approx(objects.box_ml(box))
        assert lesion.long_axis is not None
        assert lesion.short_axis is not None
        assert lesion.long_axis.length_mm == pytest.approx(objects.length_mm(axis))
        assert (lesion.long_axis.start, lesion.long_axis.end) == axis
        assert (lesion.short_axis.start, lesion.short_axis.end) == short
        assert lesion.long_axis.image == synthetic.headers[box[0].start].SOPInstanceUID
    assert results.algorithm == "Test reader"
    assert results.parameters == (f"weights liver sha256={objects.WEIGHTS}",)
    assert results.notes[-1] == "[liver-cut-off] The dome is missing."
    assert not results.verified
    assert set(results.images) == {header.SOPInstanceUID for header in synthetic.headers}


@pytest.mark.verifies("SRS-161", level="integration", technique="oracle")
def test_masks_are_the_segments_on_the_images_asked_for(synthetic: SyntheticStudy) -> None:
    results = read_results([synthetic.sr, synthetic.seg])
    _, masks = objects.volume(2)
    uids = [header.SOPInstanceUID for header in synthetic.headers]

    assert np.array_equal(results.mask([1], uids), masks[0])
    assert np.array_equal(results.mask([2, 3], uids[::-1]), (masks[1] | masks[2])[::-1])


@pytest.mark.verifies("SRS-161", level="integration", technique="boundary")
def test_a_study_without_lesions_is_read(tmp_path: Path) -> None:
    study = objects.write_study(tmp_path, lesions=0)

    assert read_results([study.seg, study.sr]).lesions == ()


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_one_object_is_not_enough(synthetic: SyntheticStudy) -> None:
    with pytest.raises(ResultUnreadableError, match="expected one SEG and one SR"):
        read_results([synthetic.seg])


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_two_reports_are_too_many(synthetic: SyntheticStudy) -> None:
    with pytest.raises(ResultUnreadableError, match="'SR': 2"):
        read_results([synthetic.seg, synthetic.sr, synthetic.sr])


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_an_image_among_the_results_is_too_much(synthetic: SyntheticStudy) -> None:
    with pytest.raises(ResultUnreadableError, match="'CT': 1"):
        read_results([synthetic.seg, synthetic.sr, synthetic.images[0]])


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_a_report_of_other_findings_than_the_segments_is_refused(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    sr = dcmread(synthetic.sr)
    for group in groups(sr)[1:]:
        next(
            i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "112040"
        ).UID = generate_uid()

    with pytest.raises(ResultUnreadableError, match="the SEG does not draw"):
        read_results(changed(synthetic, sr, tmp_path))


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_a_segment_that_nobody_measured_is_refused(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    sr = dcmread(synthetic.sr)
    container = next(item for item in walk(sr) if item.ConceptNameCodeSequence[0].CodeValue == "126010")
    container.ContentSequence = list(container.ContentSequence)[:-2]

    with pytest.raises(ResultUnreadableError, match="not measured"):
        read_results(changed(synthetic, sr, tmp_path))


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_a_finding_with_another_segment_number_is_refused(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    sr = dcmread(synthetic.sr)
    segment = next(i for i in groups(sr)[1].ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "121191")
    segment.ReferencedSOPSequence[0].ReferencedSegmentNumber = 3

    with pytest.raises(ResultUnreadableError, match="different segments"):
        read_results(changed(synthetic, sr, tmp_path))


@pytest.mark.verifies("SRS-161", level="unit", technique="bad-input")
def test_a_diameter_in_another_unit_is_refused(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    sr = dcmread(synthetic.sr)
    number = next(i for i in groups(sr)[2].ContentSequence if i.ValueType == "NUM")
    number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "cm"

    with pytest.raises(ResultUnreadableError, match="diameter in cm"):
        read_results(changed(synthetic, sr, tmp_path))


@pytest.mark.verifies("SRS-161", level="unit", technique="boundary")
def test_a_missing_value_stays_missing(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    sr = dcmread(synthetic.sr)
    for number in (i for i in groups(sr)[1].ContentSequence if i.ValueType == "NUM"):
        number.MeasuredValueSequence = []

    lesion = read_results(changed(synthetic, sr, tmp_path)).lesions[0]

    assert (lesion.volume_ml, lesion.hu_mean, lesion.hu_sd) == (None, None, None)
