"""What can be wrong with a result, by name: the checker refuses with one of these, and never says whose it is."""

from __future__ import annotations

from enum import StrEnum
from typing import NoReturn

from node.dicom.reasons import Reason, Refused


class Defect(StrEnum):
    """A named defect. The value stands at the head of the refusal's text."""

    # Either object
    UNREADABLE = "unreadable"
    WRONG_KIND = "wrong-kind"
    WRONG_PATIENT = "wrong-patient"
    WRONG_STUDY = "wrong-study"
    FRAME_OF_REFERENCE = "wrong-frame-of-reference"
    DANGLING_REFERENCE = "dangling-reference"
    NO_DISCLAIMER = "no-disclaimer"
    WRONG_CODE = "wrong-code"
    NO_ALGORITHM = "no-algorithm-identification"
    INVALID = "invalid-object"
    INCONSISTENT = "inconsistent-with-study"
    # SEG
    GRID = "wrong-grid"
    POSITION = "wrong-position"
    VOXELS = "wrong-voxels"
    SEGMENTS = "wrong-segments"
    # SEG and SR together
    TRACKING = "wrong-tracking"
    # SR
    DOCUMENT = "wrong-document"
    LIBRARY = "wrong-image-library"
    EVIDENCE = "wrong-evidence"
    GROUPS = "wrong-groups"
    VALUES = "wrong-values"
    RELATIONSHIP = "wrong-relationship"
    REGION = "wrong-region"
    DIAMETER = "wrong-diameter"
    STATEMENTS = "wrong-statements"


def fail(defect: Defect, text: str) -> NoReturn:
    """Refuse a result.

    Parameters
    ----------
    defect
        What is wrong.
    text
        Where, in numbers; without UIDs, names or values of the patient.

    Raises
    ------
    Refused
        Always, with `Reason.CHECK_FAILED`.
    """
    raise Refused(Reason.CHECK_FAILED, f"{defect.value}: {text}")


def require(condition: object, defect: Defect, text: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        fail(defect, text)
