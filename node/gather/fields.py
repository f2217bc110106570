"""Attribute values out of a header whose writer may have broken the rules.

pydicom converts a value when it is touched, and then warns (quoting the value, which may name a patient), returns a
string where a number was due, or raises. Selection needs two answers only: the number, or that there is none to be had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from node.dicom.reasons import Reason, Refused

# Bytes a value of each binary VR: PS3.5 table 6.2-1.
BINARY_VR = {"AT": 4, "FD": 8, "FL": 4, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2}
BINARY_VR |= {"SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_NUMBER_VR = {"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"}
LONG_VR = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)


def raw(dataset: Dataset, keyword: str) -> RawDataElement | DataElement | None:
    """Return the element unconverted where it has not been touched yet, None if absent."""
    tag = _tag(keyword)
    return dataset.get_item(tag, keep_deferred=True) if tag in dataset else None


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def text(dataset: Dataset, keyword: str) -> str:
    """Return a text value without padding, "" if absent; bytes outside ASCII stay distinct but are not decoded.

    Parameters
    ----------
    dataset
        The header.
    keyword
        DICOM keyword of an attribute with a text VR.
    """
    element = raw(dataset, keyword)
    if element is None:
        return ""
    if isinstance(element, RawDataElement):
        return (element.value or b"").decode("latin-1").strip(" \0")
    return "\\".join(map(str, _values(element.value))).strip(" \0")


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of a multi-valued text attribute, empty if absent."""
    joined = text(dataset, keyword)
    return tuple(part.strip(" \0") for part in joined.split("\\")) if joined else ()


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return exactly `count` finite numbers, or None if the attribute is absent or empty.

    Numbers are taken as they come: an IS of "12.0" or a DS that was written with a binary VR does no harm.

    Raises
    ------
    Refused
        BAD_ATTRIBUTE if there is a value and it is not `count` finite numbers.
    """
    element = raw(dataset, keyword)
    if element is None or _is_empty(element.value):
        return None
    try:
        values = _floats(dataset, keyword, element)
    except (ValueError, TypeError, OverflowError):
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        wanted = "a finite number" if count == 1 else f"{count} finite numbers"
        raise Refused(Reason.BAD_ATTRIBUTE, f"{keyword} {Tag(keyword)} does not hold {wanted}.")
    return values


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return one finite number, or None if the attribute is absent or empty; see `numbers`."""
    values = numbers(dataset, keyword, 1)
    return None if values is None else values[0]


def harmless_number(dataset: Dataset, keyword: str) -> float | None:
    """Return one number, or None also where the value is broken: for attributes that only break ties or are cited."""
    try:
        return number(dataset, keyword)
    except Refused:
        return None


def whole_number(dataset: Dataset, keyword: str) -> int | None:
    """Return one whole number, or None if the attribute is absent or empty; see `numbers`."""
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise Refused(Reason.BAD_ATTRIBUTE, f"{keyword} {Tag(keyword)} does not hold a whole number.")
    return None if value is None else int(value)


def value_representation(element: RawDataElement | DataElement) -> str:
    """Return the VR as written, or the dictionary's for implicit VR and UN; "" if neither knows one."""
    written = str(element.VR or "")
    if written not in {"", "UN"}:
        return written
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return written


def _values(value: Any) -> Sequence[Any]:
    """Return the values of a touched element as a sequence: none, one, or pydicom's MultiValue."""
    if value is None:
        return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)


def _is_empty(value: Any) -> bool:
    if isinstance(value, bytes):
        return not value.strip(b" \0")
    return value == "" or len(_values(value)) == 0


def _floats(dataset: Dataset, keyword: str, element: RawDataElement | DataElement) -> tuple[float, ...]:
    if not isinstance(element, RawDataElement) or value_representation(element) in _NUMBER_VR:
        return tuple(float(part) for part in _values(dataset[keyword].value))
    return tuple(float(part) for part in texts(dataset, keyword))
