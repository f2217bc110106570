from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.dicom.files import from_file, to_file
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import derive_uid
from node.identity import Vault, check_restored, pseudonymise_study, restore
from tests.node.identity.results import Made, bring_back, changed, make_seg, make_sr
from tests.node.identity.studies import Source, as_received, put

SOURCE = Source()


def all_uids(dataset: Dataset) -> list[str]:
    return [str(uid) for e in dataset.iterall() if e.VR == "UI" for uid in (e.value if e.VM > 1 else [e.value])]


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_everything_comes_back(made: Made, kind: str) -> None:
    restored, result = made.restored(kind), made.results[kind][0].dataset
    real = SOURCE.headers()[0].dataset
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate",
                    "StudyTime", "AccessionNumber", "StudyID", "StudyDescription", "ReferringPhysicianName",
                    "StudyInstanceUID", "SpecificCharacterSet"):  # fmt: skip
        assert restored[keyword].value == real[keyword].value
    uids = all_uids(restored)
    for instance in (1, 2, 3):
        assert f"{SOURCE.study_uid}.2.{instance}" in uids
    assert {SOURCE.study_uid, f"{SOURCE.study_uid}.2", f"{SOURCE.study_uid}.3"} <= set(uids)
    assert not any(made.vault.pseudonymiser.is_pseudonym(uid) for uid in uids)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "ContentDate", "InstanceCreationDate"):
        assert str(restored[keyword].value) == str(result[keyword].value)
    assert "PatientIdentityRemoved" not in restored
    assert "DeidentificationMethod" not in restored
    assert made.vault.pseudonymiser.is_pseudonym(result.StudyInstanceUID)  # what was given is not changed


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
def test_the_parts_of_a_seg(made: Made) -> None:
    restored, result = made.restored("SEG"), made.seg.dataset
    assert restored.FrameOfReferenceUID == f"{SOURCE.study_uid}.3"
    assert restored.SegmentSequence[0].TrackingUID == result.SegmentSequence[0].TrackingUID
    own = result.DimensionOrganizationSequence[0].DimensionOrganizationUID
    assert restored.DimensionOrganizationSequence[0].DimensionOrganizationUID == own
    frame = restored.PerFrameFunctionalGroupsSequence[1]
    image = frame.DerivationImageSequence[0].SourceImageSequence[0]
    assert image.ReferencedSOPInstanceUID == f"{SOURCE.study_uid}.2.2"
    assert restored.PixelData == result.PixelData
    equipment = restored.ContributingEquipmentSequence[0]
    assert (
        equipment.ContributionDateTime == "20240229101112.500000"
    )  # highdicom copied the source's AcquisitionDateTime


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
def test_the_parts_of_an_sr(made: Made) -> None:
    restored = made.restored("SR")
    items = [item for element in restored.iterall() if element.keyword == "ContentSequence" for item in element.value]
    uidrefs = {item.ConceptNameCodeSequence[0].CodeValue: item.UID for item in items if item.ValueType == "UIDREF"}
    assert uidrefs["112227"] == f"{SOURCE.study_uid}.3"  # Frame of Reference UID
    assert uidrefs["121232"] == f"{SOURCE.study_uid}.2"  # Source series for segmentation
    assert uidrefs["112040"] == made.seg.dataset.SegmentSequence[0].TrackingUID
    assert uidrefs["121012"] == derive_uid("device", "phantom")
    assert [item.Date for item in items if item.ValueType == "DATE"] == ["20240229"]
    evidence = restored.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == SOURCE.study_uid
    series = {item.SeriesInstanceUID: len(item.ReferencedSOPSequence) for item in evidence.ReferencedSeriesSequence}
    assert series == {f"{SOURCE.study_uid}.2": 3, made.seg.dataset.SeriesInstanceUID: 1}


@pytest.mark.verifies("SRS-054", "SRS-135", level="integration", technique="consistency")
@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_a_retry_makes_the_same_bytes(made: Made, kind: str) -> None:
    result, companions = made.results[kind]
    files = [
        to_file(restore(result, made.vault, job_study_uid=made.job, companions=companions).dataset) for _ in range(2)
    ]
    assert files[0] == files[1]


@pytest.mark.verifies("SRS-054", level="integration", technique="oracle")
@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_dciodvfy_finds_no_error(made: Made, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "restored.dcm"
    path.write_bytes(to_file(made.restored(kind)))
    dciodvfy = Path(sysconfig.get_path("scripts")) / "dciodvfy"
    run = subprocess.run([dciodvfy, "-new", path], capture_output=True, text=True, check=False)
    assert [line for line in run.stderr.splitlines() if line.startswith("Error")] == []
    assert "Segmentation" in run.stderr or "ComprehensiveSR" in run.stderr  # it did read it


# The examples of PS3.5 annexes H, I, J and K, and a plain one for each further form.
NAMES = [
    (("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 100", "Äneas^Rüdiger"),
    (None, "PLAIN^PHANTOM"),
]


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
@pytest.mark.parametrize(("charset", "name"), NAMES)
@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_names_come_back_in_their_own_bytes(
    vault: Vault, charset: str | tuple[str, ...] | None, name: str, kind: str
) -> None:
    source = Source(name=name, charset=charset)
    made = Made(vault, source)
    raw = source.headers()[0].dataset.get_item("PatientName").value
    assert not made.pseudonymous[0].dataset.PatientName or name not in str(made.pseudonymous[0].dataset)
    restored = made.restored(kind)
    assert restored.get_item("PatientName").value == raw
    assert restored.PatientName == name
    assert restored.get("SpecificCharacterSet") == (list(charset) if isinstance(charset, tuple) else charset)


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
@pytest.mark.parametrize(("charset", "name"), NAMES)
def test_names_come_back_in_utf_8_where_the_result_needs_it(
    vault: Vault, charset: str | tuple[str, ...] | None, name: str
) -> None:
    source = Source(name=name, charset=charset)
    restored = Made(vault, source, comment="größer").restored("SR")
    assert restored.SpecificCharacterSet == "ISO_IR 192"
    assert restored.PatientName == name
    assert restored.SeriesDescription.endswith("größer")


def named(charset: str | list[str], value: bytes) -> RealDataset:
    """A header whose name is these bytes."""
    header = SOURCE.header(1)
    header.SpecificCharacterSet = charset
    real = as_received(header)
    real.dataset[Tag("PatientName")] = RawDataElement(Tag("PatientName"), "PN", len(value), value, 0, False, True)
    return real


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
def test_simplified_chinese_in_iso_2022(vault: Vault) -> None:
    """The bytes of PS3.5 K.3, which pydicom neither reads nor writes right: they pass untouched."""

    def source() -> RealDataset:
        return named(["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab= ")

    restored = bring_back(make_seg(pseudonymise_study([source()], vault)), source(), vault)
    assert restored.get_item("PatientName").value == source().dataset.get_item("PatientName").value
    assert restored.SpecificCharacterSet == ["", "ISO 2022 IR 58"]


def miscoded() -> RealDataset:
    """Says UTF-8 and is Latin 1, as real archives have it."""
    return named("ISO_IR 192", "MÜLLER^PHANTOM".encode("latin-1"))


@pytest.mark.verifies("SRS-054", level="integration", technique="bad-input")
def test_a_miscoded_name_comes_back_as_it_was(vault: Vault) -> None:
    pseudonymous = pseudonymise_study([miscoded()], vault)
    restored = bring_back(make_seg(pseudonymous), miscoded(), vault)
    assert restored.get_item("PatientName").value == "MÜLLER^PHANTOM".encode("latin-1")


@pytest.mark.verifies("SRS-055", level="integration", technique="bad-input")
@pytest.mark.filterwarnings("ignore:Failed to decode byte string with encoding 'utf8'")
def test_a_miscoded_name_is_never_guessed_at(vault: Vault) -> None:
    pseudonymous = pseudonymise_study([miscoded()], vault)
    seg = make_seg(pseudonymous)
    seg.dataset.SeriesDescription = "größer"
    with pytest.raises(Refused) as refusal:
        restore(seg, vault, job_study_uid=seg.dataset.StudyInstanceUID)
    assert refusal.value.reason is Reason.BAD_ATTRIBUTE
    touched = miscoded()
    assert touched.dataset.PatientName  # pydicom has now put a replacement character for what it could not read
    with pytest.raises(Refused) as refusal:
        pseudonymise_study([touched], vault)
    assert refusal.value.reason is Reason.BAD_ATTRIBUTE


@pytest.mark.verifies("SRS-054", level="integration", technique="bad-input")
def test_a_malformed_real_uid_comes_back_as_it_was(vault: Vault) -> None:
    headers = []
    for header in SOURCE.headers():
        tag = Tag("SeriesInstanceUID")
        header.dataset[tag] = RawDataElement(tag, "UI", 8, b"1.02.A.4", 0, False, True)
        headers.append(header)
    data = to_file(restore(seg := make_seg(pseudonymise_study(headers, vault)), vault,
                           job_study_uid=seg.dataset.StudyInstanceUID).dataset)  # fmt: skip
    assert b"1.02.A.4" in data
    check_restored(data, seg, headers[0], vault)


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
def test_without_a_frame_of_reference_the_supplied_one_stays(vault: Vault) -> None:
    made = Made(vault, Source(frame=False))
    frame = made.pseudonymous[0].dataset.FrameOfReferenceUID
    assert made.restored("SEG").FrameOfReferenceUID == made.seg.dataset.FrameOfReferenceUID == frame
    assert frame in all_uids(made.restored("SR"))
    assert frame != derive_uid("frame-of-reference", f"{SOURCE.study_uid}.2")  # it hangs on the key


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
def test_a_study_without_patient_id_finds_its_way(vault: Vault) -> None:
    restored = Made(vault, Source(patient_id="", issuer="")).restored("SR")
    assert (restored.PatientID, restored.PatientName) == ("", "PHANTOM^TEST")


@pytest.mark.verifies("SRS-054", level="integration", technique="boundary")
def test_what_the_source_lacks_is_empty_or_absent(vault: Vault) -> None:
    headers = SOURCE.headers()
    for header in headers:
        for keyword in (
            "PatientSex",
            "IssuerOfPatientID",
            "StudyDescription",
            "StudyID",
            "StudyDate",
            "AcquisitionDate",
        ):
            del header.dataset[keyword]
    restored = bring_back(make_seg(pseudonymise_study(headers, vault)), headers[0], vault)
    assert (restored.PatientSex, restored.StudyID, restored.StudyDate) == ("", "", "")
    assert "IssuerOfPatientID" not in restored
    assert "StudyDescription" not in restored


@pytest.mark.verifies("SRS-054", level="integration", technique="example")
def test_a_qualified_issuer_comes_back(vault: Vault) -> None:
    def headers() -> list[RealDataset]:
        qualifier = Dataset()
        qualifier.UniversalEntityID, qualifier.UniversalEntityIDType = "1.2.3", "ISO"
        header = SOURCE.header(1)
        header.IssuerOfPatientIDQualifiersSequence = [qualifier]
        return [as_received(header)]

    restored = bring_back(make_seg(pseudonymise_study(headers(), vault)), headers()[0], vault)
    assert restored.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "1.2.3"


@pytest.mark.verifies("SRS-054", level="integration", technique="adversarial")
def test_nothing_travels_outside_the_data_set(made: Made) -> None:
    seg = changed(made.seg, lambda _: None)
    seg.dataset.preamble = b"PREAMBLE".ljust(128)
    seg.dataset.file_meta.SourceApplicationEntityTitle = "SENDER"
    data = to_file(restore(seg, made.vault, job_study_uid=made.job).dataset)
    assert data[:128] == bytes(128)
    assert b"SENDER" not in data


# ---------------------------------------------------------------- what must not come back


def refused(result: PseudonymousDataset, made: Made, *companions: PseudonymousDataset, job: str = "") -> Reason:
    with pytest.raises(Refused) as refusal:
        restore(result, made.vault, job_study_uid=job or made.job, companions=companions)
    assert "PHANTOM" not in str(refusal.value)
    assert SOURCE.study_uid not in str(refusal.value)
    return refusal.value.reason


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
def test_another_jobs_result(made: Made, other: Made) -> None:
    assert refused(made.seg, made, job=other.job) is Reason.IDENTITY_MISMATCH
    assert refused(other.seg, made) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
def test_an_unknown_study(made: Made) -> None:
    stranger = changed(made.seg, lambda ds: setattr(ds, "StudyInstanceUID", generate_uid()))
    assert refused(stranger, made, job=stranger.dataset.StudyInstanceUID) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID"])
def test_one_witness_names_another(made: Made, other: Made, keyword: str) -> None:
    crossed = changed(made.seg, lambda ds: setattr(ds, keyword, other.seg.dataset[keyword].value))
    assert refused(crossed, made) is Reason.IDENTITY_MISMATCH
    assert refused(crossed, made, job=other.job) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
def test_one_frame_of_many_is_another_patients(made: Made, other: Made) -> None:
    def cross(ds: Dataset) -> None:
        ds.PerFrameFunctionalGroupsSequence[2] = from_file(to_file(other.seg.dataset)).PerFrameFunctionalGroupsSequence[
            2
        ]

    assert refused(changed(made.seg, cross), made) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
def test_a_report_of_another_patients_seg(made: Made, other: Made) -> None:
    assert refused(made.sr, made) is Reason.IDENTITY_MISMATCH  # a SEG that nobody says is of this job
    assert refused(made.sr, made, other.seg) is Reason.IDENTITY_MISMATCH
    disguised = changed(other.seg, lambda ds: setattr(ds, "PatientID", made.seg.dataset.PatientID))
    assert refused(made.sr, made, disguised) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
def test_a_report_that_was_made_of_another_patients_seg(made: Made, other: Made) -> None:
    crossed = make_sr(made.pseudonymous, other.seg)
    assert refused(crossed, made, other.seg) is Reason.IDENTITY_MISMATCH
    disguised = changed(other.seg, lambda ds: setattr(ds, "StudyInstanceUID", made.job))
    assert refused(make_sr(made.pseudonymous, disguised), made, other.seg) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-045", "SRS-053", level="integration", technique="adversarial")
def test_a_source_cannot_pass_as_the_results_own(made: Made, other: Made) -> None:
    for uid in (other.pseudonymous[0].dataset.SOPInstanceUID, made.pseudonymous[0].dataset.SOPInstanceUID, "1.2.3"):
        for change in (
            lambda ds, uid=uid: setattr(ds.SegmentSequence[0], "TrackingUID", uid),
            lambda ds, uid=uid: setattr(ds, "SOPInstanceUID", uid),
            lambda ds, uid=uid: setattr(ds, "SeriesInstanceUID", uid),
        ):
            forged = changed(made.seg, change)
            assert refused(forged, made) is Reason.IDENTITY_MISMATCH
            if forged.dataset.SOPInstanceUID == uid:
                assert refused(made.sr, made, forged) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-053", level="integration", technique="boundary")
def test_a_result_that_refers_to_nothing(made: Made) -> None:
    def strip(ds: Dataset) -> None:
        del ds.PerFrameFunctionalGroupsSequence
        del ds.ReferencedSeriesSequence
        del ds.SourceImageSequence

    assert refused(changed(made.seg, strip), made) is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-055", level="integration", technique="bad-input")
def test_a_date_that_nothing_explains(made: Made) -> None:
    unknown = changed(made.seg, lambda ds: setattr(ds, "DateOfSecondaryCapture", "20240101"))
    assert refused(unknown, made) is Reason.CHECK_FAILED

    def rename(ds: Dataset) -> None:
        for element in list(ds.iterall()):
            for item in element.value if element.keyword == "ContentSequence" else ():
                if item.ValueType == "DATE":
                    item.ConceptNameCodeSequence[0].CodeValue = "111526"

    assert refused(changed(made.sr, rename), made, made.seg) is Reason.CHECK_FAILED
    partial = changed(made.seg, lambda ds: put(ds, "AcquisitionDate", "DA", "202401"))
    assert refused(partial, made) is Reason.CHECK_FAILED


@pytest.mark.verifies("SRS-055", level="integration", technique="bad-input")
def test_text_in_another_character_set(made: Made) -> None:
    def recode(ds: Dataset) -> None:
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.SeriesDescription = "größer"

    assert refused(changed(made.seg, recode), made) is Reason.CHECK_FAILED


@pytest.mark.verifies("SRS-055", level="unit", technique="consistency")
def test_titles_are_as_the_checks_assume() -> None:
    assert (codes.DCM.TrackingUniqueIdentifier.value, codes.DCM.FrameOfReferenceUID.value) == ("112040", "112227")
    assert (codes.DCM.StudyDate.value, codes.DCM.AcquisitionEquipment.value) == ("111060", "109101")
