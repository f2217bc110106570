"""Compare coded concepts as they were read with what they shall be: value, scheme and meaning.

Capitals in a meaning do not count: the editions of PS3.16 differ in them, and so do the libraries.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.sr.coding import Code

from node.report.defects import Defect, require

Triplet = tuple[str, str, str]


def triplet(item: Dataset) -> Triplet:
    """Return value, scheme and meaning of a coded concept as it was read."""
    return (
        str(item.get("CodeValue", "")),
        str(item.get("CodingSchemeDesignator", "")),
        str(item.get("CodeMeaning", "")).casefold(),
    )


def as_triplet(code: Code) -> Triplet:
    """Return value, scheme and meaning of a code."""
    return code.value, code.scheme_designator, code.meaning.casefold()


def check_code(sequence: Sequence[Dataset] | None, expected: Code, what: str) -> None:
    """Refuse unless a code sequence holds exactly this concept.

    Parameters
    ----------
    sequence
        As it was read; None if it is missing.
    expected
        The concept.
    what
        For the refusal's text.
    """
    items = list(sequence or [])
    require(
        len(items) == 1 and triplet(items[0]) == as_triplet(expected), Defect.WRONG_CODE, f"{what} is coded wrongly"
    )
