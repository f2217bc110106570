"""What a pseudonymous header keeps, by name: everything else is left behind, known or unknown.

A list of what to remove must foresee every place where a name can stand, in private blocks and in next year's edition
of the standard too. A list of what to keep need not. Kept is what geometry, pixels, model selection and the reports
need; of the device its make, model and kernel; no sequence, no private attribute, no free text. Every value is checked
against what its attribute may hold before it is kept.
"""

from __future__ import annotations

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""Replaced by their pseudonyms. FrameOfReferenceUID is too, but may be missing and is then supplied."""

DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime")
"""Moved by the patient's shift (DA and DT)."""

TIMES = (
    "StudyTime",
    "SeriesTime",
    "AcquisitionTime",
    "ContentTime",
    "ContrastBolusStartTime",
    "ContrastBolusStopTime",
)
"""Times of day: the shift is whole days, so that they stay as they are."""

NUMBERS = (
    # Pixels (PS3.3 C.7.6.3)
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "WindowCenter",
    "WindowWidth",
    "LossyImageCompressionRatio",
    # Geometry (PS3.3 C.7.6.2)
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
    "GantryDetectorTilt",
    "ReconstructionDiameter",
    "DataCollectionDiameter",
    "InstanceNumber",
    # Acquisition and contrast (PS3.3 C.8.2.1, C.7.6.4)
    "KVP",
    "ExposureTime",
    "XRayTubeCurrent",
    "Exposure",
    "SpiralPitchFactor",
    "CTDIvol",
    "ContrastBolusVolume",
    "ContrastBolusTotalDose",
    "ContrastFlowRate",
    "ContrastFlowDuration",
    "ContrastBolusIngredientConcentration",
)
"""Kept if every value is a finite number."""

FREE_NUMBERS = ("SeriesNumber", "AcquisitionNumber")
"""Numbers that a site chooses: kept unless a name or number in the same header has the digits (a real sample's series
is numbered by its PatientID)."""

TERMS: dict[str, frozenset[str]] = {
    "ImageType": frozenset(
        ("ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "HELIX", "MPR", "REFORMATTED", "AVERAGE")
    ),
    "Modality": frozenset(("CT", "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "OT")),
    "PatientPosition": frozenset(
        ("HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS", "LFP", "LFS", "RFP", "RFS")
    ),
    "PhotometricInterpretation": frozenset(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL")),
    "RescaleType": frozenset(("HU", "HU_MOD", "US", "OD", "MGML", "Z_EFF", "ED", "EDW", "PCT")),
    "LossyImageCompression": frozenset(("00", "01")),
    "LossyImageCompressionMethod": frozenset(
        ("ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_2", "ISO_15444_15", "ISO_18181_1")
    ),
}
"""Coded strings: only these terms are kept, value by value. A further value may be a maker's own words."""

DEVICE_TEXTS = ("Manufacturer", "ManufacturerModelName", "ConvolutionKernel")
"""Kept if they look like a device's name and hold no word of the names and numbers in the same header."""

IDENTIFYING = (
    "PatientName",
    "PatientID",
    "OtherPatientNames",
    "OtherPatientIDs",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientAddress",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "StationName",
    "DeviceSerialNumber",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansOfRecord",
    "OperatorsName",
    "RequestingPhysician",
)
"""Where the words come from that a device's text must not hold."""

PATIENT_MODULE = (
    "PatientName",
    "PatientID",
    "TypeOfPatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
)
"""What a result brings back of the patient (PS3.3 C.7.1.1): whom the PACS files it under."""

STUDY_MODULE = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyID",
    "StudyDescription",
    "ReferringPhysicianName",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
"""What a result brings back of the study (PS3.3 C.7.2.1) and of the patient at its time (C.7.2.2)."""
