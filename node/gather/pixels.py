"""Pixel data to values in Hounsfield units by the header, one slice at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.pixels.utils import pixel_array

from node.dicom.reasons import Reason, Refused
from node.gather.fields import harmless_number, raw
from node.gather.images import CtImage

# Marks padding until it is known what air is. No rescaled value comes near it.
PADDING = np.int16(-32768)
# Padding below air is clipped like any other value; within this range a "padding value" would erase tissue.
_TISSUE_HU = (-900.0, 3071.0)


def rescaled(image: CtImage, place: str) -> NDArray[np.int16]:
    """Decode the pixels of an image and rescale them as the header says.

    Parameters
    ----------
    image
        The image.
    place
        How a refusal names it, for example "Slice 3 of 120".

    Returns
    -------
    numpy.ndarray
        ``(row, column)`` of int16; padding (PS3.3 C.7.5.1.1.2) is `PADDING`.

    Raises
    ------
    Refused
        UNDECODABLE if the pixel data cannot be decoded or are not what the header describes.
    """
    stored = _decoded(image, place)
    values = stored.astype(np.float32) * np.float32(image.slope) + np.float32(image.intercept)
    result: NDArray[np.int16] = np.clip(np.rint(values), -32767, 32767).astype(np.int16)
    padding = _padding(image, stored)
    if padding is not None:
        result[padding] = PADDING
    return result


def _decoded(image: CtImage, place: str) -> NDArray[np.integer[Any]]:
    path = image.header.path
    if path is None:
        raise ValueError("the header was not read from a file")
    try:
        # Not by the path: pydicom 3.0 then looks for the pixels of a deflated file in its deflated bytes.
        stored = pixel_array(dcmread(path), raw=True)
    except OSError as error:
        if error.errno is not None:
            raise
        raise Refused(Reason.UNDECODABLE, f"{place}: the pixel data cannot be decoded.") from None
    except Exception as error:  # noqa: BLE001  whatever bytes a decoder meets, its failure is a property of the file
        raise Refused(
            Reason.UNDECODABLE, f"{place}: the pixel data cannot be decoded ({type(error).__name__})."
        ) from None
    if stored.shape != (image.rows, image.columns):
        raise Refused(
            Reason.UNDECODABLE,
            f"{place}: the pixel data decode to {stored.shape}, the header says {(image.rows, image.columns)}.",
        )
    return stored


def _padding(image: CtImage, stored: NDArray[np.integer[Any]]) -> NDArray[np.bool_] | None:
    """Return where the padding is, None if the header names none or names tissue."""
    value = _pixel_value(image, "PixelPaddingValue")
    if value is None:
        return None
    limit = _pixel_value(image, "PixelPaddingRangeLimit")
    low, high = min(value, value if limit is None else limit), max(value, value if limit is None else limit)
    bounds = sorted(stored_value * image.slope + image.intercept for stored_value in (low, high))
    if bounds[1] >= _TISSUE_HU[0] and bounds[0] <= _TISSUE_HU[1]:
        return None
    result: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return result


def _pixel_value(image: CtImage, keyword: str) -> int | None:
    """Return an attribute whose VR, US or SS, follows the pixels (PS3.5 6.2), whichever was written."""
    element = raw(image.dataset, keyword)
    if element is None or element.value in (None, b"", ""):
        return None
    if isinstance(element, RawDataElement) and len(element.value or b"") == 2:
        signed = harmless_number(image.dataset, "PixelRepresentation") == 1
        return int.from_bytes(element.value or b"", "little" if element.is_little_endian else "big", signed=signed)
    value = harmless_number(image.dataset, keyword)
    return None if value is None else int(value)
