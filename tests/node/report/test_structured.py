from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pydicom import Dataset

from node.report.equipment import UNVERIFIED, ascii_text
from tests.node.report.conftest import Results
from tests.node.report.synthetic import Study, study, with_results


def items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from items(child)


def texts(sr: Dataset) -> list[str]:
    return [item.TextValue for item in items(sr) if item.ValueType == "TEXT"]


def numbers(group: Dataset) -> dict[str, str]:
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            f"{item.MeasuredValueSequence[0].NumericValue} "
            f"{item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue}"
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def groups_of(sr: Dataset, name: str) -> list[Dataset]:
    return [
        item
        for item in items(sr)
        if item.ValueType == "CONTAINER"
        and any(child.get("TextValue") == name for child in item.get("ContentSequence", []))
    ]


@pytest.mark.verifies("SRS-095", level="unit", technique="example")
def test_it_says_that_it_is_unverified_and_not_for_clinical_use(results: Results) -> None:
    sr = results[1].dataset
    assert (sr.VerificationFlag, sr.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert UNVERIFIED in sr.SeriesDescription
    assert any(UNVERIFIED in text for text in texts(sr))


@pytest.mark.verifies("SRS-093", level="integration", technique="oracle")
def test_a_lesion_has_its_numbers_its_contour_and_its_lines(phantom: Study, results: Results) -> None:
    lesion = phantom.reading.lesions[0]
    volume, contour, diameters = groups_of(results[1].dataset, "L01")
    assert numbers(volume) == {
        "Volume": f"{lesion.volume_ml:.3f} cm3",
        "Attenuation Coefficient": "41.1 [hnsf'U]",
        "Standard Deviation of Attenuation Coefficient": "12.5 [hnsf'U]",
    }
    assert numbers(diameters) == {
        "Long axis": f"{round(lesion.long_axis.length_mm, 2)} mm",
        "Short axis": f"{round(lesion.short_axis.length_mm, 2)} mm",
    }
    region = next(item for item in contour.ContentSequence if item.ValueType == "SCOORD")
    k = round(lesion.long_axis.start[0])
    image = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert image == phantom.sources[k].dataset.SOPInstanceUID
    # Image coordinates count from the outer corner of the first pixel: the mask's bounding box, upper ends exclusive.
    points = np.array(region.GraphicData).reshape(-1, 2)
    rows, columns = np.nonzero(phantom.lesions.labels[k] == 1)
    assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
    assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]
    line = next(i for i in items(diameters) if i.ValueType == "SCOORD")
    start, end = lesion.long_axis.start, lesion.long_axis.end
    assert list(line.GraphicData) == pytest.approx([start[2] + 0.5, start[1] + 0.5, end[2] + 0.5, end[1] + 0.5])


@pytest.mark.verifies("SRS-096", level="unit", technique="example")
def test_a_lesion_is_not_called_a_metastasis(results: Results) -> None:
    kinds = {
        item.ConceptCodeSequence[0].CodeMeaning
        for item in items(results[1].dataset)
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Finding"
    }
    assert kinds == {"Liver", "Lesion"}
    assert any("was not determined" in text for text in texts(results[1].dataset))


@pytest.mark.verifies("SRS-093", level="unit", technique="example")
def test_the_burden_is_a_measurement_of_the_liver(phantom: Study, results: Results) -> None:
    volume, _ = groups_of(results[1].dataset, "Liver")
    assert numbers(volume)["Volume Ratio"] == f"{round(phantom.reading.liver.burden_percent, 3)} %"


@pytest.mark.verifies("SRS-096", level="unit", technique="boundary")
@pytest.mark.parametrize(("lesions", "code"), [(3, "111242"), (1, "111242"), (0, "111241")])
def test_it_says_whether_anything_was_found(lesions: int, code: str) -> None:
    sr = with_results(study(lesions=lesions))[1].dataset
    outcome = next(i for i in items(sr) if i.ValueType == "CODE" and i.ConceptNameCodeSequence[0].CodeValue == "111017")
    assert outcome.ConceptCodeSequence[0].CodeValue == code
    expected = {3: "3 lesions found", 1: "1 lesion found", 0: "searched for focal lesions: none found"}[lesions]
    assert any(expected in text for text in texts(sr))


@pytest.mark.verifies("SRS-096", level="unit", technique="example")
def test_notes_are_in_the_report_in_ascii(results: Results) -> None:
    assert "[phase-unknown] The contrast phase could not be told - HU 101 +/- 11." in texts(results[1].dataset)


@pytest.mark.verifies("SRS-097", level="unit", technique="example")
def test_every_image_is_evidence_and_in_the_library(phantom: Study, results: Results) -> None:
    sr = results[1].dataset
    listed = {
        instance.ReferencedSOPInstanceUID
        for study_ in sr.CurrentRequestedProcedureEvidenceSequence
        for series in study_.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert listed == {*phantom.reading.sop_instance_uids, results[0].dataset.SOPInstanceUID}


@pytest.mark.verifies("SRS-097", level="unit", technique="example")
def test_every_image_stands_once_in_the_library(phantom: Study, results: Results) -> None:
    library = next(
        item
        for item in items(results[1].dataset)
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeMeaning == "Image Library"
    )
    entries = [item.ReferencedSOPSequence[0] for item in items(library) if item.ValueType == "IMAGE"]
    assert [entry.ReferencedSOPInstanceUID for entry in entries] == list(phantom.reading.sop_instance_uids)


@pytest.mark.verifies("SRS-096", level="unit", technique="example")
@pytest.mark.parametrize(
    ("text", "written"),
    [("Größe ≤ 5 mm", "Grosse <= 5 mm"), ("a—b – c", "a-b - c"), ("山", "?"), ("C:\\x", "C:/x"), ("5 cm³", "5 cm3")],
)
def test_our_words_are_ascii(text: str, written: str) -> None:
    assert ascii_text(text) == written
