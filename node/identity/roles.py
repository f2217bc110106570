"""What a UID or a date in a result means, by the attribute or content item that holds it.

A result holds three kinds of UIDs: those of its source, which must come back; its own, which stay; and constants of
coding schemes. Which is which is decided by where it stands, never by what it looks like, so that a foreign instance
cannot pass as the result's own. What stands in no list here is refused: a new template must say what its dates mean.
"""

from __future__ import annotations

from pydicom import Dataset

OWN_AT_ROOT = frozenset(("SOPInstanceUID", "SeriesInstanceUID"))
"""The result itself, and the series that was made for it."""

OWN = frozenset(("TrackingUID", "DimensionOrganizationUID"))
"""Made by the node at any depth: what is tracked, and the order of frames."""

CODING_SCHEME_ROOT = "2.16.840.1.113883."
"""HL7's registry, where CodingSchemeUID has those that the standard does not register itself (PS3.16 table 8-1)."""

OWN_CONCEPTS = frozenset((("112040", "DCM"), ("121012", "DCM")))
"""UIDREF content items that the node makes: Tracking Unique Identifier, Device Observer UID."""

OWN_DATES = frozenset(("InstanceCreationDate", "SeriesDate", "ContentDate", "ObservationDateTime"))
"""When the result was made, in real time: they stay."""

SOURCE_DATES = frozenset(
    ("AcquisitionDate", "AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime")
)
"""When the source was acquired, in the patient's shifted time: they come back."""

SOURCE_DATE_CONCEPTS = frozenset((("111018", "DCM"), ("111060", "DCM"), ("126201", "DCM"), ("122146", "DCM")))
"""DATE and DATETIME content items of the source: Content Date, Study Date, Acquisition Date, Procedure DateTime."""

_ACQUISITION_EQUIPMENT = ("109101", "DCM")


def concept(item: Dataset, sequence: str = "ConceptNameCodeSequence") -> tuple[str, str] | None:
    """Return value and scheme of an item's code, None if it has none (PS3.3 section 8.1)."""
    codes = item.get(sequence)
    if not codes:
        return None
    return str(codes[0].get("CodeValue", "")), str(codes[0].get("CodingSchemeDesignator", ""))


def is_source_date(item: Dataset, keyword: str) -> bool | None:
    """Tell whether a date is of the source; False if it is the result's own, None if nothing here says what it means.

    Parameters
    ----------
    item
        The data set or sequence item that holds it.
    keyword
        Of the date.
    """
    if keyword in SOURCE_DATES or keyword in OWN_DATES:
        return keyword in SOURCE_DATES
    if keyword in ("Date", "DateTime"):
        return True if concept(item) in SOURCE_DATE_CONCEPTS else None
    if keyword == "ContributionDateTime":  # highdicom copies the source's equipment and when it acquired
        return concept(item, "PurposeOfReferenceCodeSequence") == _ACQUISITION_EQUIPMENT
    return None
