"""Check a structured report: the document, its image library, its evidence and its statements.

Read with pydicom alone, item by item. Public validators look at the object's form; most wrong contents (a tracking UID
that is not the SEG's, a line outside the image, a unit that does not exist) pass every one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import Comprehensive3DSRStorage

from node.dicom.findings import Reading
from node.report import codes
from node.report.check_codes import as_triplet, check_code, triplet
from node.report.defects import Defect, require
from node.report.equipment import UNVERIFIED, ascii_text
from node.report.expected import Expected, Series, check_identity, same_values

_POSITION_TOLERANCE_MM = 0.01
_LIBRARY = as_triplet(standard.DCM.ImageLibrary)
_LIBRARY_GROUP = as_triplet(standard.DCM.ImageLibraryGroup)
_MEASUREMENTS = as_triplet(standard.DCM.ImagingMeasurements)
_POSITION_NAMES = tuple(
    as_triplet(name)
    for name in (
        standard.DCM.ImagePositionPatientX,
        standard.DCM.ImagePositionPatientY,
        standard.DCM.ImagePositionPatientZ,
    )
)
_RELATIONSHIPS = {  # PS3.3 A.35.13.3.1.2: what may hang on what in a Comprehensive 3D SR; here, what ours hangs where
    ("CONTAINER", "CONTAINS"): {"CONTAINER", "CODE", "TEXT", "NUM", "IMAGE", "SCOORD", "UIDREF"},
    ("CONTAINER", "HAS OBS CONTEXT"): {"CODE", "TEXT", "UIDREF"},
    ("CONTAINER", "HAS CONCEPT MOD"): {"CODE", "TEXT"},
    ("CONTAINER", "HAS ACQ CONTEXT"): {"CODE", "UIDREF", "NUM"},
    ("IMAGE", "HAS ACQ CONTEXT"): {"NUM"},
    ("CODE", "HAS CONCEPT MOD"): {"CODE"},
    ("NUM", "HAS CONCEPT MOD"): {"CODE"},
    ("NUM", "INFERRED FROM"): {"SCOORD"},
    ("SCOORD", "SELECTED FROM"): {"IMAGE"},
}


def children(item: Dataset) -> list[Dataset]:
    """Return the content items below one."""
    return list(item.get("ContentSequence") or [])


def name(item: Dataset) -> tuple[str, str, str] | None:
    """Return an item's concept name, or None if it has none."""
    sequence = item.get("ConceptNameCodeSequence")
    return triplet(sequence[0]) if sequence else None


def walk(item: Dataset) -> Iterator[tuple[Dataset, Dataset]]:
    """Yield every item below one with its parent."""
    for child in children(item):
        yield item, child
        yield from walk(child)


def check_document(sr: Dataset, seg: Dataset, expected: Expected) -> list[Dataset]:
    """Check everything of a report but its measurement groups, and return those.

    Parameters
    ----------
    sr, seg
        The report and its SEG as they were read from their bytes.
    expected
        What they must say.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED` with the `Defect`.
    """
    series = expected.series
    _check_head(sr, series)
    _check_relationships(sr)
    _check_references(sr, seg, series)
    top = children(sr)
    libraries = [item for item in top if name(item) == _LIBRARY]
    measurements = [item for item in top if name(item) == _MEASUREMENTS]
    require(len(libraries) == 1, Defect.LIBRARY, f"{len(libraries)} image libraries")
    require(len(measurements) == 1, Defect.GROUPS, f"{len(measurements)} containers of measurements")
    _check_library(libraries[0], series)
    _check_statements(top, expected.reading)
    return children(measurements[0])


def _check_head(sr: Dataset, series: Series) -> None:
    require(sr.get("SOPClassUID") == Comprehensive3DSRStorage, Defect.WRONG_KIND, "not a Comprehensive 3D SR")
    check_identity(sr, series, "SR")
    require(UNVERIFIED in sr.get("SeriesDescription", ""), Defect.NO_DISCLAIMER, "the SR's series does not say it")
    flags = (sr.get("VerificationFlag"), sr.get("CompletionFlag"), sr.get("PreliminaryFlag"))
    require(flags == ("UNVERIFIED", "COMPLETE", "PRELIMINARY"), Defect.DOCUMENT, "the report claims another standing")
    check_code(sr.get("ConceptNameCodeSequence"), standard.DCM.ImagingMeasurementReport, "the report's title")
    require(template(sr) == "1500", Defect.DOCUMENT, "the report names another template than TID 1500")
    required = (
        standard.DCM.ObserverType,
        standard.DCM.DeviceObserverUID,
        standard.DCM.DeviceObserverName,
        standard.DCM.ProcedureReported,
    )
    stated = [name(item) for item in children(sr)]
    for concept in required:
        require(as_triplet(concept) in stated, Defect.DOCUMENT, f"the report lacks {concept.meaning}")


def template(item: Dataset) -> str:
    """Return the identifier of the template that a container says it follows, or an empty string."""
    sequence = item.get("ContentTemplateSequence")
    return str(sequence[0].get("TemplateIdentifier", "")) if sequence else ""


def _check_relationships(sr: Dataset) -> None:
    for parent, child in walk(sr):
        relationship, kind = child.get("RelationshipType", ""), child.get("ValueType", "")
        allowed = _RELATIONSHIPS.get((parent.get("ValueType", ""), relationship), set())
        require(
            kind in allowed, Defect.RELATIONSHIP, f"a {kind} hangs on a {parent.get('ValueType')} as {relationship}"
        )


def _check_references(sr: Dataset, seg: Dataset, series: Series) -> None:
    known = {uid: str(h.SOPClassUID) for uid, h in zip(series.uids, series.headers, strict=True)}
    known[str(seg.SOPInstanceUID)] = str(seg.SOPClassUID)
    used: set[str] = set()
    for _, item in walk(sr):
        for reference in item.get("ReferencedSOPSequence") or []:
            uid = str(reference.get("ReferencedSOPInstanceUID", ""))
            same = known.get(uid) == str(reference.get("ReferencedSOPClassUID", ""))
            require(
                same, Defect.DANGLING_REFERENCE, "the report refers to something that is neither source nor its SEG"
            )
            used.add(uid)
    evidence = _evidence(sr)
    require(len(evidence) == len(set(evidence)), Defect.EVIDENCE, "an instance is listed twice as evidence")
    series_of = {uid: str(series.first.SeriesInstanceUID) for uid in series.uids}
    series_of[str(seg.SOPInstanceUID)] = str(seg.SeriesInstanceUID)
    expected = {(str(series.first.StudyInstanceUID), series_of[uid], uid, known[uid]) for uid in known}
    require(set(evidence) == expected, Defect.EVIDENCE, "the evidence is not the source images and the SEG")
    require(
        used <= {entry[2] for entry in evidence}, Defect.EVIDENCE, "a referenced instance is not listed as evidence"
    )


def _evidence(sr: Dataset) -> list[tuple[str, str, str, str]]:
    return [
        (
            str(study.get("StudyInstanceUID", "")),
            str(series.get("SeriesInstanceUID", "")),
            str(instance.get("ReferencedSOPInstanceUID", "")),
            str(instance.get("ReferencedSOPClassUID", "")),
        )
        for study in sr.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.get("ReferencedSeriesSequence") or []
        for instance in series.get("ReferencedSOPSequence") or []
    ]


def _check_library(library: Dataset, series: Series) -> None:
    groups = [item for item in children(library) if name(item) == _LIBRARY_GROUP]
    require(len(groups) == 1, Defect.LIBRARY, f"{len(groups)} groups in the image library")
    entries = [item for item in children(groups[0]) if item.get("ValueType") == "IMAGE"]
    listed = Counter(str(entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for entry in entries)
    require(listed == Counter(series.uids), Defect.LIBRARY, "the image library does not list every source image once")
    index = {uid: k for k, uid in enumerate(series.uids)}
    for entry in entries:
        k = index[str(entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)]
        stated = {name(item): number(item) for item in children(entry)}
        position = [stated.get(axis) for axis in _POSITION_NAMES]
        same = same_values(position, series.positions[k], _POSITION_TOLERANCE_MM)
        require(same, Defect.LIBRARY, f"the image library gives slice {k + 1} another position")
    _check_shared(groups[0], series)


def _check_shared(group: Dataset, series: Series) -> None:
    stated = {name(item): number(item) for item in children(group) if item.get("ValueType") == "NUM"}
    expected = (
        (standard.DCM.PixelDataRows, series.shape[1]),
        (standard.DCM.PixelDataColumns, series.shape[2]),
        (standard.DCM.VerticalPixelSpacing, series.pixel_spacing[0]),
        (standard.DCM.HorizontalPixelSpacing, series.pixel_spacing[1]),
    )
    for concept, value in expected:
        same = same_values(stated.get(as_triplet(concept)), value, 1e-4)
        require(same, Defect.LIBRARY, f"the image library states another {concept.meaning}")


def number(item: Dataset) -> float | None:
    """Return a NUM item's value, or None if it has none."""
    sequence = item.get("MeasuredValueSequence")
    return float(sequence[0].NumericValue) if sequence else None


def _check_statements(top: list[Dataset], reading: Reading) -> None:
    statements = [
        item for container in top if name(container) == as_triplet(codes.QUALITATIVE) for item in children(container)
    ]
    texts = [str(item.get("TextValue", "")) for item in statements if item.get("ValueType") == "TEXT"]
    require(any(UNVERIFIED in text for text in texts), Defect.NO_DISCLAIMER, "the report's content does not say it")
    outcomes = [item for item in statements if name(item) == as_triplet(codes.SUMMARY)]
    require(len(outcomes) == 1, Defect.STATEMENTS, "the report does not say whether anything was found")
    outcome = codes.WITH_FINDINGS if reading.lesions else codes.WITHOUT_FINDINGS
    check_code(outcomes[0].get("ConceptCodeSequence"), outcome, "whether anything was found")
    for note in reading.notes:
        said = any(ascii_text(note.text) in text for text in texts)
        require(said, Defect.STATEMENTS, f"the report leaves out the note {note.reason.value}")
