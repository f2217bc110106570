"""The measurement groups of the report: what is said of the liver and of each lesion.

A finding has up to three groups, joined by its tracking UID, because no single template carries it all: TID 1411 what
is measured over the segment, TID 1410 a contour on one image, TID 1501 the diameters with the lines they were read
from. The contour is what makes a viewer list the numbers: OHIF leaves its viewport black for a group without one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CoordinatesForMeasurement,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from numpy.typing import NDArray
from pydicom import Dataset

from node.dicom.findings import Diameter, Lesion, ModelIdentity, Reading
from node.report import codes
from node.report.contour import largest_part, trace
from node.report.equipment import algorithm_parameters, ascii_text
from node.report.values import (
    LIVER_SEGMENT,
    Quantity,
    lesion_axes,
    lesion_quantities,
    liver_quantities,
    segment_number,
)

Group = (
    VolumetricROIMeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | MeasurementsAndQualitativeEvaluations
)


def liver_groups(reading: Reading, liver: NDArray[np.bool_], seg: Dataset, headers: list[Dataset]) -> list[Group]:
    """Return the groups of the liver: volume, burden and density; and its contour where it is largest.

    Parameters
    ----------
    reading, seg, headers
        The reading, its SEG and the headers of the source images, sorted by slice.
    liver
        Array ``(slice, row, column)`` of bool, lesions included.
    """
    tracking = TrackingIdentifier(uid=reading.liver.tracking_uid, identifier="Liver")
    k = int(liver.sum(axis=(1, 2)).argmax())
    return [
        VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_segment=_segment(seg, LIVER_SEGMENT, headers[0]),
            finding_category=codes.ANATOMICAL_STRUCTURE,
            finding_type=codes.LIVER,
            algorithm_id=_algorithm(reading.model),
            measurements=_measurements(liver_quantities(reading.liver)),
        ),
        PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_region=_region(trace(largest_part(liver[k])), headers[k]),
            finding_category=codes.ANATOMICAL_STRUCTURE,
            finding_type=codes.LIVER,
            algorithm_id=_algorithm(reading.model),
        ),
    ]


def lesion_groups(
    reading: Reading, lesion: Lesion, mask: NDArray[np.bool_], seg: Dataset, headers: list[Dataset]
) -> list[Group]:
    """Return the groups of one lesion: volume and density, its contour where it is longest, and its diameters.

    Parameters
    ----------
    reading, lesion, seg, headers
        The reading, one of its lesions, its SEG and the headers of the source images, sorted by slice.
    mask
        Array ``(row, column)`` of bool: the lesion on the image of its long axis.
    """
    tracking = TrackingIdentifier(uid=lesion.tracking_uid, identifier=ascii_text(lesion.tracking_id))
    sites = [FindingSite(codes.LIVER)]
    image = headers[axis_slice(lesion.long_axis)]
    return [
        VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_segment=_segment(seg, segment_number(lesion.number), headers[0]),
            finding_category=codes.ABNORMAL_STRUCTURE,
            finding_type=codes.LESION,
            finding_sites=sites,
            algorithm_id=_algorithm(reading.model),
            measurements=_measurements(lesion_quantities(lesion)),
        ),
        PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_region=_region(trace(largest_part(mask, near=_middle(lesion.long_axis))), image),
            finding_category=codes.ABNORMAL_STRUCTURE,
            finding_type=codes.LESION,
            finding_sites=sites,
            algorithm_id=_algorithm(reading.model),
        ),
        MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_category=codes.ABNORMAL_STRUCTURE,
            finding_type=codes.LESION,
            finding_sites=sites,
            algorithm_id=_algorithm(reading.model),
            measurements=[_diameter(quantity, headers) for quantity in lesion_axes(lesion)],
        ),
    ]


def axis_slice(axis: Diameter) -> int:
    """Return the index of the image that a diameter lies on."""
    return round(axis.start[0])


def image_points(axis: Diameter) -> NDArray[np.float64]:
    """Return a diameter's ends as ``(column, row)`` image coordinates (PS3.3 C.18.6.1.2: pixel centres at halves)."""
    return np.array([axis.start[:0:-1], axis.end[:0:-1]]) + 0.5


def _middle(axis: Diameter) -> tuple[float, float]:
    return (axis.start[1] + axis.end[1]) / 2, (axis.start[2] + axis.end[2]) / 2


def _segment(seg: Dataset, number: int, header: Dataset) -> ReferencedSegment:
    return ReferencedSegment(
        sop_class_uid=seg.SOPClassUID,
        sop_instance_uid=seg.SOPInstanceUID,
        segment_number=number,
        source_series=SourceSeriesForSegmentation(header.SeriesInstanceUID),
    )


def _region(points: NDArray[np.float64], header: Dataset) -> ImageRegion:
    return ImageRegion(GraphicTypeValues.POLYLINE, points, _source_image(header))


def _source_image(header: Dataset) -> SourceImageForRegion:
    return SourceImageForRegion(
        referenced_sop_class_uid=header.SOPClassUID, referenced_sop_instance_uid=header.SOPInstanceUID
    )


def _measurements(quantities: Iterable[Quantity]) -> list[Measurement]:
    return [Measurement(q.name, q.value, q.unit, derivation=q.derivation, method=q.method) for q in quantities]


def _diameter(quantity: Quantity, headers: list[Dataset]) -> Measurement:
    axis = quantity.axis
    if axis is None:
        msg = "only a diameter has an axis"
        raise ValueError(msg)
    # A SourceImageForRegion, though a measurement's line is no region: highdicom also takes a SourceImageForMeasurement
    # here and then writes a relationship that every validator rejects.
    line = CoordinatesForMeasurement(
        GraphicTypeValues.POLYLINE, image_points(axis), _source_image(headers[axis_slice(axis)])
    )
    return Measurement(quantity.name, quantity.value, quantity.unit, referenced_coordinates=[line])


def _algorithm(model: ModelIdentity) -> AlgorithmIdentification:
    """Return TID 4019, the weights' hashes among its parameters."""
    return AlgorithmIdentification(
        name=ascii_text(model.name),
        version=ascii_text(model.version),
        manufacturer=ascii_text(model.manufacturer),
        parameters=algorithm_parameters(model),
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )
