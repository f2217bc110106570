"""Who made a result and when: what SEG and SR say alike about the device, the time and their standing."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from highdicom import ContributingEquipment
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from pydicom.valuerep import DA, DT, TM

from node.dicom.findings import ModelIdentity
from node.dicom.uids import derive_uid

UNVERIFIED = "UNVERIFIED - NOT FOR CLINICAL USE"
"""What every object says of itself, in its series description and in its content."""

_LONG_STRING = 64  # VR LO: PS3.5 6.2
_DASHES = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "×": "x", "·": ".", "≤": "<=", "≥": ">=", "≈": "~", "±": "+/-", "ß": "ss"}
)


@dataclass(frozen=True)
class Equipment:
    """The node as a DICOM device (General Equipment, PS3.3 C.7.5.1 and C.7.5.2).

    Attributes
    ----------
    manufacturer, model_name, software_version, serial_number
        As the objects shall say them. ASCII, at most 64 characters each, none of them empty: an Enhanced General
        Equipment module requires all four.
    """

    manufacturer: str
    model_name: str
    software_version: str
    serial_number: str

    def __post_init__(self) -> None:
        """Refuse what could not be written."""
        for value in (self.manufacturer, self.model_name, self.software_version, self.serial_number):
            if not value.strip() or len(value) > _LONG_STRING or not value.isascii() or set(value) & set("\\^="):
                msg = "an equipment attribute is 1 to 64 ASCII characters without backslash, caret and equals sign"
                raise ValueError(msg)

    @property
    def uid(self) -> UID:
        """The UID of this device, the same in every result it makes."""
        return derive_uid("device", self.manufacturer, self.model_name, self.serial_number)


def ascii_text(text: str) -> str:
    """Return text in ASCII, whatever it was: our words must be right under the source's character set, which we keep.

    Parameters
    ----------
    text
        A sentence. Typographic signs are spelled out, accents dropped, anything else becomes ``?``.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_DASHES).replace("\\", "/"))
    kept = "".join(c for c in decomposed if not unicodedata.combining(c))
    return kept.encode("ascii", "replace").decode()


def algorithm_parameters(model: ModelIdentity) -> list[str]:
    """Return what decides the algorithm's result, one ``name=value`` each: the weights' hashes, then the settings."""
    weights = [f"weights {name} sha256={digest}" for name, digest in sorted(model.weights_sha256.items())]
    settings = [f"{name}={value}" for name, value in sorted(model.parameters.items())]
    return [ascii_text(text) for text in (*weights, *settings)]


def processing_step(equipment: Equipment, made_at: datetime) -> ContributingEquipment:
    """Return the Contributing Equipment item that says that this node processed the images."""
    return ContributingEquipment(
        manufacturer=equipment.manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=equipment.model_name,
        software_versions=equipment.software_version,
        device_serial_number=equipment.serial_number,
        contribution_datetime=made_at,
        contribution_description=f"AI reading. {UNVERIFIED}",
    )


def stamp(result: Dataset, made_at: datetime) -> None:
    """Put the given time wherever highdicom put the current one, so that a retry makes the same bytes.

    Parameters
    ----------
    result
        A SEG or SR, changed in place.
    made_at
        When the reading was reported, without its fraction of a second.
    """
    result.InstanceCreationDate = DA(made_at.date())
    result.InstanceCreationTime = TM(made_at.time())
    for item in result.ContributingEquipmentSequence:
        if item.get("ManufacturerModelName") == "highdicom":
            item.ContributionDateTime = DT(made_at)
