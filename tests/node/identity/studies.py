"""Synthetic source headers: PHANTOM, no patient."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dicom.datasets import RealDataset
from node.dicom.files import from_file, to_file
from node.identity import Keys

KEYS = Keys.derive(bytes.fromhex("5b0f9c7e21d84ab36ce01f92ab7745d3e8c6401b9fd2a7356e10bc84f7293ad5"))
OTHER_KEYS = Keys.derive(bytes.fromhex("a1349be7720c5fd81e63b94508fa2dc7639e14b0d57fc2218a36e9044dbb7f90"))
ROOT = "1.2.826.0.1.3680043.10.9999"  # of made-up instances


@dataclass(frozen=True)
class Source:
    """Whose a synthetic study is, and which one."""

    name: str = "PHANTOM^TEST"
    patient_id: str = "PHANTOM-1"
    issuer: str = "PHANTOM ISSUER"
    number: int = 1
    birth_date: str = "19500607"
    date: str = "20240229"
    frame: bool = True
    charset: str | tuple[str, ...] | None = "ISO_IR 100"

    @property
    def study_uid(self) -> str:
        return f"{ROOT}.{self.number}"

    def headers(self, count: int = 3) -> list[RealDataset]:
        """Headers as gather reads them: from a file's bytes, nothing converted yet."""
        return [as_received(self.header(k)) for k in range(1, count + 1)]

    def header(self, k: int) -> Dataset:
        ds = Dataset()
        if self.charset:
            ds.SpecificCharacterSet = list(self.charset) if isinstance(self.charset, tuple) else self.charset
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{self.study_uid}.2.{k}"
        ds.StudyDate, ds.SeriesDate, ds.AcquisitionDate = self.date, self.date, self.date
        ds.AcquisitionDateTime = f"{self.date}101112.500000"
        ds.StudyTime, ds.AcquisitionTime = "101010", "101112.5"
        ds.AccessionNumber, ds.Modality = f"ACC{self.number:05}", "CT"
        ds.Manufacturer, ds.ManufacturerModelName = "Drawing Works", "Sketch 1"
        ds.ReferringPhysicianName, ds.StudyDescription = "REFERRER^PHANTOM", "Liver of a phantom"
        ds.InstitutionName, ds.SeriesDescription = "PHANTOM HOUSE", f"for {self.name}"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = (
            self.name,
            self.patient_id,
            self.birth_date,
            "O",
        )
        ds.IssuerOfPatientID = self.issuer
        ds.ConvolutionKernel, ds.KVP, ds.SliceThickness = "Br38f", "120", "2"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.study_uid, f"{self.study_uid}.2"
        if self.frame:
            ds.FrameOfReferenceUID = f"{self.study_uid}.3"
        ds.StudyID, ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = f"S{self.number}", "2", str(k), "1"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 2.0 * k], [1, 0, 0, 0, 1, 0]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns, ds.PixelSpacing = 16, 16, [0.75, 0.75]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "HU"
        return ds


def as_received(ds: Dataset) -> RealDataset:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return RealDataset(from_file(to_file(ds)))


def put(ds: Dataset, keyword: str, vr: str, value: object) -> None:
    """Set a value that pydicom would complain of."""
    ds[Tag(keyword)] = DataElement(Tag(keyword), vr, value, validation_mode=0)
