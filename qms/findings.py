"""What the gate says: one line per gap, with the item that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """A gap in the quality record.

    Attributes
    ----------
    item
        Identifier of the item (SRS-001), of the unit, of the test, or the path of a file.
    code
        What is wrong, as a word that never changes: `untested-requirement`.
    text
        The same as a sentence, with what to do where that is not plain.
    place
        File and line, where there is one.
    """

    item: str
    code: str
    text: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.item} {self.code}: {self.text}" + (f" ({self.place})" if self.place else "")
