"""The way in: a study gets its pseudonyms, and the vault knows the way back before anybody sees them."""

from __future__ import annotations

from collections.abc import Sequence

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.identity.deidentify import pseudonymise
from node.identity.record import StudyRecord
from node.identity.vault import Vault


def pseudonymise_study(headers: Sequence[RealDataset], vault: Vault) -> tuple[PseudonymousDataset, ...]:
    """Keep the way back of a study in the vault, durably, and return its pseudonymous headers in the same order.

    Parameters
    ----------
    headers
        Headers of one study of one patient, at least one. The first one's patient and study attributes are what the
        results will carry. May be called again when more images came.
    vault
        The site's.

    Raises
    ------
    Refused
        ``more-than-one-patient`` if the headers name several patients or studies; ``identity-mismatch`` if the vault
        knows the study as another patient's; ``bad-attribute`` if a UID is missing or a name cannot be decoded.
    """
    record = StudyRecord.of(headers, vault.pseudonymiser)
    pseudonymous = tuple(pseudonymise(header, vault.pseudonymiser) for header in headers)
    vault.keep(record)
    return pseudonymous
