"""The last gate: every SEG and SR is decoded again from its bytes and compared with the source before it may leave."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian

from node.dicom.datasets import PseudonymousDataset
from node.dicom.findings import Reading
from node.dicom.reasons import Reason, Refused
from node.dicom.volume import LabelMap
from node.report.check_groups import check_groups
from node.report.check_report import check_document
from node.report.check_segments import check_seg
from node.report.defects import Defect, require
from node.report.expected import Expected, Series
from node.report.validators import check_object, check_study


def check(
    seg: PseudonymousDataset,
    sr: PseudonymousDataset,
    sources: Sequence[PseudonymousDataset],
    *,
    reading: Reading,
    liver: LabelMap | NDArray[np.bool_],
    lesions: LabelMap,
) -> None:
    """Check a SEG and an SR before they get back their real identity.

    Parameters
    ----------
    seg, sr
        The results.
    sources
        Pseudonymous headers of the source images, sorted by slice.
    reading
        The reading that they report.
    liver, lesions
        As for `node.report.segmentation.make_seg`: what the results shall show.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED`; the text begins with the `Defect`.
    """
    stated = tuple(str(source.dataset.SOPInstanceUID) for source in sources)
    require(stated == reading.sop_instance_uids, Defect.DANGLING_REFERENCE, "the sources are not those of the reading")
    with tempfile.TemporaryDirectory(prefix="overread-check-") as name:
        folder = Path(name)
        paths = [folder / f"source-{k:05d}.dcm" for k in range(len(sources))]
        for path, source in zip(paths, sources, strict=True):
            _write_header(source.dataset, path)
        for path, result in ((folder / "seg.dcm", seg), (folder / "sr.dcm", sr)):
            result.dataset.save_as(path, enforce_file_format=True)
        check_files(folder / "seg.dcm", folder / "sr.dcm", paths, reading=reading, liver=liver, lesions=lesions)


def check_files(
    seg_path: Path,
    sr_path: Path,
    source_paths: Sequence[Path],
    *,
    reading: Reading,
    liver: LabelMap | NDArray[np.bool_],
    lesions: LabelMap,
) -> None:
    """Check a SEG and an SR as they lie on disk, under whatever identity their sources have.

    Parameters
    ----------
    seg_path, sr_path
        The results.
    source_paths
        Files of the source images under the same identity as the results, sorted by slice.
    reading
        The reading that they report. Of its UIDs only the tracking UIDs are looked at: they survive the restoration.
    liver, lesions
        What the results shall show.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED`; the text begins with the `Defect` and holds no identity.
    """
    outline = np.asarray(liver.labels > 0 if isinstance(liver, LabelMap) else liver, dtype=bool)
    try:
        seg, sr = dcmread(seg_path), dcmread(sr_path)
        series = Series.of([dcmread(path, stop_before_pixels=True) for path in source_paths])
        expected = Expected(reading, outline, lesions.labels, series)
        check_seg(seg, expected)
        check_groups(check_document(sr, seg, expected), seg, expected)
    except (InvalidDicomError, OSError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        # Whatever a check stumbles over is missing or malformed. The error may quote a value: only its kind is kept.
        text = f"{Defect.UNREADABLE.value}: something is missing or malformed ({type(error).__name__})"
        raise Refused(Reason.CHECK_FAILED, text) from None
    check_object(seg_path, seg, series.first, "SEG")
    check_object(sr_path, sr, series.first, "SR")
    check_study([seg_path, sr_path], source_paths)


def _write_header(header: Dataset, path: Path) -> None:
    copy = Dataset(header)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy.save_as(path, enforce_file_format=True)
