"""Every object passes that should, under a pseudonym and under a real identity."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.dicom.reasons import Refused
from node.dicom.volume import LabelMap
from node.report.checker import check, check_files
from tests.node.report.conftest import Results
from tests.node.report.synthetic import Study, as_bytes, study, with_header, with_results


def run(given: Study, results: Results) -> None:
    """Check results. Where they pass, they must not pass for an outline that differs in one voxel."""
    check(*results, given.sources, reading=given.reading, liver=given.liver, lesions=given.lesions)
    with pytest.raises(Refused, match="wrong-voxels"):
        check(*results, given.sources, reading=given.reading, liver=one_voxel_less(given), lesions=given.lesions)


def one_voxel_less(given: Study) -> NDArray[np.bool_]:
    liver = given.liver.copy()
    liver[tuple(np.argwhere(liver & (given.lesions.labels == 0))[0])] = False
    return liver


@pytest.mark.verifies("SRS-101", level="integration", technique="example")
@pytest.mark.parametrize(
    "kind", [{}, {"oblique": True}, {"descending": True}, {"lesions": 0}, {"lesions": 1, "oblique": True}]
)
def test_what_is_right_passes(kind: dict[str, object]) -> None:
    given = study(**kind)
    run(given, with_results(given))


# --- Headers that real scanners write -------------------------------------------------------------------------------

WEIRD_HEADERS: dict[str, dict[str, object]] = {
    "no manufacturer": {"Manufacturer": None},
    "empty manufacturer": {"Manufacturer": ""},
    "no slice thickness": {"SliceThickness": None},
    "no patient id": {"PatientID": None},
    "empty patient": {"PatientID": "", "PatientName": "", "PatientSex": ""},
    "no study date": {"StudyDate": None, "StudyTime": None},
    "empty study": {"StudyDate": "", "StudyTime": "", "StudyID": "", "AccessionNumber": ""},
    "impossible birth date": {"PatientBirthDate": "19600000"},
    "birth date with dashes": {"PatientBirthDate": "1960-01"},
    "unheard-of sex": {"PatientSex": "U"},
    "age without unit": {"PatientAge": "60"},
    "no character set": {"SpecificCharacterSet": None},
    "lossy source": {"LossyImageCompression": "01"},
    "no position reference": {"PositionReferenceIndicator": None},
    "no numbers": {"SeriesNumber": None, "InstanceNumber": None, "AcquisitionNumber": None},
    "derived": {"ImageType": ["DERIVED", "SECONDARY"]},
    "no kvp": {"KVP": ""},
    "pixel spacing in too many digits": {"PixelSpacing": ["0.80000000000000004", "0.69999999999999996"]},
}


@pytest.mark.verifies("SRS-101", level="integration", technique="example")
@pytest.mark.parametrize("name", WEIRD_HEADERS)
def test_results_of_a_weird_source_are_valid(name: str) -> None:
    given = with_header(study(lesions=1), **WEIRD_HEADERS[name])
    run(given, with_results(given))


@pytest.mark.verifies("SRS-101", level="integration", technique="boundary")
def test_orientation_that_jitters_in_the_last_digit_passes(phantom: Study) -> None:
    given = with_header(phantom, 5, ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 0.999999, 0.000001])
    run(given, with_results(given))


@pytest.mark.verifies("SRS-101", "SRS-104", level="integration", technique="example")
def test_a_source_that_contradicts_itself_does_not_stop_its_results(phantom: Study) -> None:
    given = with_header(phantom, 5, StudyTime="101113")
    run(given, with_results(given))


@pytest.mark.verifies("SRS-099", level="integration", technique="fault-injection")
def test_label_maps_that_changed_since_are_caught(phantom: Study, results: Results) -> None:
    liver = phantom.liver.copy()
    liver[11, 30, 32] = False
    with pytest.raises(Refused, match="wrong-voxels: 1 voxels of segment 1 differ on slice 12"):
        run(replace(phantom, liver=liver), results)
    labels = phantom.lesions.labels.copy()
    labels[labels == 1] = 2
    with pytest.raises(Refused, match="wrong-voxels"):
        run(replace(phantom, lesions=LabelMap(labels, phantom.lesions.geometry)), results)


@pytest.mark.verifies("SRS-099", level="integration", technique="fault-injection")
def test_sources_of_another_reading_are_caught(phantom: Study, results: Results) -> None:
    with pytest.raises(Refused, match="dangling-reference"):
        run(replace(phantom, sources=phantom.sources[::-1]), results)


# --- After restoration: files, under another identity ----------------------------------------------------------------


def restored(given: Study, results: Results, folder: Path) -> tuple[Path, Path, list[Path]]:
    """Write the files as if they had got back a real identity: other patient, study, series, instance UIDs."""
    real = {uid: f"1.2.3.{k}" for k, uid in enumerate(given.reading.sop_instance_uids)}
    real |= {given.reading.study_uid: "1.2.3.1000", given.reading.series_uid: "1.2.3.1001"}
    real[str(given.sources[0].dataset.FrameOfReferenceUID)] = "1.2.3.1002"

    def rename(dataset: Dataset) -> Dataset:
        for element in dataset.iterall():
            if element.VR == "UI" and element.VM == 1:
                element.value = real.get(element.value, element.value)
        dataset.PatientName, dataset.PatientID = "REAL^NAME", "REAL-7"
        return dataset

    paths = []
    for k, source in enumerate(given.sources):
        header = rename(copy.deepcopy(source.dataset))
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        paths.append(folder / f"REAL-7-{k}.dcm")
        header.save_as(paths[-1], enforce_file_format=True)
    for name, result in zip(("seg", "sr"), results, strict=True):
        path = folder / f"REAL-7-{name}.dcm"
        path.write_bytes(as_bytes(result))
        rename(dcmread(path)).save_as(path)
    return folder / "REAL-7-seg.dcm", folder / "REAL-7-sr.dcm", paths


def run_files(given: Study, seg: Path, sr: Path, sources: list[Path]) -> None:
    """Check files. Where they pass, they must not pass for an outline that differs in one voxel."""
    check_files(seg, sr, sources, reading=given.reading, liver=given.liver, lesions=given.lesions)
    with pytest.raises(Refused, match="wrong-voxels"):
        check_files(seg, sr, sources, reading=given.reading, liver=one_voxel_less(given), lesions=given.lesions)


@pytest.mark.verifies("SRS-101", level="integration", technique="example")
def test_restored_files_pass(phantom: Study, results: Results, tmp_path: Path) -> None:
    run_files(phantom, *restored(phantom, results, tmp_path))


@pytest.mark.verifies("SRS-101", level="integration", technique="example")
def test_a_source_that_had_no_frame_of_reference_passes_when_restored(tmp_path: Path) -> None:
    given = study()
    seg, sr, sources = restored(given, with_results(given), tmp_path)
    for path in sources:
        header = dcmread(path)
        del header.FrameOfReferenceUID
        header.save_as(path)
    run_files(given, seg, sr, sources)


@pytest.mark.verifies("SRS-103", level="integration", technique="adversarial")
@pytest.mark.parametrize(
    "wrong",
    [
        ("wrong-patient", "PatientName", "REAL^OTHER"),
        ("inconsistent-with-study", "PatientBirthDate", "19990101"),
        ("invalid-object", "PatientSex", "REAL"),
    ],
)
def test_a_refusal_names_nobody(tmp_path: Path, wrong: tuple[str, str, str]) -> None:
    defect, keyword, value = wrong
    given = with_header(study(), PatientBirthDate="19600101")
    seg, sr, sources = restored(given, with_results(given), tmp_path)
    changed = dcmread(sr)
    setattr(changed, keyword, value)
    changed.save_as(sr)
    with pytest.raises(Refused, match=f"^check-failed: {defect}") as refused:
        run_files(given, seg, sr, sources)
    shown = str(refused.value)
    assert not any(part in shown for part in ("REAL", "1.2.3", "1999", "1960", str(tmp_path)))


@pytest.mark.verifies("SRS-099", level="integration", technique="bad-input")
@pytest.mark.parametrize("content", [b"", b"not DICOM", b"\0" * 128 + b"DICM"])
def test_a_file_that_cannot_be_read_is_refused(
    phantom: Study, results: Results, tmp_path: Path, content: bytes
) -> None:
    seg, sr, sources = restored(phantom, results, tmp_path)
    sr.write_bytes(content)
    with pytest.raises(Refused, match=r"unreadable|wrong-kind"):
        run_files(phantom, seg, sr, sources)


@pytest.mark.verifies("SRS-099", level="integration", technique="fault-injection")
def test_a_truncated_seg_is_refused(phantom: Study, results: Results, tmp_path: Path) -> None:
    seg, sr, sources = restored(phantom, results, tmp_path)
    seg.write_bytes(seg.read_bytes()[:-1000])
    with pytest.raises(Refused):
        run_files(phantom, seg, sr, sources)
