"""Check the measurement groups of a report: whose they are, what they say, and that it was read from the images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from scipy.ndimage import binary_fill_holes, label

from node.dicom.findings import ModelIdentity
from node.report import codes
from node.report.check_codes import as_triplet, check_code
from node.report.check_report import children, name, template
from node.report.contour import FEWEST_POINTS
from node.report.defects import Defect, require
from node.report.equipment import algorithm_parameters, ascii_text
from node.report.expected import Expected, Series, same_values
from node.report.values import (
    LIVER_SEGMENT,
    Quantity,
    lesion_axes,
    lesion_quantities,
    liver_quantities,
    segment_number,
)

_LENGTH_TOLERANCE_MM = 0.1
_EDGE_TOLERANCE = 1e-3  # pixels: what single precision costs at 512
_VALUE_TOLERANCE = 1e-9
_NAME_AND_UID = (as_triplet(standard.DCM.TrackingIdentifier), as_triplet(standard.DCM.TrackingUniqueIdentifier))


@dataclass(frozen=True, eq=False)
class _Finding:
    """What the groups of one finding shall say."""

    text: str
    tracking_id: str
    tracking_uid: str
    category: Code
    kind: Code
    site: Code | None
    segment: int
    labels: NDArray[np.integer] | NDArray[np.bool_]
    value: int
    quantities: tuple[Quantity, ...]
    axes: tuple[Quantity, ...]

    @property
    def templates(self) -> list[str]:
        """Identifiers of the templates of its groups, each once."""
        return ["1410", "1411", "1501"] if self.axes else ["1410", "1411"]

    def mask(self, k: int) -> NDArray[np.bool_]:
        """Return its voxels on one slice. A mask of the whole volume for each of many lesions would be gigabytes."""
        on_slice: NDArray[np.bool_] = self.labels[k] == self.value
        return on_slice


def check_groups(groups: Iterable[Dataset], seg: Dataset, expected: Expected) -> None:
    """Compare the measurement groups with the reading, the SEG and the label maps.

    Parameters
    ----------
    groups
        The items of Imaging Measurements, as they were read.
    seg
        The SEG as it was read.
    expected
        What they must say.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED` with the `Defect`.
    """
    by_uid: dict[str, list[Dataset]] = defaultdict(list)
    for group in groups:
        require(name(group) == as_triplet(standard.DCM.MeasurementGroup), Defect.GROUPS, "something else than a group")
        by_uid[_tracking_uid(group)].append(group)
    findings = _findings(expected)
    require(set(by_uid) == {f.tracking_uid for f in findings}, Defect.TRACKING, "the groups are of other findings")
    segment_uids = {int(s.SegmentNumber): str(s.TrackingUID) for s in seg.SegmentSequence}
    for finding in findings:
        own = by_uid[finding.tracking_uid]
        require(
            segment_uids.get(finding.segment) == finding.tracking_uid,
            Defect.TRACKING,
            f"the SEG tracks {finding.text} under another UID",
        )
        require(sorted(map(template, own)) == finding.templates, Defect.GROUPS, f"{finding.text} has not its groups")
        for group in own:
            _check_common(group, finding, expected.reading.model)
            checks = {"1411": _check_volume, "1410": _check_region, "1501": _check_axes}
            checks[template(group)](group, finding, seg, expected.series)


def _findings(expected: Expected) -> list[_Finding]:
    reading = expected.reading
    organ = _Finding(
        text="the liver",
        tracking_id="Liver",
        tracking_uid=reading.liver.tracking_uid,
        category=codes.ANATOMICAL_STRUCTURE,
        kind=codes.LIVER,
        site=None,
        segment=LIVER_SEGMENT,
        labels=expected.liver,
        value=True,
        quantities=tuple(liver_quantities(reading.liver)),
        axes=(),
    )
    return [
        organ,
        *(
            _Finding(
                text=f"lesion {lesion.number}",
                tracking_id=ascii_text(lesion.tracking_id),
                tracking_uid=lesion.tracking_uid,
                category=codes.ABNORMAL_STRUCTURE,
                kind=codes.LESION,
                site=codes.LIVER,
                segment=segment_number(lesion.number),
                labels=expected.lesions,
                value=lesion.number,
                quantities=tuple(lesion_quantities(lesion)),
                axes=tuple(lesion_axes(lesion)),
            )
            for lesion in reading.lesions
        ),
    ]


def _tracking_uid(group: Dataset) -> str:
    uids = [str(item.get("UID", "")) for item in children(group) if name(item) == _NAME_AND_UID[1]]
    require(len(uids) == 1, Defect.TRACKING, f"a group has {len(uids)} tracking UIDs")
    return uids[0]


def _named(group: Dataset, concept: Code) -> list[Dataset]:
    return [item for item in children(group) if name(item) == as_triplet(concept)]


def _check_common(group: Dataset, finding: _Finding, model: ModelIdentity) -> None:
    names = [str(item.get("TextValue", "")) for item in _named(group, standard.DCM.TrackingIdentifier)]
    require(names == [finding.tracking_id], Defect.TRACKING, f"a group of {finding.text} has another name")
    expected = [(codes.FINDING_CATEGORY, finding.category), (standard.DCM.Finding, finding.kind)]
    if finding.site is not None:
        expected.append((standard.SCT.FindingSite, finding.site))
    for concept, value in expected:
        items = _named(group, concept)
        require(len(items) == 1, Defect.GROUPS, f"a group of {finding.text} has {len(items)} times {concept.meaning}")
        check_code(items[0].get("ConceptCodeSequence"), value, f"{concept.meaning} of {finding.text}")
    stated = {
        (concept.meaning, str(item.get("TextValue", "")))
        for concept in (
            standard.DCM.AlgorithmName,
            standard.DCM.AlgorithmVersion,
            standard.DCM.AlgorithmManufacturer,
            standard.DCM.AlgorithmParameters,
        )
        for item in _named(group, concept)
    }
    identification = {
        (standard.DCM.AlgorithmName.meaning, ascii_text(model.name)),
        (standard.DCM.AlgorithmVersion.meaning, ascii_text(model.version)),
        (standard.DCM.AlgorithmManufacturer.meaning, ascii_text(model.manufacturer)),
        *((standard.DCM.AlgorithmParameters.meaning, text) for text in algorithm_parameters(model)),
    }
    require(
        stated == identification, Defect.NO_ALGORITHM, f"a group of {finding.text} names not the reading's algorithm"
    )


def _check_values(group: Dataset, quantities: tuple[Quantity, ...], finding: _Finding) -> list[Dataset]:
    """Compare the numbers of a group, in their order, and return their items."""
    items = [item for item in children(group) if item.get("ValueType") == "NUM"]
    require(
        len(items) == len(quantities), Defect.VALUES, f"{len(items)} for {len(quantities)} values of {finding.text}"
    )
    for item, quantity in zip(items, quantities, strict=True):
        what = f"{quantity.name.meaning} of {finding.text}"
        check_code(item.get("ConceptNameCodeSequence"), quantity.name, what)
        require(item.get("MeasuredValueSequence"), Defect.VALUES, f"{what} is missing")
        measured = item.MeasuredValueSequence[0]
        check_code(measured.get("MeasurementUnitsCodeSequence"), quantity.unit, f"the unit of {what}")
        stated = (measured.NumericValue, measured.get("FloatingPointValue", quantity.value))
        same = same_values(stated, (quantity.value, quantity.value), _VALUE_TOLERANCE)
        require(same, Defect.VALUES, f"{what} is not the reading's")
        for concept, expected in (
            (standard.DCM.Derivation, quantity.derivation),
            (standard.SCT.MeasurementMethod, quantity.method),
        ):
            modifiers = _named(item, concept)
            right = len(modifiers) == (expected is not None)
            require(right, Defect.VALUES, f"{what} has {len(modifiers)} times {concept.meaning}")
            if expected is not None:
                check_code(modifiers[0].get("ConceptCodeSequence"), expected, f"{concept.meaning} of {what}")
    return items


def _check_volume(group: Dataset, finding: _Finding, seg: Dataset, series: Series) -> None:
    _check_values(group, finding.quantities, finding)
    segments = _named(group, standard.DCM.ReferencedSegment)
    require(len(segments) == 1, Defect.GROUPS, f"{len(segments)} referenced segments of {finding.text}")
    reference = segments[0].ReferencedSOPSequence[0]
    require(reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID, Defect.GROUPS, "a group refers to another SEG")
    require(
        reference.get("ReferencedSegmentNumber") == finding.segment,
        Defect.GROUPS,
        f"{finding.text} refers to another segment",
    )
    sources = [str(item.get("UID", "")) for item in _named(group, standard.DCM.SourceSeriesForSegmentation)]
    require(
        sources == [str(series.first.SeriesInstanceUID)],
        Defect.DANGLING_REFERENCE,
        f"{finding.text} names another source series",
    )


def _points(item: Dataset, what: str, series: Series) -> tuple[NDArray[np.float64], int]:
    """Return a polyline's points ``(column, row)`` and the slice that it lies on."""
    require(item.get("GraphicType") == "POLYLINE", Defect.REGION, f"{what} is no polyline")
    data = np.array(item.get("GraphicData") or [], dtype=float)
    require(data.size >= 4 and data.size % 2 == 0, Defect.REGION, f"{what} has no points")
    points = data.reshape(-1, 2)
    limit = np.array([series.shape[2], series.shape[1]])
    inside = np.all(points >= -_EDGE_TOLERANCE) and np.all(points <= limit + _EDGE_TOLERANCE)
    require(inside, Defect.REGION, f"{what} leaves the image")
    images = [child for child in children(item) if child.get("ValueType") == "IMAGE"]
    require(len(images) == 1, Defect.REGION, f"{what} lies on {len(images)} images")
    uid = str(images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    require(uid in series.uids, Defect.DANGLING_REFERENCE, f"{what} lies on an image that is no source")
    return points, series.uids.index(uid)


def _check_region(group: Dataset, finding: _Finding, seg: Dataset, series: Series) -> None:
    """Check that the contour encloses exactly one part of the mask on its image, holes included."""
    del seg
    _check_values(group, (), finding)
    regions = _named(group, standard.DCM.ImageRegion)
    require(len(regions) == 1, Defect.REGION, f"{finding.text} has {len(regions)} contours")
    points, k = _points(regions[0], f"the contour of {finding.text}", series)
    require(
        len(points) >= FEWEST_POINTS, Defect.REGION, f"the contour of {finding.text} has too few points to be shown"
    )
    require(np.allclose(points[0], points[-1]), Defect.REGION, f"the contour of {finding.text} is not closed")
    parts, count = label(finding.mask(k), np.ones((3, 3)))
    x, y = points[:-1].T
    area = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    for part in range(1, count + 1):
        filled = binary_fill_holes(parts == part)
        rows, columns = np.nonzero(filled)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        if np.allclose(box, (x.min(), y.min(), x.max(), y.max())) and abs(area - filled.sum()) < 0.5:
            return
    require(False, Defect.REGION, f"the contour of {finding.text} is not its outline on slice {k + 1}")


def _check_axes(group: Dataset, finding: _Finding, seg: Dataset, series: Series) -> None:
    """Check that each diameter is as long as the line it was read from, and that this line lies where the lesion is."""
    del seg
    slices = set()
    for item, quantity in zip(_check_values(group, finding.axes, finding), finding.axes, strict=True):
        what = f"{quantity.name.meaning} of {finding.text}"
        lines = [child for child in children(item) if child.get("ValueType") == "SCOORD"]
        require(len(lines) == 1, Defect.DIAMETER, f"{what} is read from {len(lines)} lines")
        points, k = _points(lines[0], what, series)
        require(len(points) == 2, Defect.DIAMETER, f"{what} is no straight line")
        between_rows, between_columns = series.pixel_spacing
        length = float(np.hypot(*((points[1] - points[0]) * (between_columns, between_rows))))
        off = abs(length - quantity.value)
        require(off <= _LENGTH_TOLERANCE_MM, Defect.DIAMETER, f"{what} differs by {off:.2f} mm from its line")
        rows, columns = np.nonzero(finding.mask(k))
        require(rows.size, Defect.DIAMETER, f"{what} lies on an image without it")
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        inside = np.all(points >= np.array(low) - 0.5) and np.all(points <= np.array(high) + 0.5)
        require(inside, Defect.DIAMETER, f"{what} reaches beyond it")
        slices.add(k)
    require(len(slices) == 1, Defect.DIAMETER, f"the axes of {finding.text} lie on several images")
