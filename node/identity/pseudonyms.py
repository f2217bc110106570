"""Keyed pseudonyms: the same for the same patient and UID in every study and process, reversible by nobody.

All are HMAC-SHA256 under the site's keys. Nothing is stored to make one, so that receivers and workers on several
machines agree without a database. The way back is the vault's.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from pydicom.uid import UID

from node.identity.keys import Keys

WELL_KNOWN_ROOT = "1.2.840.10008."
"""UIDs that the standard itself registers (PS3.6 annex A): they name no instance and are never replaced."""

_PATIENT_PREFIX = "PSN-"
_PATIENT = re.compile(rb"PSN-[A-Z2-7]{26}")
_STUDY_PREFIX = "PSS-"
_STUDY = re.compile(rb"PSS-[A-Z2-7]{12}")
_UID = re.compile(r"2\.25\.[1-9][0-9]{0,38}")
# In a file the next element's tag may follow at once, and groups 0030 to 0039 begin with the byte of a digit.
_UID_IN_FILE = re.compile(rb"2\.25\.[1-9][0-9]{0,39}")
_MARK_BITS = 32
# Ten years: enough to hide the year, and to the past, because viewers and validators complain of dates to come.
_LARGEST_SHIFT_DAYS = 3650


class Pseudonymiser:
    """Makes the pseudonyms of one site.

    Parameters
    ----------
    keys
        The site's keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def patient(self, issuer: str, patient_id: str) -> str:
        """Return a patient's pseudonym, ``PSN-`` and 128 bits in base 32; "" for a patient without an ID.

        Parameters
        ----------
        issuer
            Who gave the ID: two issuers' equal IDs are two patients. "" if not stated.
        patient_id
            PatientID. Empty or blank: the pseudonym is "", and the study is never linked to another.
        """
        patient_id = patient_id.strip()
        if not patient_id:
            return ""
        digest = _hmac(self._keys.patient, issuer.strip(), patient_id)
        return _PATIENT_PREFIX + base64.b32encode(digest[:16]).decode("ascii").rstrip("=")

    def uid(self, uid: str) -> UID:
        """Return the UID that stands for a real one, ``2.25.`` and 128 bits; a well-known UID unchanged.

        Parameters
        ----------
        uid
            A UID as the source has it, well-formed or not.

        Raises
        ------
        ValueError
            If it is empty.

        Notes
        -----
        PS3.5 B.2, with the bits of a UUID of version 8 (RFC 9562 5.8). The last 32 bits are an HMAC of the others, so
        that `is_pseudonym` knows every pseudonym of this site again, whoever's it is.
        """
        uid = uid.strip(" \0")
        if not uid:
            raise ValueError("an empty UID has no pseudonym")
        if uid.startswith(WELL_KNOWN_ROOT):
            return UID(uid)
        digest = bytearray(_hmac(self._keys.uid, uid)[:16])
        digest[6] = (digest[6] & 0x0F) | 0x80
        digest[8] = (digest[8] & 0x3F) | 0x80
        digest[12:] = self._mark(bytes(digest[:12]))
        return UID(f"2.25.{int.from_bytes(digest, 'big')}")

    def is_pseudonym(self, uid: str) -> bool:
        """Tell whether a UID is a pseudonym that this site's keys made (wrong once in 4,000,000,000 other UIDs)."""
        number = int(uid.removeprefix("2.25.")) if _UID.fullmatch(uid) else 0
        if not 0 < number < 1 << 128:
            return False
        digest = number.to_bytes(16, "big")
        return digest[12:] == self._mark(digest[:12])

    def study_key(self, study_uid: str) -> str:
        """Return the short name of a study for logs, job names and StudyID: ``PSS-`` and 60 bits, 16 characters.

        Parameters
        ----------
        study_uid
            The real StudyInstanceUID.
        """
        digest = _hmac(self._keys.study, study_uid.strip(" \0"))
        return _STUDY_PREFIX + base64.b32encode(digest[:10]).decode("ascii")[:12]

    def date_shift(self, issuer: str, patient_id: str, study_uid: str) -> timedelta:
        """Return by how much a patient's dates are moved: whole days to the past, never zero, at most ten years.

        Parameters
        ----------
        issuer, patient_id
            As for `patient`: one shift a patient, so that the time between studies stays true.
        study_uid
            The real StudyInstanceUID: takes the patient's place where there is no PatientID.
        """
        patient_id = patient_id.strip()
        whose = (issuer.strip(), patient_id) if patient_id else ("study", "", study_uid.strip(" \0"))
        number = int.from_bytes(_hmac(self._keys.date, *whose)[:8], "big")
        return -timedelta(days=1 + number % _LARGEST_SHIFT_DAYS)

    def found_in(self, data: bytes | memoryview) -> bool:
        """Tell whether bytes hold any pseudonym of this site as text: of a patient, a study or a UID."""
        if _PATIENT.search(data) or _STUDY.search(data):
            return True
        candidates = {match.decode("ascii") for match in _UID_IN_FILE.findall(data)}
        return any(self.is_pseudonym(uid) or self.is_pseudonym(uid[:-1]) for uid in candidates)

    def _mark(self, body: bytes) -> bytes:
        mac = HMAC(self._keys.mark, SHA256())
        mac.update(body)
        return mac.finalize()[: _MARK_BITS // 8]


def _hmac(key: bytes, *parts: str) -> bytes:
    """Authenticate parts, each with its length before it: ("a", "bc") and ("ab", "c") never meet."""
    mac = HMAC(key, SHA256())
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        mac.update(len(encoded).to_bytes(8, "big") + encoded)
    return mac.finalize()
