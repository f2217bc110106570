"""The coded concepts of the reports, by the name that says what they stand for here.

Value, scheme and meaning come from pydicom's copy of PS3.16, so that a code and its meaning cannot drift apart.
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

# Anatomy and findings
LIVER = codes.SCT.Liver  # CID 7192 and CID 4
ANATOMICAL_STRUCTURE = codes.SCT.AnatomicalStructure  # CID 7150
ABNORMAL_STRUCTURE = codes.SCT.MorphologicallyAbnormalStructure  # CID 7150
LESION = codes.SCT.Lesion  # CID 7194: whether it is a metastasis or a cyst nobody has established

# Measurements, how they were derived, and units
VOLUME = codes.SCT.Volume  # CID 7469
SUM_OF_VOXELS = codes.DCM.SumOfSegmentedVoxelMethodForVolume  # CID 7474
VOLUME_RATIO = codes.DCM.VolumeRatio  # CID 7469
ATTENUATION = codes.DCM.AttenuationCoefficient  # CID 7469
ATTENUATION_SD = codes.DCM.StandardDeviationOfAttenuationCoefficient  # CID 6141: viewers show names, not derivations
MEAN = codes.SCT.Mean  # CID 7464
STANDARD_DEVIATION = codes.SCT.StandardDeviation  # CID 7464
LONG_AXIS = codes.SCT.LongAxis  # CID 7470
SHORT_AXIS = codes.SCT.ShortAxis  # CID 7470
CUBIC_CENTIMETRE = codes.UCUM.CubicCentimeter  # CID 7462, which knows no mL
MILLIMETRE = codes.UCUM.Millimeter  # CID 7460
HOUNSFIELD_UNIT = codes.UCUM.HounsfieldUnit  # CID 7181
PERCENT = codes.UCUM.Percent  # CID 7181

# The report
PROCEDURE = codes.LN.CTUnspecifiedBodyRegion  # CID 100
SUMMARY = codes.DCM.CADProcessingAndFindingsSummary  # TID 4000
WITH_FINDINGS = codes.DCM.AllAlgorithmsSucceededWithFindings  # CID 6047
WITHOUT_FINDINGS = codes.DCM.AllAlgorithmsSucceededWithoutFindings  # CID 6047
COMMENT = codes.DCM.Comment
ARTIFICIAL_INTELLIGENCE = codes.DCM.ArtificialIntelligence  # CID 7162
SOURCE = Code("260753009", "SCT", "Source")
QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500 row 12; pydicom does not list it
FINDING_CATEGORY = Code("276214006", "SCT", "Finding category")  # TID 1501 row 4
