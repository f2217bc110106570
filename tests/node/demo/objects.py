"""A synthetic study of a box liver with two box lesions, and its SEG and SR, written with highdicom alone.

Not with `node.report`: the page must read what the standard says, not what one writer happens to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dicom.uids import derive_uid

SHAPE = (6, 48, 64)
SPACING = (5.0, 4.0, 2.0)  # slices, rows, columns in mm: pixels twice as high as wide
LIVER_HU, LESION_HU, OTHER_HU, AIR_HU = 110, 40, -20, -1000
BODY = (slice(None), slice(4, 44), slice(4, 60))
LIVER = (slice(0, 6), slice(10, 40), slice(8, 44))
# name, box, long axis in (row, column) of its first and last point
LESIONS = (
    ("L01", (slice(2, 4), slice(20, 30), slice(12, 18)), ((20, 14), (29, 14))),
    ("L02", (slice(4, 5), slice(14, 16), slice(30, 36)), ((14, 30), (14, 35))),
)
SHORT_AXES = (((24, 12), (24, 17)), ((14, 32), (15, 32)))
NOTES = (
    "UNVERIFIED. Nobody has read it.",
    "Two things to say & <b>escape</b>.",
    "[liver-cut-off] The dome is missing.",
)
BURDEN_PERCENT = 2.037
WEIGHTS = "f" * 64


@dataclass(frozen=True)
class SyntheticStudy:
    """Files of the images, and of SEG and SR."""

    images: list[Path]
    seg: Path
    sr: Path
    headers: list[Dataset]


def write_study(
    folder: Path,
    *,
    orientation: tuple[int, ...] = (1, 0, 0, 0, 1, 0),
    lesions: int = 2,
    patient_id: str = "PHANTOM-000123",
    name: str = "PHANTOM^TEST",
    notes: tuple[str, ...] = NOTES,
) -> SyntheticStudy:
    """Write everything into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    hu, masks = volume(lesions)
    headers = [image(k, hu[k], orientation, patient_id, name) for k in range(SHAPE[0])]
    seg = make_seg(headers, masks)
    sr = make_sr(headers, seg, lesions, notes)
    study = SyntheticStudy(
        [folder / f"ct{k}.dcm" for k in range(SHAPE[0])], folder / "seg.dcm", folder / "sr.dcm", headers
    )
    for path, dataset in zip((*study.images, study.seg, study.sr), (*headers, seg, sr), strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return study


def volume(lesions: int) -> tuple[NDArray[np.int16], list[NDArray[np.bool_]]]:
    """Return the CT values, and the masks of the liver and of the lesions."""
    hu = np.full(SHAPE, AIR_HU, np.int16)
    hu[BODY] = OTHER_HU
    hu[LIVER] = LIVER_HU
    masks = [np.zeros(SHAPE, bool)]
    masks[0][LIVER] = True
    for _, box, _ in LESIONS[:lesions]:
        hu[box] = LESION_HU
        mask = np.zeros(SHAPE, bool)
        mask[box] = True
        masks.append(mask)
    return hu, masks


def image(k: int, hu: NDArray[np.int16], orientation: tuple[int, ...], patient_id: str, name: str) -> Dataset:
    """Return one CT image."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = derive_uid("test", "instance", str(k))
    dataset.StudyInstanceUID = derive_uid("test", "study")
    dataset.SeriesInstanceUID = derive_uid("test", "series")
    dataset.FrameOfReferenceUID = derive_uid("test", "frame")
    dataset.PatientName, dataset.PatientID = name, patient_id
    dataset.PatientBirthDate, dataset.PatientSex, dataset.AccessionNumber, dataset.StudyID = "", "", "", "1"
    dataset.StudyDate, dataset.StudyTime, dataset.ReferringPhysicianName = "20240131", "101500", ""
    dataset.Modality, dataset.Manufacturer, dataset.PositionReferenceIndicator = "CT", "", ""
    dataset.SeriesDescription, dataset.SeriesNumber, dataset.InstanceNumber = "Synthetic portal venous", 3, 101 + k
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImageOrientationPatient = list(orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    dataset.ImagePositionPatient = [float(v) for v in normal * SPACING[0] * k]
    dataset.PixelSpacing, dataset.SliceThickness = [SPACING[1], SPACING[2]], SPACING[0]
    dataset.Rows, dataset.Columns = hu.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 1
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = hu.astype("<i2").tobytes()
    return dataset


def tracking_uid(name: str) -> str:
    """Return the UID that joins SEG and SR."""
    return derive_uid("test", "tracking", name)


def make_seg(headers: list[Dataset], masks: list[NDArray[np.bool_]]) -> Dataset:
    """Return the SEG."""
    algorithm = hd.AlgorithmIdentificationSequence("Test", codes.DCM.ArtificialIntelligence, "1.0")
    names = ["Liver", *(name for name, _, _ in LESIONS)][: len(masks)]
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure
            if number == 1
            else codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Liver if number == 1 else codes.SCT.Lesion,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=tracking_uid(name),
            tracking_id=name,
        )
        for number, name in enumerate(names, start=1)
    ]
    return hd.seg.Segmentation(
        source_images=headers,
        pixel_array=np.stack(masks, axis=-1),
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        series_instance_uid=derive_uid("test", "seg-series"),
        series_number=9001,
        sop_instance_uid=derive_uid("test", "seg"),
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Test",
        software_versions="1",
        device_serial_number="1",
    )


def voxel_ml() -> float:
    """Return the volume of a voxel in ml."""
    return float(np.prod(SPACING)) / 1000


def box_ml(box: tuple[slice, ...]) -> float:
    """Return the volume of a box in ml."""
    return voxel_ml() * float(np.prod([part.stop - part.start for part in box]))


def length_mm(axis: tuple[tuple[int, int], tuple[int, int]]) -> float:
    """Return the length of a line between the centres of pixels, in mm."""
    (row_0, column_0), (row_1, column_1) = axis
    return float(np.hypot((row_1 - row_0) * SPACING[1], (column_1 - column_0) * SPACING[2]))


def make_sr(headers: list[Dataset], seg: Dataset, lesions: int, notes: tuple[str, ...]) -> Dataset:
    """Return the SR."""
    algorithm = AlgorithmIdentification("Test reader", "1.0", parameters=[f"weights liver sha256={WEIGHTS}"])
    percent = Measurement(codes.DCM.VolumeRatio, BURDEN_PERCENT, codes.UCUM.Percent)

    def volumetric(
        name: str, segment: int, volume_ml: float, hu: tuple[float, float], *more: Measurement
    ) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
        unit = codes.UCUM.HounsfieldUnit
        return VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(tracking_uid(name), name),
            referenced_segment=ReferencedSegment(
                seg.SOPClassUID,
                seg.SOPInstanceUID,
                segment,
                source_series=SourceSeriesForSegmentation(headers[0].SeriesInstanceUID),
            ),
            finding_type=codes.SCT.Lesion,
            finding_sites=[FindingSite(codes.SCT.Liver)],
            algorithm_id=algorithm,
            measurements=[
                Measurement(codes.SCT.Volume, 1000 * volume_ml, codes.UCUM.CubicMillimeter),
                Measurement(codes.DCM.AttenuationCoefficient, hu[0], unit, derivation=codes.SCT.Mean),
                Measurement(codes.DCM.AttenuationCoefficient, hu[1], unit, derivation=codes.SCT.StandardDeviation),
                *more,
            ],
        )

    groups = [volumetric("Liver", 1, box_ml(LIVER), (109.5, 4.5), percent)]
    for number, (name, box, axis) in enumerate(LESIONS[:lesions], start=2):
        groups.append(volumetric(name, number, box_ml(box), (41.2, 3.1)))
        source = headers[box[0].start]
        groups.append(
            MeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(tracking_uid(name), name),
                finding_type=codes.SCT.Lesion,
                measurements=[
                    _line(codes.SCT.LongAxis, axis, source),
                    _line(codes.SCT.ShortAxis, SHORT_AXES[number - 2], source),
                ],
            )
        )
    device = DeviceObserverIdentifyingAttributes(uid=derive_uid("test", "device"), name="Test")
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device)),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    for text in notes:
        content[0].ContentSequence.append(
            hd.sr.TextContentItem(codes.DCM.Comment, text, hd.sr.RelationshipTypeValues.CONTAINS)
        )
    return hd.sr.Comprehensive3DSR(
        evidence=[*headers, seg],
        content=content[0],
        series_instance_uid=derive_uid("test", "sr-series"),
        series_number=9002,
        sop_instance_uid=derive_uid("test", "sr"),
        instance_number=1,
        manufacturer="Test",
        is_complete=True,
    )


def _line(name: object, axis: tuple[tuple[int, int], tuple[int, int]], source: Dataset) -> Measurement:
    points = np.array([(column + 0.5, row + 0.5) for row, column in axis])
    line = CoordinatesForMeasurement(
        GraphicTypeValues.POLYLINE, points, SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID)
    )
    return Measurement(name, length_mm(axis), codes.UCUM.Millimeter, referenced_coordinates=[line])
