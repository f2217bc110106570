"""The way back: a result under pseudonyms becomes one under the patient's identity, or is refused.

Three witnesses must name one patient and one study: the job that the result was made in, the study that it states, and
every instance, series and frame of reference that it refers to at any depth. The patient's name is written only then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
from pydicom import DataElement, Dataset, FileDataset
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.dicom.files import from_file, to_file
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import is_derived
from node.identity import dates, roles
from node.identity.pseudonyms import WELL_KNOWN_ROOT, Pseudonymiser
from node.identity.record import IDENTITY, StudyRecord
from node.identity.values import Element, ascii_values, element_values, raw_element, tag_of, vr_of
from node.identity.vault import Vault

_log = structlog.get_logger(__name__)

OF_PSEUDONYMITY = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)
"""What says that a data set is pseudonymous; highdicom copies it from the source's header."""

_TYPE_2 = frozenset(
    (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "ReferringPhysicianName",
    )
)
"""Those of the identity that a result must have, if empty (PS3.3 tables C.7-1 and C.7-3)."""

_TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_UTF_8 = ("ISO_IR 192",)
_REPLACEMENT = "\ufffd"


def restore(
    result: PseudonymousDataset,
    vault: Vault,
    *,
    job_study_uid: str,
    companions: Collection[PseudonymousDataset] = (),
) -> RealDataset:
    """Bring a SEG or SR back under the identity of its patient.

    Parameters
    ----------
    result
        The result, with pixel data; it is not changed.
    vault
        The site's.
    job_study_uid
        Pseudonym of the study that the job was about, from the job and not from the result.
    companions
        Other results of the same job that this one may refer to: the SEG that an SR speaks of.

    Returns
    -------
    RealDataset
        A plain data set with file meta information, of the same transfer syntax. Every UID of the source is real
        again, its dates are moved back, and the patient and study attributes are the source's own bytes in the
        source's character set (in UTF-8 where the result's own text needs it). The result's own UIDs and times stay.

    Raises
    ------
    Refused
        ``identity-mismatch`` if the witnesses disagree, or the result refers to what the vault does not know;
        ``check-failed`` if it holds a UID or date of which nothing says what it means; ``bad-attribute`` if the
        source's name cannot be read and the result's own text asks for another character set.
    """
    record = _agreed_record(result.dataset, vault, job_study_uid)
    made_with_it = frozenset(uid for one in companions for uid in _made_by(one.dataset, vault, job_study_uid))
    dataset = from_file(to_file(result.dataset))
    walk = _Walk(record, vault.pseudonymiser, made_with_it | _own_uids(dataset))
    walk.restore(dataset, root=True)
    if not walk.sources:
        raise Refused(Reason.IDENTITY_MISMATCH, "the result refers to no image of its study")
    _put_identity(dataset, record, plain_text=walk.plain_text)
    dataset.file_meta, dataset.preamble = _file_meta(dataset), b"\0" * 128
    _log.info("identity.restored", study=job_study_uid, references=walk.sources)
    return RealDataset(dataset)


def _agreed_record(dataset: Dataset, vault: Vault, job_study_uid: str) -> StudyRecord:
    study, patient = _one(dataset, "StudyInstanceUID"), _one(dataset, "PatientID")
    if study != job_study_uid:
        raise Refused(Reason.IDENTITY_MISMATCH, "the result is of another study than its job")
    return vault.study(patient, study)


def _made_by(companion: Dataset, vault: Vault, job_study_uid: str) -> frozenset[str]:
    """Return the own UIDs of a result of the same job, having looked that it is one."""
    _agreed_record(companion, vault, job_study_uid)
    own = _own_uids(companion)
    if not all(_is_own(uid, vault.pseudonymiser) for uid in own):
        raise Refused(
            Reason.IDENTITY_MISMATCH, "a companion of the result has a UID as its own that this node never made"
        )
    return own


def _is_own(uid: str, pseudonymiser: Pseudonymiser) -> bool:
    """Tell whether this node made a UID for a result: no scanner's, and nobody's pseudonym."""
    return is_derived(uid) and not pseudonymiser.is_pseudonym(uid)


def _own_uids(dataset: Dataset) -> frozenset[str]:
    return frozenset(_one(dataset, keyword) for keyword in roles.OWN_AT_ROOT)


def _one(dataset: Dataset, keyword: str) -> str:
    values = ascii_values(dataset, keyword)
    if len(values) > 1:
        raise Refused(Reason.IDENTITY_MISMATCH, f"the result has several values of {keyword}")
    return values[0] if values else ""


@dataclass
class _Walk:
    """One pass over a result, changing it in place.

    Attributes
    ----------
    record
        Of the study that it must be of.
    pseudonymiser
        To know pseudonyms again, whoever's they are.
    referable
        UIDs of the result itself and of its companions.
    sources
        How many references to the source have come back so far.
    plain_text
        Whether all text so far is ASCII.
    """

    record: StudyRecord
    pseudonymiser: Pseudonymiser
    referable: frozenset[str]
    sources: int = 0
    plain_text: bool = True

    def restore(self, dataset: Dataset, *, root: bool) -> None:
        """Restore the UIDs and dates of a data set and of every sequence item below it."""
        for tag in list(dataset.keys()):
            element: Element = dataset.get_item(tag)
            vr, keyword = vr_of(element), keyword_for_tag(tag)
            if vr == "SQ":
                for item in dataset[tag].value:
                    self.restore(item, root=False)
            elif vr == "UI":
                back = self._own if self._is_own_role(dataset, keyword, root=root) else self._real
                self._replace(dataset, element, [back(uid, keyword) for uid in element_values(element)])
            elif vr in ("DA", "DT") and not (root and keyword in IDENTITY):
                self._replace(dataset, element, self._dates_back(dataset, keyword, element_values(element)))
            elif vr in _TEXT_VRS:
                self.plain_text &= _is_plain(element)

    def _replace(self, item: Dataset, element: Element, values: Sequence[str]) -> None:
        # As bytes: pydicom checks a converted value, and its complaint of a malformed real UID would quote it.
        if tuple(values) != element_values(element):
            item[element.tag] = raw_element(element.tag, "\\".join(values).encode("iso8859-1"))

    def _is_own_role(self, item: Dataset, keyword: str, *, root: bool) -> bool:
        if keyword == "UID":
            return roles.concept(item) in roles.OWN_CONCEPTS
        return keyword in roles.OWN or (root and keyword in roles.OWN_AT_ROOT)

    def _own(self, uid: str, keyword: str) -> str:
        if not _is_own(uid, self.pseudonymiser):
            raise Refused(Reason.IDENTITY_MISMATCH, f"{keyword} should be the result's own and is none this node made")
        return uid

    def _real(self, uid: str, keyword: str) -> str:
        constant = keyword == "CodingSchemeUID" and uid.startswith(roles.CODING_SCHEME_ROOT)
        if constant or uid.startswith(WELL_KNOWN_ROOT) or uid in self.referable:
            return uid
        if uid not in self.record.uids:
            raise Refused(Reason.IDENTITY_MISMATCH, f"{keyword} refers to what the vault does not know of this study")
        self.sources += keyword == "ReferencedSOPInstanceUID"
        return self.record.uids[uid]

    def _dates_back(self, item: Dataset, keyword: str, values: tuple[str, ...]) -> Sequence[str]:
        source = roles.is_source_date(item, keyword) if values else False
        if source is None:
            raise Refused(Reason.CHECK_FAILED, f"nothing says whether {keyword} in the result is the source's")
        if not source:
            return values
        moved = [dates.move(value, -self.record.shift) for value in values]
        if None in moved:
            raise Refused(Reason.CHECK_FAILED, f"{keyword} in the result is no full date")
        return [value for value in moved if value]


def _put_identity(dataset: Dataset, record: StudyRecord, *, plain_text: bool) -> None:
    """Put the patient and study attributes in the place of the pseudonymous ones.

    Plain text can stand in any character set of DICOM (all hold ASCII: PS3.5 section 6.1), so that the source's bytes
    and its character set are taken over as they are. Otherwise the source's text must be converted to the result's.
    """
    identity, tags = record.dataset, [Tag(tag_of(keyword)) for keyword in IDENTITY]
    for tag in (*tags, *(Tag(tag_of(keyword)) for keyword in OF_PSEUDONYMITY)):
        dataset.pop(tag, None)
    if plain_text:
        _take_character_set(dataset, identity)
    elif ascii_values(dataset, "SpecificCharacterSet") != _UTF_8:
        raise Refused(Reason.CHECK_FAILED, "the result's own text is neither ASCII nor UTF-8")
    for keyword, tag in zip(IDENTITY, tags, strict=True):
        if tag in identity:
            raw = plain_text and dictionary_VR(tag) != "SQ"
            dataset[tag] = identity.get_item(tag) if raw else _decoded(identity[tag])
        elif keyword in _TYPE_2:
            dataset.add(DataElement(tag, dictionary_VR(tag), ""))


def _take_character_set(dataset: Dataset, identity: Dataset) -> None:
    tag = Tag(tag_of("SpecificCharacterSet"))
    dataset.pop(tag, None)
    if tag in identity:
        dataset[tag] = identity.get_item(tag)
    # Tells pydicom that the file's bytes are in this character set already, and need no conversion to be written.
    implicit_vr, little_endian = dataset.original_encoding
    charset = list(ascii_values(identity, "SpecificCharacterSet")) or None
    dataset.set_original_encoding(implicit_vr, little_endian, convert_encodings(charset))


def _file_meta(dataset: FileDataset) -> FileMetaDataset:
    """Return file meta information of this object and nothing else: it is no place for what came along."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return meta


def _is_plain(element: Element) -> bool:
    """Tell whether a text is ASCII, without the escape sequences that lead out of it."""
    if isinstance(element, RawDataElement):
        return element.value is None or (element.value.isascii() and b"\x1b" not in element.value)
    return str(element.value).isascii()


def _decoded(element: DataElement) -> DataElement:
    if _REPLACEMENT in str(element.value):
        raise Refused(Reason.BAD_ATTRIBUTE, f"{element.keyword} of the source cannot be read by its character set")
    return element
