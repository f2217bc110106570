"""Values out of attributes that careless writers wrote."""

from __future__ import annotations

import struct

import pytest
from pydicom import Dataset

from node.dicom.reasons import Reason, Refused
from node.gather.fields import harmless_number, number, numbers, text, texts, whole_number
from tests.node.gather.synthetic import set_raw


def raw(keyword: str, vr: str, value: bytes) -> Dataset:
    ds = Dataset()
    set_raw(ds, keyword, vr, value)
    return ds


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DS", b"0.5\\0.25", (0.5, 0.25)),
        ("DS", b" 0.5 \\ 2.5E-1 ", (0.5, 0.25)),
        ("DS", b"004.785156E-01\\04.785156E-01 ", (0.4785156, 0.4785156)),
        ("DS", b"0.5\\0.25\0", (0.5, 0.25)),
        ("FD", struct.pack("<dd", 0.5, 0.25), (0.5, 0.25)),
        ("LO", b"0.5\\0.25", (0.5, 0.25)),
    ],
)
def test_harmless_variants_are_understood(vr: str, value: bytes, expected: tuple[float, float]) -> None:
    assert numbers(raw("PixelSpacing", vr, value), "PixelSpacing", 2) == expected


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "value", [b"abc ", b"0.5 ", b"0.5\\x", b"0,5\\0,5 ", b"nan\\1 ", b"1\\inf ", b"1\\2\\3 ", b"1e999\\1"]
)
def test_what_is_no_pair_of_numbers_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(Refused, match=r"PixelSpacing \(0028,0030\)") as refusal:
        numbers(raw("PixelSpacing", "DS", value), "PixelSpacing", 2)
    assert refusal.value.reason is Reason.BAD_ATTRIBUTE


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
def test_the_refusal_does_not_quote_the_value() -> None:
    with pytest.raises(Refused) as refusal:
        number(raw("SliceThickness", "DS", b"DOE^JANE"), "SliceThickness")
    assert "DOE" not in str(refusal.value)


@pytest.mark.verifies("SRS-023", level="unit", technique="boundary")
@pytest.mark.parametrize("value", [b"", b"  ", b"\0"])
def test_absent_and_empty_are_none(value: bytes) -> None:
    assert number(raw("SliceThickness", "DS", value), "SliceThickness") is None
    assert number(Dataset(), "SliceThickness") is None


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
@pytest.mark.parametrize(("value", "expected"), [(b"12", 12), (b"12.0", 12), (b" 12 ", 12)])
def test_whole_numbers_may_be_written_with_a_point(value: bytes, expected: int) -> None:
    assert whole_number(raw("InstanceNumber", "IS", value), "InstanceNumber") == expected


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
def test_part_of_a_row_is_refused() -> None:
    with pytest.raises(Refused, match="whole number"):
        whole_number(raw("Rows", "DS", b"12.5"), "Rows")


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
def test_broken_tie_breakers_do_no_harm() -> None:
    assert harmless_number(raw("InstanceNumber", "IS", b"abc "), "InstanceNumber") is None


@pytest.mark.verifies("SRS-023", "SRS-027", level="unit", technique="bad-input")
def test_text_keeps_unknown_bytes_apart() -> None:
    one, two = raw("PatientID", "LO", b"\xe4 "), raw("PatientID", "LO", b"\xf6 ")
    assert text(one, "PatientID") != text(two, "PatientID")
    assert text(Dataset(), "PatientID") == ""
    assert texts(raw("ImageType", "CS", b"ORIGINAL\\ PRIMARY \\AXIAL "), "ImageType") == (
        "ORIGINAL",
        "PRIMARY",
        "AXIAL",
    )


@pytest.mark.verifies("SRS-023", level="unit", technique="example")
def test_touched_elements_read_the_same() -> None:
    ds = Dataset()
    ds.PixelSpacing = [0.5, 0.25]
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.Rows = 12
    ds.InstanceNumber = None
    assert numbers(ds, "PixelSpacing", 2) == (0.5, 0.25)
    assert texts(ds, "ImageType") == ("ORIGINAL", "PRIMARY")
    assert whole_number(ds, "Rows") == 12
    assert number(ds, "InstanceNumber") is None
    assert text(ds, "InstanceNumber") == ""
