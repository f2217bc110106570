from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom import DataElement, Dataset
from pydicom.tag import Tag

from node.dicom.files import to_file
from node.dicom.reasons import Reason, Refused
from node.identity import check_restored, restore
from tests.node.identity.results import Made, changed
from tests.node.identity.studies import Source

SOURCE = Source()


def written(made: Made, change: Callable[[Dataset], None] | None = None) -> bytes:
    dataset = restore(made.seg, made.vault, job_study_uid=made.job).dataset
    if change:
        change(dataset)
    return to_file(dataset)


@pytest.mark.verifies("SRS-056", level="integration", technique="example")
def test_the_last_look_passes_what_is_right(made: Made) -> None:
    whole = written(made)

    check_restored(whole, made.seg, SOURCE.headers()[0], made.vault)
    check_restored(memoryview(whole), made.seg, SOURCE.headers()[2], made.vault)
    with pytest.raises(Refused):
        check_restored(whole[:-1], made.seg, SOURCE.headers()[0], made.vault)


@pytest.mark.verifies("SRS-056", level="integration", technique="fault-injection")
@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("pseudonym is left", lambda ds, m: setattr(ds, "SeriesDescription", f"of {m.seg.dataset.PatientID}")),
        ("pseudonym is left", lambda ds, m: setattr(ds, "StudyID", m.seg.dataset.StudyID)),
        ("pseudonym is left", lambda ds, m: setattr(ds, "FrameOfReferenceUID", m.seg.dataset.FrameOfReferenceUID)),
        ("PatientName", lambda ds, _: setattr(ds, "PatientName", "PHANTOM^OTHER")),
        ("PatientID", lambda ds, _: setattr(ds, "PatientID", "PHANTOM-2")),
        ("IssuerOfPatientID", lambda ds, _: delattr(ds, "IssuerOfPatientID")),
        ("StudyInstanceUID", lambda ds, _: setattr(ds, "StudyInstanceUID", "1.2.3")),
        ("StudyDate", lambda ds, m: setattr(ds, "StudyDate", m.seg.dataset.StudyDate)),
        ("AccessionNumber", lambda ds, _: setattr(ds, "AccessionNumber", "")),
        ("not restored", lambda ds, _: setattr(ds, "PatientComments", "x")),
        ("says that it is pseudonymous", lambda ds, _: setattr(ds, "PatientIdentityRemoved", "YES")),
        ("added or lost", lambda ds, _: setattr(ds, "InstitutionName", "x")),
        ("added or lost", lambda ds, _: delattr(ds, "SegmentSequence")),
        ("FrameOfReferenceUID", lambda ds, _: setattr(ds, "FrameOfReferenceUID", "1.2.3")),
        ("FrameOfReferenceUID", lambda ds, _: setattr(ds, "FrameOfReferenceUID", f"{SOURCE.study_uid}.2")),
        ("ReferencedSOPInstanceUID", lambda ds, _: _first_source(ds, f"{SOURCE.study_uid}.2.2")),
        ("ReferencedSOPInstanceUID", lambda ds, _: _first_source(ds, f"{Source(number=2).study_uid}.2.1")),
        ("SourceImageSequence", lambda ds, _: ds.SourceImageSequence.pop()),
        ("ContentDate", lambda ds, _: setattr(ds, "ContentDate", "20200101")),
        ("ContributionDateTime", lambda ds, _: _contributed(ds, "20240228101112.500000")),
        ("PixelData", lambda ds, _: setattr(ds, "PixelData", bytes(len(ds.PixelData)))),
        ("SegmentNumber", lambda ds, _: setattr(ds.SegmentSequence[0], "SegmentNumber", 2)),
        ("SegmentLabel", lambda ds, _: ds.SegmentSequence[0].add(DataElement(Tag("SegmentLabel"), "SH", "Lesion"))),
    ],
)
def test_the_last_look_refuses_any_difference(
    made: Made, message: str, change: Callable[[Dataset, Made], None]
) -> None:
    with pytest.raises(Refused, match=message) as refusal:
        check_restored(written(made, lambda ds: change(ds, made)), made.seg, SOURCE.headers()[0], made.vault)
    assert refusal.value.reason is Reason.IDENTITY_MISMATCH


def _first_source(ds: Dataset, uid: str) -> None:
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID = uid


def _contributed(ds: Dataset, when: str) -> None:
    ds.ContributingEquipmentSequence[0].ContributionDateTime = when


@pytest.mark.verifies("SRS-056", level="integration", technique="adversarial")
def test_the_last_look_does_not_believe_a_crossed_result(made: Made, other: Made) -> None:
    """One that restoring would never have let through, with the real UID of the pseudonym in it."""
    crossed = changed(made.seg, lambda ds: _first_source(ds, other.pseudonymous[0].dataset.SOPInstanceUID))
    data = written(made, lambda ds: _first_source(ds, f"{other.source.study_uid}.2.1"))
    with pytest.raises(Refused, match="ReferencedSOPInstanceUID"):
        check_restored(data, crossed, SOURCE.headers()[0], made.vault)


@pytest.mark.verifies("SRS-056", level="integration", technique="adversarial")
def test_the_last_look_asks_the_source(made: Made, other: Made) -> None:
    for source in (other.source, Source(patient_id="PHANTOM-2"), Source(patient_id="")):
        with pytest.raises(Refused, match="another study than this source"):
            check_restored(written(made), made.seg, source.headers()[0], made.vault)
    renamed = Source(name="PHANTOM^OTHER").headers()[0]
    with pytest.raises(Refused, match="PatientName"):
        check_restored(written(made), made.seg, renamed, made.vault)


@pytest.mark.verifies("SRS-056", level="integration", technique="adversarial")
def test_the_last_look_reads_the_file_meta_information(made: Made) -> None:
    uid = made.seg.dataset.SOPInstanceUID
    another = uid[:-1] + str((int(uid[-1]) + 1) % 10)
    data = written(made).replace(uid.encode(), another.encode(), 1)  # the first is (0002,0003)
    with pytest.raises(Refused, match="file meta information names another object"):
        check_restored(data, made.seg, SOURCE.headers()[0], made.vault)
