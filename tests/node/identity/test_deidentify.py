from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from pydicom import Dataset
from pydicom.datadict import DicomDictionary, RepeatersDictionary, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from node.dicom.datasets import RealDataset
from node.dicom.files import from_file, pack, to_file, unpack
from node.dicom.reasons import Reason, Refused
from node.identity import Pseudonymiser, attributes, pseudonymise
from node.identity.dates import is_time, move
from tests.node.identity.studies import KEYS, Source, put

P = Pseudonymiser(KEYS)
MARKER = b"ZEBRAFISH^MARKER77"
STRINGS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
BYTES = ("OB", "OW", "UN")
KEPT = {
    *attributes.UIDS,
    *attributes.DATES,
    *attributes.TIMES,
    *attributes.NUMBERS,
    *attributes.FREE_NUMBERS,
    *attributes.TERMS,
    *attributes.DEVICE_TEXTS,
    "SOPClassUID",
    "FrameOfReferenceUID",
}
STAND_INS = {
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "LongitudinalTemporalInformationModified",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
}


def every_attribute(marker: Callable[[int], bytes], depth: int = 3) -> Dataset:
    """Every attribute of the dictionary, repeating groups and private blocks, a marker in every string."""
    ds = Dataset()
    ds.set_original_encoding(False, True, "iso8859")
    repeaters = {int(mask.replace("x", "0"), 16): entry for mask, entry in RepeatersDictionary.items()}
    for number, entry in {**DicomDictionary, **repeaters}.items():
        tag, vr = Tag(number), entry[0].split(" or ")[-1]
        if tag.group in (0x0000, 0x0002, 0xFFFE) or tag in (0x00080005, 0x00080016):
            continue
        if vr in STRINGS + BYTES:
            value = marker(number) + b" " * (len(marker(number)) % 2)
            ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
        elif vr == "SQ" and depth:
            ds.add_new(tag, "SQ", [_item(marker, depth)])
    ds.SOPClassUID = CTImageStorage
    for group in (0x0009, 0x0011, 0x0029, 0x7FE1):
        block = ds.private_block(group, "ZEBRAFISH MARKER77", create=True)
        block.add_new(0x01, "LO", "ZEBRAFISH^MARKER77")
        block.add_new(0x02, "UN", MARKER)
        block.add_new(0x03, "SQ", [_item(marker, depth)])
    return ds


def _item(marker: Callable[[int], bytes], depth: int) -> Dataset:
    item = Dataset()
    item.set_original_encoding(False, True, "iso8859")
    for keyword in ("PatientName", "PatientID", "TextValue", "CodeMeaning", "ReferencedSOPInstanceUID", "Manufacturer"):
        tag = Tag(keyword)
        value = marker(int(tag))
        item[tag] = RawDataElement(tag, DicomDictionary[int(tag)][0], len(value), value, 0, False, True)
    if depth > 1:
        item.add_new(Tag("ContentSequence"), "SQ", [_item(marker, depth - 1)])
    return item


def read_again(ds: Dataset) -> tuple[RealDataset, bytes]:
    """Write and read without pydicom's looking into any value."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, ds)
    data = buffer.getvalue()
    return RealDataset(read_dataset(io.BytesIO(data), False, True)), data


@pytest.mark.verifies("SRS-040", level="unit", technique="adversarial")
def test_nothing_of_every_attribute_at_every_depth_comes_through() -> None:
    real, data = read_again(every_attribute(lambda _: MARKER))
    assert data.count(b"ZEBRAFISH") > 5000  # the source is full of it
    out = to_file(pseudonymise(real, P).dataset)
    assert b"ZEBRAFISH" not in out
    assert b"MARKER77" not in out


@pytest.mark.verifies("SRS-040", level="unit", technique="adversarial")
def test_only_the_names_of_devices_may_be_words() -> None:
    """A different marker in every attribute: whatever comes through must be meant to."""
    real, _ = read_again(every_attribute(lambda tag: b"QX%08XQ" % tag))
    dataset = pseudonymise(real, P).dataset
    through = {element.keyword for element in dataset if "QX" in str(element.value)}
    assert through == set(attributes.DEVICE_TEXTS)
    assert {element.keyword for element in dataset} <= KEPT | STAND_INS
    assert not any(element.tag.is_private or element.VR == "SQ" for element in dataset)


@pytest.mark.verifies("SRS-040", "SRS-042", level="unit", technique="consistency")
def test_a_touched_source_gives_the_same() -> None:
    """Gather converts some values before: an element that pydicom holds converted is treated as its bytes are."""
    source = Source()
    untouched = pseudonymise(source.headers()[0], P)
    header = source.headers()[0]
    assert "PHANTOM" in str(header.dataset)  # converts all
    assert to_file(pseudonymise(header, P).dataset) == to_file(untouched.dataset)


@pytest.mark.verifies("SRS-042", "SRS-135", level="unit", technique="example")
def test_what_results_need_is_there() -> None:
    source = Source()
    real = source.headers()[0].dataset
    dataset = pseudonymise(source.headers()[0], P).dataset
    kept = (
        "Rows",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SliceThickness",
        "Modality",
        "KVP",
    )
    for keyword in (
        *kept,
        "Manufacturer",
        "ManufacturerModelName",
        "ConvolutionKernel",
        "SOPClassUID",
        "InstanceNumber",
    ):
        assert dataset[keyword].value == real[keyword].value
    assert dataset.StudyInstanceUID == P.uid(source.study_uid)
    assert dataset.FrameOfReferenceUID == P.uid(f"{source.study_uid}.3")
    assert dataset.PatientID == P.patient(source.issuer, source.patient_id)
    assert dataset.StudyID == P.study_key(source.study_uid)
    assert (dataset.PatientIdentityRemoved, dataset.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
    assert dataset.ImageType == ["ORIGINAL", "PRIMARY", "AXIAL"]  # the maker's own fourth value is gone
    assert unpack(pack([dataset]))[0] == Dataset(dataset)


@pytest.mark.verifies("SRS-046", level="unit", technique="example")
def test_dates_keep_their_distance_within_a_patient() -> None:
    first, second = Source(date="20240229"), Source(number=2, date="20250301")
    shifted = [pseudonymise(source.headers()[0], P).dataset for source in (first, second)]
    days = [date.fromisoformat(dataset.StudyDate) for dataset in shifted]
    assert days[1] - days[0] == date(2025, 3, 1) - date(2024, 2, 29)
    assert days[0] != date(2024, 2, 29)
    assert shifted[0].AcquisitionDateTime == f"{days[0]:%Y%m%d}101112.500000"
    assert shifted[0].StudyTime == "101010"


@pytest.mark.verifies("SRS-044", "SRS-046", level="unit", technique="boundary")
def test_without_patient_id_there_is_no_pseudonym_but_a_shift() -> None:
    source = Source(patient_id="")
    dataset = pseudonymise(source.headers()[0], P).dataset
    assert (dataset.PatientID, dataset.PatientName) == ("", "")
    assert dataset.StudyDate != source.date
    other = pseudonymise(Source(patient_id="", number=2).headers()[0], P).dataset
    assert other.StudyDate != dataset.StudyDate


@pytest.mark.verifies("SRS-042", level="unit", technique="bad-input")
@pytest.mark.parametrize("blank", [True, False])
def test_a_missing_frame_of_reference_is_supplied_a_series(blank: bool) -> None:
    supplied = set()
    for header in Source(frame=False).headers():
        if blank:
            header.dataset.FrameOfReferenceUID = ""
        dataset = pseudonymise(header, P).dataset
        supplied.add(str(dataset.FrameOfReferenceUID))
        assert not P.is_pseudonym(dataset.FrameOfReferenceUID)  # it stays in the result: no real one stands behind it
    other = pseudonymise(Source(frame=False, number=2).headers()[0], P).dataset
    assert len(supplied) == 1
    assert other.FrameOfReferenceUID not in supplied


@pytest.mark.verifies("SRS-042", level="unit", technique="bad-input")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_missing_uid_is_refused(keyword: str) -> None:
    for value in ("", None):
        header = Source().headers()[0]
        if value is None:
            del header.dataset[keyword]
        else:
            put(header.dataset, keyword, "UI", value)
        with pytest.raises(Refused) as refusal:
            pseudonymise(header, P)
        assert refusal.value.reason is Reason.BAD_ATTRIBUTE
        assert keyword in refusal.value.text


@pytest.mark.verifies("SRS-042", level="unit", technique="bad-input")
def test_a_class_outside_the_standard_is_refused() -> None:
    header = Source().headers()[0]
    header.dataset.SOPClassUID = "1.3.12.2.1107.5.9.1"
    with pytest.raises(Refused, match="storage class"):
        pseudonymise(header, P)


@pytest.mark.verifies("SRS-040", "SRS-041", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", b"AB"),
        ("PixelSpacing", b"0.5\\PHANTOM"),
        ("PixelSpacing", b"0.5\\nan "),
        ("PixelSpacing", b"\\"),
        ("KVP", b"inf "),
        ("InstanceNumber", b"1.5 "),
        ("InstanceNumber", b"9999999999"),
        ("StudyTime", b"TEST"),
        ("AcquisitionDate", b"2024"),
        ("AcquisitionDate", b"20240230"),
        ("AcquisitionDateTime", b"20240229PHANTOM^TEST"),
        ("Modality", b"PHANTOM "),
        ("RescaleType", b"PHANTOM "),
        ("Manufacturer", b"bought by P. Test "),
        ("Manufacturer", b"of PHANTOM-1"),
        ("ConvolutionKernel", b"Test"),
        ("ManufacturerModelName", b"line\nbreak"),
    ],
)
def test_a_value_that_is_not_what_its_attribute_holds_is_left_out(keyword: str, value: bytes) -> None:
    header = Source().headers()[0]
    tag = Tag(keyword)
    vr = "LO" if keyword == "Rows" else DicomDictionary[int(tag)][0]  # a wrong VR, as broken files state it
    header.dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    assert not pseudonymise(header, P).dataset.get(keyword)


@pytest.mark.verifies("SRS-041", level="unit", technique="adversarial")
def test_a_series_numbered_by_its_patient_loses_the_number() -> None:
    header = Source(patient_id="7012345").headers()[0]
    assert pseudonymise(header, P).dataset.SeriesNumber == 2
    header.dataset.SeriesNumber = 7012345
    assert "SeriesNumber" not in pseudonymise(header, P).dataset


@pytest.mark.verifies("SRS-042", level="unit", technique="boundary")
def test_long_decimals_are_shortened_to_what_the_vr_holds() -> None:
    header = Source().headers()[0]
    tag = Tag("SliceThickness")
    header.dataset[tag] = RawDataElement(tag, "DS", 18, b"1.6000000238418579", 0, False, True)
    thickness = pseudonymise(header, P).dataset.SliceThickness
    assert len(str(thickness)) <= 16
    assert float(thickness) == pytest.approx(1.6000000238418579, rel=1e-13)


@pytest.mark.verifies("SRS-042", level="unit", technique="example")
def test_pixel_padding_keeps_its_sign_in_implicit_vr() -> None:
    header = Source().header(1)
    header.add_new(Tag("PixelPaddingValue"), "SS", -2000)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert pseudonymise(RealDataset(from_file(to_file(header))), P).dataset.PixelPaddingValue == -2000


@pytest.mark.verifies("SRS-044", level="unit", technique="example")
def test_the_issuers_universal_form_counts() -> None:
    header = Source().headers()[0]
    qualifier = Dataset()
    qualifier.UniversalEntityID, qualifier.UniversalEntityIDType = "1.2.3", "ISO"
    header.dataset.IssuerOfPatientIDQualifiersSequence = [qualifier]
    assert pseudonymise(header, P).dataset.PatientID != pseudonymise(Source().headers()[0], P).dataset.PatientID


@pytest.mark.verifies("SRS-046", level="unit", technique="boundary")
@pytest.mark.parametrize(
    ("text", "days", "expected"),
    [
        ("20240229", -1, "20240228"),
        ("20240229", 1, "20240301"),
        ("2024.02.29", 1, "20240301"),
        ("20240229235959.999999+0100", 1, "20240301235959.999999+0100"),
        ("00010101", -1, None),
        ("99991231", 1, None),
        ("202402", 1, None),
        ("20240230", 1, None),
        ("20240229-20240301", 1, None),
        ("", 1, None),
        ("٢٠٢٤٠٢٢٩", 1, None),
        ("09990101", 1, "09990102"),
    ],
)
def test_moving_dates(text: str, days: int, expected: str | None) -> None:
    assert move(text, timedelta(days=days)) == expected


@pytest.mark.verifies("SRS-040", level="unit", technique="boundary")
@pytest.mark.parametrize(
    ("text", "time"), [("10", True), ("101112.5", True), ("25", False), ("10:11", False), ("", False)]
)
def test_times(text: str, time: bool) -> None:
    assert is_time(text) is time


@pytest.mark.verifies("SRS-040", level="unit", technique="consistency")
def test_every_listed_keyword_is_in_the_dictionary() -> None:
    listed = (*KEPT, *STAND_INS, *attributes.IDENTIFYING, *attributes.PATIENT_MODULE, *attributes.STUDY_MODULE)
    assert all(keyword_for_tag(Tag(keyword)) == keyword for keyword in listed)
