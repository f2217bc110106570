"""Small results made of synthetic headers with highdicom, and their way back: PHANTOM, no patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import highdicom as hd
import numpy as np
from highdicom.sr import (
    CodedConcept,
    ComprehensiveSR,
    DateContentItem,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.dicom.files import from_file, to_file
from node.dicom.uids import derive_uid
from node.identity import Vault, check_restored, pseudonymise_study, restore
from tests.node.identity.studies import Source

MADE_AT = datetime(2026, 11, 24, 9, 30, 15)


def make_seg(sources: Sequence[PseudonymousDataset], tracking: str = "1") -> PseudonymousDataset:
    """A SEG of one square lesion on every image."""
    headers = [Dataset(source.dataset) for source in sources]
    for header in headers:
        header.file_meta = sources[0].dataset.file_meta
        header.SliceThickness = header.get("SliceThickness") or 1.0  # a real sample has none, and highdicom asks for it
    study, series = headers[0].StudyInstanceUID, headers[0].SeriesInstanceUID
    pixels = np.zeros((len(headers), headers[0].Rows, headers[0].Columns), bool)
    pixels[:, 4:9, 5:11] = True
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="phantom reader", version="1", family=codes.DCM.ArtificialIntelligence
        ),
        tracking_uid=derive_uid(study, "tracking", tracking),
        tracking_id=f"L0{tracking}",
    )
    seg = hd.seg.Segmentation(
        source_images=headers,
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid=derive_uid(series, "SEG", "series"),
        series_number=9001,
        sop_instance_uid=derive_uid(series, "SEG", tracking),
        instance_number=1,
        manufacturer="Overread project",
        manufacturer_model_name="Overread",
        software_versions="test",
        device_serial_number="TEST-1",
        series_description="UNVERIFIED - NOT FOR CLINICAL USE",
        content_date=MADE_AT.date(),
        content_time=MADE_AT.time(),
    )
    organization = derive_uid(series, "SEG", "dimensions")  # highdicom draws a random one
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return PseudonymousDataset(seg)


def make_sr(sources: Sequence[PseudonymousDataset], seg: PseudonymousDataset, comment: str = "") -> PseudonymousDataset:
    """A TID 1500 report of that lesion, with an image library that gives the frame of reference and a study date."""
    headers = [source.dataset for source in sources]
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=seg.dataset.SegmentSequence[0].TrackingUID, identifier=seg.dataset.SegmentSequence[0].TrackingID
        ),
        referenced_segment=ReferencedSegment(
            sop_class_uid=seg.dataset.SOPClassUID,
            sop_instance_uid=seg.dataset.SOPInstanceUID,
            segment_number=1,
            source_series=SourceSeriesForSegmentation(headers[0].SeriesInstanceUID),
        ),
        finding_type=codes.SCT.Lesion,
        measurements=[Measurement(codes.SCT.Volume, value=12.5, unit=codes.UCUM.CubicMillimeter)],
    )
    observer = DeviceObserverIdentifyingAttributes(uid=derive_uid("device", "phantom"), name="Overread")
    report = MeasurementReport(
        observation_context=ObservationContext(ObserverContext(codes.DCM.Device, observer)),
        procedure_reported=CodedConcept("77477000", "SCT", "Computed tomography"),
        referenced_images=headers,
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )
    library = next(item for item in report[0].ContentSequence if item.name == codes.DCM.ImageLibrary)
    date = DateContentItem(codes.DCM.StudyDate, headers[0].StudyDate, RelationshipTypeValues.HAS_ACQ_CONTEXT)
    library.ContentSequence[0].ContentSequence.append(date)
    sr = ComprehensiveSR(
        evidence=[*headers, seg.dataset],
        content=report[0],
        series_instance_uid=derive_uid(headers[0].SeriesInstanceUID, "SR", "series"),
        series_number=9002,
        sop_instance_uid=derive_uid(headers[0].SeriesInstanceUID, "SR", "1"),
        instance_number=1,
        manufacturer="Overread project",
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=f"UNVERIFIED - NOT FOR CLINICAL USE {comment}".strip(),
    )
    return PseudonymousDataset(sr)


def bring_back(
    result: PseudonymousDataset, source: RealDataset, vault: Vault, *companions: PseudonymousDataset
) -> Dataset:
    """Restore a result of its own job, check it as the node does, and return what a PACS would read."""
    job = result.dataset.StudyInstanceUID
    data = to_file(restore(result, vault, job_study_uid=job, companions=companions).dataset)
    check_restored(data, result, source, vault)
    return from_file(data)


class Made:
    """A study with its SEG and SR, as the workflow has them."""

    def __init__(self, vault: Vault, source: Source | None = None, comment: str = "") -> None:
        self.source = source or Source()
        self.vault = vault
        self.pseudonymous = pseudonymise_study(self.source.headers(), vault)
        self.job = str(self.pseudonymous[0].dataset.StudyInstanceUID)
        self.seg = make_seg(self.pseudonymous)
        self.sr = make_sr(self.pseudonymous, self.seg, comment)
        self.results = {"SEG": (self.seg, ()), "SR": (self.sr, (self.seg,))}

    def restored(self, kind: str) -> Dataset:
        result, companions = self.results[kind]
        return bring_back(result, self.source.headers()[0], self.vault, *companions)


def changed(result: PseudonymousDataset, change: Callable[[Dataset], None]) -> PseudonymousDataset:
    dataset = from_file(to_file(result.dataset))
    change(dataset)
    return PseudonymousDataset(dataset)
