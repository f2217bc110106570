"""Two types for two kinds of data set: with the patient's real identity, and under pseudonyms.

They share no base class, so that neither can be handed to a function that asks for the other: mypy refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from node.dicom.reasons import Note


@dataclass(frozen=True, eq=False, repr=False)  # no repr: it would carry the identity into a log or traceback
class RealDataset:
    """A data set with a real identity. Never logged, never handed to inference, measure or report.

    Attributes
    ----------
    dataset
        The attributes, usually without pixel data.
    path
        The file that it was read from, if it was.
    notes
        What reading the file showed: pixel data absent or cut short, UIDs that had to be supplied.
    """

    dataset: Dataset
    path: Path | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, eq=False)
class PseudonymousDataset:
    """A data set whose identity is replaced by keyed pseudonyms: what everything behind `node.identity` sees."""

    dataset: Dataset
