"""The page of the demonstration: what came back, at a glance, on one sheet a study.

One HTML file that needs nothing else: pictures are embedded, there is no script and no font to fetch. It is made from
the SEG and SR in the PACS and from the images there, so it is also a second opinion on what those objects say. The
patient's name does not appear, and of the PatientID only the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from node.demo.images import ImageSeries, read_series
from node.demo.pictures import WINDOW_HU, KeyPicture, KeyPictures
from node.demo.results import Finding, Results, read_results
from node.demo.truth import Comparison, TrueLesion, Truth, compare, error_percent
from node.dicom.reasons import Reason

_MOST_ROWS = 14  # lesions that fit on a sheet; the SR holds all
_BESIDE = 3  # pictures above each other beside the overview
_MOST_PICTURES = 3 * _BESIDE
_CODED = re.compile(r"\[(?P<code>[a-z-]+)\] (?P<text>.*)", re.DOTALL)
_HASH = re.compile(r"\b(?P<start>[0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True)
class Study:
    """One study, as the page is to show it.

    Attributes
    ----------
    title
        What it is to the reader: "Study", "Prior study", "Visit 1".
    images
        The study's files in the PACS.
    results
        The SEG and the SR that the PACS got back.
    seconds
        Time each step took.
    remarks
        What else has to be said, for example that UIDs were supplied.
    truth
        What a phantom really holds; None for a real study.
    """

    title: str
    images: Sequence[Path]
    results: Sequence[Path]
    seconds: Mapping[str, float]
    remarks: Sequence[str] = ()
    truth: Truth | None = None


@dataclass(frozen=True)
class Note:
    """A remark: its code, if it has one, and its text."""

    code: str
    text: str


@dataclass(frozen=True)
class Sheet:
    """Everything the template needs for one study."""

    title: str
    phantom: bool
    results: Results
    series: ImageSeries
    overview: KeyPicture
    pictures: Sequence[KeyPicture]
    rows: Sequence[Finding]
    unlisted: Sequence[Finding]
    notes: Sequence[Note]
    settings: Sequence[str]
    seconds: Mapping[str, float]
    comparison: Comparison | None

    @property
    def headline(self) -> str:
        """The result in a line."""
        count = len(self.results.lesions)
        if not count:
            return "No lesion found in the liver"
        return f"{count} lesion{'s' if count > 1 else ''} in the liver"

    @property
    def largest(self) -> Finding | None:
        """The lesion with the longest diameter."""
        measured = [lesion for lesion in self.results.lesions if lesion.long_axis]
        return max(measured, key=lambda lesion: lesion.long_axis.length_mm if lesion.long_axis else 0.0, default=None)

    @property
    def lesion_volume_ml(self) -> float:
        """Volume of all lesions in ml."""
        return sum(lesion.volume_ml or 0.0 for lesion in self.results.lesions)

    @property
    def facts(self) -> Sequence[str]:
        """What identifies the study to its radiologist, without a name."""
        patient = self.series.masked_patient_id
        facts = [self.series.study_date, self.series.description, f"{len(self.series.uids)} images"]
        return [fact for fact in (*facts, f"ID {patient}" if patient else "no patient ID") if fact]

    @property
    def turned_over(self) -> bool:
        """Whether front and back are, by the pixels, the other way round than the headers say, which viewers follow."""
        return any(note.code == Reason.AP_MIRRORED_CORRECTED for note in self.notes)

    @property
    def window_hu(self) -> int:
        """Width of the pictures' grey scale in HU."""
        return round(WINDOW_HU)

    @property
    def unlisted_ml(self) -> float:
        """Volume of the lesions that are not listed, in ml."""
        return sum(lesion.volume_ml or 0.0 for lesion in self.unlisted)

    @property
    def liver_error(self) -> str:
        """By how much the liver's volume is off."""
        if self.comparison is None or self.results.liver.volume_ml is None:
            return ""
        return _signed(error_percent(self.comparison.truth.liver_volume_ml, self.results.liver.volume_ml))

    def error(self, true: TrueLesion, lesion: Finding) -> str:
        """Return by how much a lesion's volume is off."""
        return "" if lesion.volume_ml is None else _signed(error_percent(true.volume_ml, lesion.volume_ml))

    def share(self, seconds: float) -> float:
        """Return the length of a step's bar, in % of the longest."""
        return 100.0 * seconds / max(*self.seconds.values(), 1e-9)

    @property
    def columns(self) -> int:
        """Columns of pictures: the overview takes four, and one to three stand beside it."""
        return 4 + len(self.pictures) // _BESIDE


def write_page(studies: Sequence[Study], path: Path) -> tuple[Sheet, ...]:
    """Write the page.

    Parameters
    ----------
    studies
        In the order in which they are to be shown.
    path
        The HTML file.

    Returns
    -------
    tuple of Sheet
        What each study's sheet shows.

    Raises
    ------
    node.demo.results.ResultUnreadableError, LookupError
        If results or images are not what the page needs.
    """
    sheets = tuple(_sheet(study) for study in studies)
    environment = Environment(
        loader=PackageLoader("node.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    path.write_text(environment.get_template("report.html.j2").render(sheets=sheets), encoding="utf-8")
    return sheets


def _sheet(study: Study) -> Sheet:
    results = read_results(study.results)
    series = read_series(study.images, results.images)
    pictures = KeyPictures(results, series)
    largest = sorted(results.lesions, key=_volume_first)[:_MOST_ROWS]
    rows = [lesion for lesion in results.lesions if lesion in largest]
    return Sheet(
        title=study.title,
        phantom=study.truth is not None,
        results=results,
        series=series,
        overview=pictures.overview(),
        pictures=_pictures(pictures, rows),
        rows=rows,
        unlisted=[lesion for lesion in results.lesions if lesion not in rows],
        notes=[
            *(_note(text) for text in results.notes if not text.startswith("UNVERIFIED")),
            *(Note("", text) for text in study.remarks),
        ],
        settings=[_HASH.sub(r"\g<start>…", text) for text in results.parameters],
        seconds=study.seconds,
        comparison=None if study.truth is None else compare(results, series, study.truth),
    )


def _pictures(key: KeyPictures, lesions: Sequence[Finding]) -> Sequence[KeyPicture]:
    """Return what stands beside the overview: the lesions, and the liver from end to end as far as there is room."""
    shown = sorted(lesions, key=_volume_first)[:_MOST_PICTURES]
    close_ups = [picture for lesion in lesions if lesion in shown and (picture := key.lesion(lesion))]
    room = -len(close_ups) % _BESIDE if close_ups else 2 * _BESIDE
    return [*close_ups, *key.levels(room)]


def _volume_first(lesion: Finding) -> float:
    return -(lesion.volume_ml or 0.0)


def _note(text: str) -> Note:
    match = _CODED.fullmatch(text)
    return Note(match["code"], match["text"]) if match else Note("", text)


def _signed(percent: float) -> str:
    return f"{percent:+.0f} %".replace("-", "−")


def _number(value: float | None, digits: int) -> str:
    """Write a number with thin spaces between thousands, as ISO 80000-1 7.3.1 asks; a dash if there is none."""
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", "\u202f")
