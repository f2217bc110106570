"""Why a study, series or instance ended where it did: the coded reasons that an administrator can look up.

docs/reasons.md lists every code; a test holds the two equal.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class Reason(StrEnum):
    """A named cause. The value is the code that logs, status and reports show."""

    # The object itself
    NOT_DICOM = "not-dicom"
    EMPTY_FILE = "empty-file"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    BAD_ATTRIBUTE = "bad-attribute"
    UID_CONFLICT = "uid-conflict"
    OWN_RESULT = "own-result"
    # Set aside from a study that may still be read
    NOT_CT = "not-ct"
    MULTI_FRAME = "multi-frame"
    LOCALIZER = "localizer"
    NO_PIXEL_DATA = "no-pixel-data"
    DUPLICATE_POSITION = "duplicate-position"
    WRONG_ORIENTATION = "wrong-orientation"
    REFORMAT = "reformat"
    OTHER_SERIES_PREFERRED = "other-series-preferred"
    # A series that cannot be read
    NO_GEOMETRY = "no-geometry"
    UNEVEN_SPACING = "uneven-spacing"
    SLICE_MISSING = "slice-missing"
    SLICE_TOO_THICK = "slice-too-thick"
    MIXED_FRAMES = "mixed-frames"
    GANTRY_TILT = "gantry-tilt"
    COVERAGE_TOO_SMALL = "coverage-too-small"
    HU_IMPLAUSIBLE = "hu-implausible"
    NO_BODY = "no-body"
    ORIENTATION_IMPLAUSIBLE = "orientation-implausible"
    TOO_LARGE = "too-large"
    # A study that cannot be read
    NO_SUITABLE_SERIES = "no-suitable-series"
    MORE_THAN_ONE_PATIENT = "more-than-one-patient"
    NO_LIVER = "no-liver"
    LIVER_IMPLAUSIBLE = "liver-implausible"
    INFERENCE_FAILED = "inference-failed"
    # A result that must not or could not leave
    CHECK_FAILED = "check-failed"
    IDENTITY_MISMATCH = "identity-mismatch"
    DESTINATION_REFUSED = "destination-refused"
    INTERNAL_ERROR = "internal-error"
    # Read, with something to say in the report
    HU_OFFSET_CORRECTED = "hu-offset-corrected"
    AP_MIRRORED_CORRECTED = "ap-mirrored-corrected"
    THICK_SLICES = "thick-slices"
    LOSSY_COMPRESSED = "lossy-compressed"
    THICKNESS_MISSING = "thickness-missing"
    THICKNESS_CONTRADICTED = "thickness-contradicted"
    NO_PATIENT_ID = "no-patient-id"
    NO_FRAME_OF_REFERENCE = "no-frame-of-reference"
    NO_MANUFACTURER = "no-manufacturer"
    UIDS_SUPPLIED = "uids-supplied"
    PHASE_UNKNOWN = "phase-unknown"
    PHASE_PORTAL_VENOUS = "phase-portal-venous"
    LIVER_CUT_OFF = "liver-cut-off"
    LIVER_LOW_ATTENUATION = "liver-low-attenuation"
    SPECKS_IGNORED = "specks-ignored"


class Note(BaseModel):
    """A coded remark that goes with a reading into its report. Holds no identity.

    Attributes
    ----------
    reason
        The code.
    text
        One sentence a radiologist understands, with the evidence (numbers and units).
    """

    model_config = ConfigDict(frozen=True)

    reason: Reason
    text: str


class Refused(Exception):  # noqa: N818  a refusal is a named outcome, not a fault of the program
    """A study, series or object that is not processed, with its coded reason.

    Parameters
    ----------
    reason
        The code.
    text
        One sentence for the administrator, without identity.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way through another process."""
        return (type(self), (self.reason, self.text))

    @property
    def note(self) -> Note:
        """The refusal as a note."""
        return Note(reason=self.reason, text=self.text)
