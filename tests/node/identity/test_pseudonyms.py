from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID, UID_dictionary

from node.dicom.uids import derive_uid, is_derived
from node.identity import Pseudonymiser
from tests.node.identity.studies import KEYS, OTHER_KEYS

P = Pseudonymiser(KEYS)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\\"), max_size=64)
UIDS = st.from_regex(r"1\.(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){1,5}", fullmatch=True)


@pytest.mark.verifies("SRS-044", level="unit", technique="property")
@settings(deadline=None)
@given(TEXT, TEXT, TEXT, TEXT)
def test_two_issuers_never_collide(issuer: str, patient: str, other_issuer: str, other_patient: str) -> None:
    same = (issuer.strip(), patient.strip()) == (other_issuer.strip(), other_patient.strip())
    empty = not patient.strip() or not other_patient.strip()
    assert empty or (P.patient(issuer, patient) == P.patient(other_issuer, other_patient)) == same


@pytest.mark.verifies("SRS-044", level="unit", technique="boundary")
def test_the_border_between_issuer_and_patient_counts() -> None:
    assert P.patient("A", "BC") != P.patient("AB", "C")
    assert P.patient("", "ABC") != P.patient("ABC", "ABC")


@pytest.mark.verifies("SRS-044", level="unit", technique="boundary")
@pytest.mark.parametrize("patient_id", ["", "   ", "\t"])
def test_no_patient_id_no_pseudonym(patient_id: str) -> None:
    assert P.patient("ISSUER", patient_id) == ""


@pytest.mark.verifies("SRS-044", level="unit", technique="example")
def test_padding_is_no_part_of_an_identifier() -> None:
    assert P.patient("A ", " 12 ") == P.patient("A", "12")
    assert P.uid("1.2.3\0") == P.uid("1.2.3")


@pytest.mark.verifies("SRS-042", "SRS-044", level="unit", technique="boundary")
def test_pseudonyms_fit_their_attributes() -> None:
    """LO 64, SH 16, UI 64 characters: PS3.5 table 6.2-1."""
    patient, key = P.patient("", "1"), P.study_key("1.2.3")
    assert len(patient) == 30
    assert patient.isascii()
    assert len(key) == 16
    assert len(P.uid("1.2.3")) <= 64


@pytest.mark.verifies("SRS-044", "SRS-045", level="unit", technique="property")
@settings(deadline=None)
@given(UIDS)
def test_uids_are_valid_marked_and_apart_from_results(uid: str) -> None:
    pseudonym = P.uid(uid)
    assert pseudonym.is_valid
    assert pseudonym.startswith("2.25.")
    assert P.is_pseudonym(pseudonym)
    assert is_derived(pseudonym)  # a UUID of version 8 like all that the node makes
    assert not P.is_pseudonym(uid)
    assert not P.is_pseudonym(derive_uid(uid))
    assert not Pseudonymiser(OTHER_KEYS).is_pseudonym(pseudonym)
    assert Pseudonymiser(OTHER_KEYS).uid(uid) != pseudonym


@pytest.mark.verifies("SRS-045", level="unit", technique="example")
def test_well_known_uids_are_untouched() -> None:
    for uid in UID_dictionary:
        assert P.uid(uid) == uid
        assert not P.is_pseudonym(uid)
    assert P.uid("1.2.840.100080.1") != "1.2.840.100080.1"  # a neighbour of the root, not under it


@pytest.mark.verifies("SRS-044", level="unit", technique="boundary")
@pytest.mark.parametrize("uid", ["", "\0", "  "])
def test_an_empty_uid_is_an_error(uid: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        P.uid(uid)


@pytest.mark.verifies("SRS-045", level="unit", technique="bad-input")
@pytest.mark.parametrize("uid", ["2.25.", "2.25.0", "2.25.-5", f"2.25.{1 << 128}", "2.25.٣", "2.25.1\n", "", "x"])
def test_nonsense_is_no_pseudonym(uid: str) -> None:
    assert not P.is_pseudonym(uid)


@pytest.mark.verifies("SRS-046", level="unit", technique="property")
@settings(deadline=None)
@given(TEXT, TEXT, UIDS, UIDS)
def test_the_shift_is_one_a_patient_and_never_zero(issuer: str, patient: str, study: str, other: str) -> None:
    shift = P.date_shift(issuer, patient, study)
    assert shift.total_seconds() == shift.days * 86400
    assert -3650 <= shift.days <= -1
    if patient.strip():
        assert P.date_shift(issuer, patient, other) == shift


@pytest.mark.verifies("SRS-046", level="unit", technique="example")
def test_without_a_patient_the_shift_is_the_studys_own() -> None:
    shifts = {P.date_shift("", "", f"1.2.3.{number}").days for number in range(50)}
    assert len(shifts) > 40


@pytest.mark.verifies("SRS-045", level="unit", technique="example")
def test_pseudonyms_are_found_in_any_bytes() -> None:
    uid = P.uid("1.2.3").encode()
    for hit in (
        P.patient("", "1").encode(),
        P.study_key("1.2.3").encode(),
        uid,
        uid + b"0\0",
        b"\x2e\x00" + uid + b"\0",
    ):
        assert P.found_in(b"\x10\x00" + hit)
        assert P.found_in(memoryview(b"\x10\x00" + hit))
    for miss in (b"", derive_uid("x").encode(), uid[:-2], b"PSN-1", Pseudonymiser(OTHER_KEYS).uid("1.2.3").encode()):
        assert not P.found_in(miss)


@pytest.mark.verifies("SRS-044", level="integration", technique="consistency")
def test_the_same_in_every_process() -> None:
    code = (
        "from node.identity import Pseudonymiser as P; from tests.node.identity.studies import KEYS; p = P(KEYS);"
        "print(p.patient('I', '12'), p.uid('1.2.3'), p.study_key('1.2.3'), p.date_shift('I', '12', '1.2.3').days)"
    )
    expected = f"{P.patient('I', '12')} {P.uid('1.2.3')} {P.study_key('1.2.3')} {P.date_shift('I', '12', '1.2.3').days}"
    root = Path(__file__).parents[3]
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={"PYTHONHASHSEED": seed},
        )
        assert run.stdout.strip() == expected


@pytest.mark.verifies("SRS-044", "SRS-046", level="unit", technique="oracle")
def test_the_derivation_is_this_one_for_ever() -> None:
    """Written out with the standard library: a site that updates must find its patients again."""

    def mac(key: bytes, *parts: str) -> bytes:
        return hmac.digest(key, b"".join(len(p).to_bytes(8, "big") + p.encode() for p in parts), hashlib.sha256)

    digest = bytearray(mac(KEYS.uid, "1.2.3")[:16])
    digest[6], digest[8] = digest[6] & 15 | 128, digest[8] & 63 | 128
    digest[12:] = hmac.digest(KEYS.mark, bytes(digest[:12]), hashlib.sha256)[:4]
    assert P.uid("1.2.3") == UID(f"2.25.{int.from_bytes(digest, 'big')}")
    assert int.from_bytes(mac(KEYS.date, "I", "12")[:8], "big") % 3650 + 1 == -P.date_shift("I", "12", "1.2.3").days
