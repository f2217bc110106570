"""Which studies take part in the demonstration: a folder's, a prior's, or the phantom's two visits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.demo.importing import ImportedStudy, import_folder
from node.demo.phantom.draw import VISITS
from node.demo.phantom.study import write_study
from node.demo.progress import Journey
from node.demo.truth import Truth

_MOST_STUDIES = 20
_NOT_COMPARED = "Not compared with the other study yet: each is read by itself, and lesion numbers do not correspond."

Say = Callable[[str], None]


class DemoFailedError(RuntimeError):
    """The demonstration cannot go on; the text says why, and what to do."""


@dataclass
class Case:
    """A study that takes part, and what became of it.

    Attributes
    ----------
    title
        What it is to the reader: "Study", "Prior study", "Visit 1".
    study
        Its files.
    journey
        Its way through the node.
    truth
        What a phantom really holds.
    remarks
        What the page has to say of it.
    results
        SEG and SR in the output folder, once they have passed the checks.
    """

    title: str
    study: ImportedStudy
    journey: Journey
    truth: Truth | None = None
    remarks: list[str] = field(default_factory=list)
    results: tuple[Path, ...] = ()

    @property
    def slug(self) -> str:
        """Its title as a part of a file name."""
        return "-".join(self.title.lower().split())


def find_cases(study: Path | None, prior: Path | None, work: Path, say: Say) -> list[Case]:
    """Return the studies in the order in which they are sent: the oldest first.

    Parameters
    ----------
    study, prior
        DICOM folders; no study: the phantom.
    work
        Folder for files that have to be made.
    say
        Told what was found.

    Raises
    ------
    DemoFailedError
        If a folder has no study that could be sent, or both have the same.
    """
    if study is None:
        if prior is not None:
            raise DemoFailedError("--prior needs --study: the simulated patient brings a prior visit of its own")
        cases = list(_phantom_cases(work, say))
    else:
        cases = list(_folder_cases("Prior study", prior, work / "prior", say)) if prior is not None else []
        cases += _folder_cases("Study", study, work / "study", say)
    if len({case.study.uid for case in cases}) < len(cases):
        raise DemoFailedError("the prior study is the study itself (the same Study Instance UID)")
    if len(cases) > 1:
        for case in cases:
            case.remarks.append(_NOT_COMPARED)
    return cases


def _folder_cases(title: str, folder: Path, work: Path, say: Say) -> Iterator[Case]:
    if not folder.is_dir():
        raise DemoFailedError(f"{folder}: there is no such folder")
    imported = import_folder(folder, work)
    ignored = ", ".join(f"{count} {cause}" for cause, count in sorted(imported.ignored.items()))
    left_out = f"; files left out: {ignored}" if ignored else ""
    if not imported.studies:
        raise DemoFailedError(f"{folder}: no DICOM study in this folder{left_out}")
    # Without a single CT the node is asked all the same: it is for the node to say why it cannot read them.
    chosen = [study for study in imported.studies if study.ct_images] or list(imported.studies)
    if len(chosen) > _MOST_STUDIES:
        raise DemoFailedError(f"{folder}: {len(chosen)} studies; name the folder of one of them")
    if others := len(imported.studies) - len(chosen):
        left_out += f"; {others} studies without CT left out"
    for number, study in enumerate(chosen, start=1):
        case = _case(f"{title} {number}" if len(chosen) > 1 else title, study)
        if study.supplied:
            case.remarks.append(
                f"{study.supplied} of {len(study.files)} files came with blank UIDs, which C-STORE cannot carry; the "
                "demonstration supplied them when it filled its PACS."
            )
        say(f"{case.title}: {len(study.files)} objects, {study.ct_images} of them CT images{left_out}")
        for remark in case.remarks:
            say(f"{case.title}: {remark}")
        yield case


def _phantom_cases(work: Path, say: Say) -> Iterator[Case]:
    for visit in VISITS:
        title = f"Visit {visit + 1}"
        say(f"{title}: drawing the simulated patient (PHANTOM)")
        folder = work / f"visit-{visit + 1}"
        truth = write_study(visit, folder, cache=_cache())
        (study,) = import_folder(folder, work).studies
        yield _case(title, study, truth)


def _cache() -> Path:
    """Return where a drawn phantom is kept from one run to the next (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "overread"


def _case(title: str, study: ImportedStudy, truth: Truth | None = None) -> Case:
    return Case(title, study, Journey(title, study.uid, len(study.files)), truth)
