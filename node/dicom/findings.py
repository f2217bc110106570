"""What was found and measured: lesions, the liver, and the Reading that holds them for good."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from node.dicom.reasons import Note

VoxelIndex = tuple[float, float, float]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Diameter(_Value):
    """A straight line across a lesion on one axial image.

    Attributes
    ----------
    length_mm
        Length in mm.
    start, end
        ``(slice, row, column)`` of the end points, in voxel indices of the source (centres are whole numbers).
    """

    length_mm: float
    start: VoxelIndex
    end: VoxelIndex


class Lesion(_Value):
    """One connected lesion of the label map.

    Attributes
    ----------
    number
        1, 2, 3, ...: by volume, largest first; ties by position. Its value in the lesion label map.
    tracking_id, tracking_uid
        The name a reader sees ("L01") and the UID that joins SEG, SR and later studies.
    volume_ml
        Volume in ml of all its voxels.
    long_axis, short_axis
        Longest axial diameter, and the longest chord inside the lesion perpendicular to it on the same image.
    hu_mean, hu_sd
        Mean and standard deviation of the Hounsfield units of its voxels.
    centroid
        ``(slice, row, column)`` of its centre of mass.
    """

    number: int
    tracking_id: str
    tracking_uid: str
    volume_ml: float
    long_axis: Diameter
    short_axis: Diameter
    hu_mean: float
    hu_sd: float
    centroid: VoxelIndex


class Organ(_Value):
    """The liver as a whole, lesions included.

    Attributes
    ----------
    volume_ml
        Volume in ml.
    hu_mean, hu_sd
        Mean and standard deviation in Hounsfield units of the parenchyma (lesions left out).
    burden_percent
        Lesion volume in % of the liver's volume.
    tracking_uid
        The UID that joins SEG and SR.
    """

    volume_ml: float
    hu_mean: float
    hu_sd: float
    burden_percent: float
    tracking_uid: str


class ModelIdentity(_Value):
    """Which algorithm made a reading, as the reports must say it (TID 4019).

    Attributes
    ----------
    name, version, manufacturer
        Of the algorithm.
    family
        Human-readable kind, for example "Artificial Intelligence".
    weights_sha256
        SHA-256 of each ONNX file that ran, by network name.
    parameters
        Other settings that change results (engine, threshold, smallest lesion).
    """

    name: str
    version: str
    manufacturer: str
    family: str = "Artificial Intelligence"
    weights_sha256: dict[str, str]
    parameters: dict[str, str]


class Reading(_Value):
    """What one model saw in one study. Immutable and pseudonymous: priors and corrections only add further readings.

    Attributes
    ----------
    reading_uid
        UID derived from study, series, model and input hash.
    patient
        The patient's pseudonym, or "" if the study names no patient: then it is never linked to another.
    study_uid, series_uid, sop_instance_uids
        Pseudonymous UIDs of the source; the instances in the order of the slices.
    model
        The algorithm.
    volume_key, labels_key, lesions_key, headers_key
        Keys in the store: the CT volume; the networks' label map (0, 1, 2); the label map of numbered lesions
        (value = ``Lesion.number``); the pseudonymous headers of the source images.
    liver, lesions
        The findings. No lesions: "searched, none found".
    notes
        What must be said in the report.
    """

    reading_uid: str
    patient: str
    study_uid: str
    series_uid: str
    sop_instance_uids: tuple[str, ...]
    model: ModelIdentity
    volume_key: str
    labels_key: str
    lesions_key: str
    headers_key: str
    liver: Organ
    lesions: tuple[Lesion, ...]
    notes: tuple[Note, ...]
