"""Values of attributes as the source's bytes have them.

pydicom converts a value when it is first touched, and its complaint about a malformed one quotes it: an identity in a
warning. What is untouched is therefore read from its bytes here, and left untouched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import format_number_as_ds

Element = DataElement | RawDataElement
"""An element as pydicom holds it: converted, or still the file's bytes."""

PADDING = " \0"
_DS_LENGTH = 16
_IS_LIMIT = 1 << 31


@cache
def tag_of(keyword: str) -> int:
    """Return the tag of a keyword of PS3.6.

    Raises
    ------
    KeyError
        If there is no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


def vr_of(element: Element) -> str:
    """Return the value representation of an element, from the dictionary where the file does not state it."""
    if element.VR:
        return str(element.VR)
    return dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN"


def raw_element(tag: int, value: bytes) -> RawDataElement:
    """Return a string element that holds exactly these bytes, padded to an even length (PS3.5 section 6.2)."""
    vr = dictionary_VR(tag)
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return RawDataElement(Tag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def element_values(element: Element | None) -> tuple[str, ...]:
    """Return the values of a string element that has no character set of its own (CS, DA, DS, IS, TM, UI, ...).

    Padding is gone; other bytes than ASCII are read as ISO 8859-1. Empty if it is None or has no value.
    """
    if element is None or element.value is None:
        return ()
    if isinstance(element, RawDataElement):
        values: Sequence[object] = (element.value or b"").decode("iso8859-1").split("\\")
    else:
        values = element.value if isinstance(element.value, MultiValue | list | tuple) else [element.value]
    stripped = tuple(str(value).strip(PADDING) for value in values)
    return stripped if any(stripped) else ()


def ascii_values(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of such an attribute of a data set; empty if it is missing."""
    return element_values(dataset.get_item(tag_of(keyword)))


def text_value(dataset: Dataset, keyword: str) -> str:
    """Return a text attribute (LO, SH, PN) decoded by the data set's character set, "" if it is missing."""
    element: Element | None = dataset.get_item(tag_of(keyword))
    if element is None or not element.value:
        return ""
    if isinstance(element, RawDataElement):
        if isinstance(element.value, bytes) and element.value.isascii() and b"\x1b" not in element.value:
            return element.value.decode("ascii").strip(PADDING)
        element = convert_raw_data_element(element, encoding=dataset.original_character_set, ds=dataset)
    value = element.value
    text = "\\".join(str(part) for part in value) if isinstance(value, MultiValue) else str(value)
    return text.strip(PADDING)


def number_element(dataset: Dataset, keyword: str) -> DataElement | None:
    """Return a numeric attribute as a clean element of its own, or None if it is missing or not wholly numbers."""
    tag = Tag(tag_of(keyword))
    if tag not in dataset:
        return None
    vr = dictionary_VR(tag)
    try:
        if vr == "DS":
            return _element(tag, vr, [_decimal(value) for value in ascii_values(dataset, keyword)])
        if vr == "IS":
            return _element(tag, vr, [_integer(value) for value in ascii_values(dataset, keyword)])
        element = dataset[tag]
        values = element.value if isinstance(element.value, MultiValue | list | tuple) else [element.value]
        if element.VR not in vr or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            return None
        return _element(tag, element.VR, values)
    except (ValueError, TypeError, NotImplementedError):
        return None


def _element(tag: BaseTag, vr: str, values: Sequence[object]) -> DataElement | None:
    return DataElement(tag, vr, values[0] if len(values) == 1 else list(values)) if values else None


def _decimal(text: str) -> str:
    """Check a decimal string and shorten it to the 16 characters that the VR allows: an error below 1e-12."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return text if len(text) <= _DS_LENGTH and "_" not in text else format_number_as_ds(number)


def _integer(text: str) -> int:
    number = float(text)
    if not number.is_integer() or abs(number) >= _IS_LIMIT:
        raise ValueError("not an integer")
    return int(number)
