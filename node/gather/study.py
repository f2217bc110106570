"""From the instances of a study to the one volume that is read: the room's front door.

Headers decide what can be read. Where that leaves a choice, pixels decide: the portal venous phase, a soft kernel. A
candidate whose pixels do not hold is set aside and the next one is tried, and the report says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Note, Refused
from node.dicom.volume import Volume
from node.gather.selection import OTHER_PREFERRED, Candidate, StudyRefused, named, rank, select
from node.gather.volume import Evidence, load, preview

_log = structlog.get_logger(__name__)
# A kernel is called sharp if it makes half as much noise again as the softest one of the study.
_SHARP = 1.5


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is read of a study.

    Attributes
    ----------
    volume
        The volume.
    chosen
        The headers of its images, in the order of its slices.
    set_aside
        The reason of every other instance, by path.
    notes
        What must be said in the report.
    """

    volume: Volume
    chosen: tuple[RealDataset, ...]
    set_aside: Mapping[Path, Note]
    notes: tuple[Note, ...]


def gather(headers: Sequence[RealDataset]) -> Gathered:
    """Choose what is read of a study and load it.

    Parameters
    ----------
    headers
        Every instance of the study that `node.gather.headers.read_header` could read, in any order.

    Raises
    ------
    StudyRefused
        If nothing can be read; it names the reason of every instance.
    """
    selection = select(headers)
    refusals: list[tuple[Candidate, Refused]] = []
    for candidate in _by_pixels(selection.candidates, refusals):
        try:
            volume, said = load(candidate)
        except Refused as refusal:
            refusals.append((candidate, refusal))
            continue
        set_aside = selection.rejected | _reasons(selection.candidates, refusals)
        doubts = [_doubt(refusal) for _, refusal in refusals]
        chosen = {header.path for header in candidate.headers}
        return Gathered(
            volume=volume,
            chosen=candidate.headers,
            set_aside={path: note for path, note in set_aside.items() if path not in chosen},
            notes=(*said, *selection.notes, *doubts),
        )
    first = min(refusals, key=lambda refused: selection.candidates.index(refused[0]))[1]
    raise StudyRefused(first.reason, first.text, selection.rejected | _reasons(selection.candidates, refusals))


def _by_pixels(candidates: Sequence[Candidate], refusals: list[tuple[Candidate, Refused]]) -> list[Candidate]:
    """Order candidates by what their pixels show, the best first; those that cannot be read go to the refusals."""
    if len(candidates) == 1:
        return list(candidates)
    seen: list[tuple[Candidate, Evidence]] = []
    for candidate in candidates:
        try:
            seen.append((candidate, preview(candidate)))
        except Refused as refusal:
            refusals.append((candidate, refusal))
    softest = min((evidence.noise_hu for _, evidence in seen), default=0.0)

    def preference(item: tuple[Candidate, Evidence]) -> tuple[float, ...]:
        candidate, evidence = item
        projection, short, *finer = rank(candidate)
        sharp = evidence.noise_hu > _SHARP * softest
        return (projection, short, *evidence.enhancement.preference, sharp, *finer)

    return [candidate for candidate, _ in sorted(seen, key=preference)]


def _reasons(candidates: Sequence[Candidate], refusals: Sequence[tuple[Candidate, Refused]]) -> dict[Path, Note]:
    reasons: dict[Path, Note] = {}
    for candidate in candidates:
        reasons |= named(candidate.headers, OTHER_PREFERRED)
    for candidate, refusal in refusals:
        reasons |= named(candidate.headers, refusal.note)
    return reasons


def _doubt(refusal: Refused) -> Note:
    _log.info("series refused by its pixels", reason=refusal.reason.value)
    return Note(reason=refusal.reason, text=f"Another series could not be used: {refusal.text}")
