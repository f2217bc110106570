"""The last look before a result may leave: its bytes, against the pseudonymous result and the source itself.

It trusts neither the restoring code nor the vault alone. It reads what was written, asks the source's own header whose
it is, and proves each returned UID by making its pseudonym again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.dicom.files import from_file, to_file
from node.dicom.reasons import Reason, Refused
from node.identity import dates, roles
from node.identity.deidentify import Subject
from node.identity.pseudonyms import Pseudonymiser
from node.identity.record import IDENTITY
from node.identity.restore import OF_PSEUDONYMITY
from node.identity.values import PADDING, ascii_values, element_values, tag_of, text_value, vr_of
from node.identity.vault import Vault

_IDENTITY_TAGS = frozenset(Tag(tag_of(keyword)) for keyword in IDENTITY)
_NOT_COMPARED = _IDENTITY_TAGS | {Tag(tag_of(keyword)) for keyword in ("SpecificCharacterSet", *OF_PSEUDONYMITY)}
_PATIENT_GROUP = 0x0010


def check_restored(data: bytes, result: PseudonymousDataset, source: RealDataset, vault: Vault) -> None:
    """Prove that written bytes are this result, under the identity of this source image, and nothing else.

    Parameters
    ----------
    data
        The restored result as it will be sent: a DICOM file.
    result
        What was restored.
    source
        Header of a source image, read anew: the first of those that `node.identity.study.pseudonymise_study` was
        given. Untouched elements are compared byte by byte.
    vault
        The site's.

    Raises
    ------
    Refused
        ``identity-mismatch``: a pseudonym (anybody's) is left anywhere in the bytes; the patient or study attributes
        are not exactly the source's; a UID is not the real one of its pseudonym in this study; or anything else differs
        from the result.
    """
    if vault.pseudonymiser.found_in(data):
        raise _refusal("a pseudonym is left in the restored result")
    subject = Subject.of(source)
    patient = vault.pseudonymiser.patient(subject.issuer, subject.patient_id)
    study = str(vault.pseudonymiser.uid(subject.study_uid))
    stated = (text_value(result.dataset, "PatientID"), text_value(result.dataset, "StudyInstanceUID"))
    if stated != (patient, study):
        raise _refusal("the result is of another study than this source")
    before, after = from_file(to_file(result.dataset)), from_file(bytes(data))
    if after.file_meta.MediaStorageSOPInstanceUID != after.SOPInstanceUID:
        raise _refusal("the file meta information names another object")
    _check_identity(after, source.dataset)
    comparison = _Comparison(
        pseudonymiser=vault.pseudonymiser,
        real=frozenset(vault.study(patient, study).uids.values()),
        shift=vault.pseudonymiser.date_shift(subject.issuer, subject.patient_id, subject.study_uid),
    )
    comparison.compare(before, after, _NOT_COMPARED)


def _refusal(text: str) -> Refused:
    return Refused(Reason.IDENTITY_MISMATCH, text)


def _check_identity(after: Dataset, source: Dataset) -> None:
    if any(tag.group == _PATIENT_GROUP for tag in after.keys() - _IDENTITY_TAGS):
        raise _refusal("the restored result has a patient attribute that is not restored")
    if any(keyword in after for keyword in OF_PSEUDONYMITY):
        raise _refusal("the restored result still says that it is pseudonymous")
    for keyword in IDENTITY:
        if not _same_identity(after, source, keyword):
            raise _refusal(f"{keyword} of the restored result is not the source's")


def _same_identity(after: Dataset, source: Dataset, keyword: str) -> bool:
    tag = Tag(tag_of(keyword))
    if dictionary_VR(tag) == "SQ":
        return (after[tag].value if tag in after else []) == (source[tag].value if tag in source else [])
    one, other = after.get_item(tag), source.get_item(tag)
    same_character_set = _character_set(after) == _character_set(source)
    if same_character_set and isinstance(one, RawDataElement) and isinstance(other, RawDataElement):
        pad = PADDING.encode("ascii")
        return (one.value or b"").rstrip(pad) == (other.value or b"").rstrip(pad)
    return text_value(after, keyword) == text_value(source, keyword)


def _character_set(dataset: Dataset) -> tuple[str, ...]:
    return ascii_values(dataset, "SpecificCharacterSet")


@dataclass(frozen=True)
class _Comparison:
    """The result before and after, side by side.

    Attributes
    ----------
    pseudonymiser
        To make pseudonyms of real UIDs again.
    real
        The real UIDs of the study.
    shift
        What was added to the source's dates, derived from the source anew.
    """

    pseudonymiser: Pseudonymiser
    real: frozenset[str]
    shift: timedelta

    def compare(self, before: Dataset, after: Dataset, leave_out: frozenset[BaseTag] = frozenset()) -> None:
        if before.keys() - leave_out != after.keys() - leave_out:
            raise _refusal("restoring added or lost an attribute")
        for tag in before.keys() - leave_out:
            if not self._agree(before, after, tag):
                raise _refusal(f"restoring changed {keyword_for_tag(tag) or tag} to what it should not be")

    def _agree(self, before: Dataset, after: Dataset, tag: BaseTag) -> bool:
        one, other = before.get_item(tag), after.get_item(tag)
        vr = vr_of(one)
        if vr != vr_of(other):
            return False
        if vr == "SQ":
            items, others = before[tag].value, after[tag].value
            for item_before, item_after in zip(items, others, strict=False):
                self.compare(item_before, item_after)
            return len(items) == len(others)
        if vr == "UI":
            uids, back = element_values(one), element_values(other)
            return len(uids) == len(back) and all(map(self._stands_for, uids, back))
        if vr in ("DA", "DT") and roles.is_source_date(before, keyword_for_tag(tag)):
            return [dates.move(value, self.shift) for value in element_values(other)] == list(element_values(one))
        if isinstance(one, RawDataElement) and isinstance(other, RawDataElement):
            return one.value == other.value
        return bool(before[tag].value == after[tag].value)

    def _stands_for(self, before: str, after: str) -> bool:
        return before == after or (after in self.real and self.pseudonymiser.uid(after) == before)
