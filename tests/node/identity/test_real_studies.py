"""Headers of real scanners: nothing of an identity comes through, and results find their way back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, UID_dictionary

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Refused
from node.dicom.uids import derive_uid
from node.identity import Pseudonymiser, Vault, attributes, pseudonymise, pseudonymise_study
from tests.node.identity.results import bring_back, make_seg, make_sr
from tests.node.identity.studies import KEYS

pytestmark = pytest.mark.data
P = Pseudonymiser(KEYS)
STUDIES = ("ct-abdomen-portal", "ct-body-j2k", "ct-liver-chaos3", "ct-liver-ircadb01")
Find = Callable[[str], Path]


def read(path: Path) -> RealDataset:
    """Read as gather does: a header, with the UIDs supplied that are blank in one sample."""
    dataset = dcmread(path, stop_before_pixels=True)
    for keyword, supplied in (
        ("SOPClassUID", dataset.file_meta.get("MediaStorageSOPClassUID", "")),
        ("SOPInstanceUID", dataset.file_meta.get("MediaStorageSOPInstanceUID", "")),
        ("StudyInstanceUID", derive_uid("study", str(path.parent))),
        ("SeriesInstanceUID", derive_uid("series", str(path.parent))),
    ):
        if not dataset.get_item(keyword) or not dataset.get_item(keyword).value:
            setattr(dataset, keyword, supplied)
    return RealDataset(dataset, path)


def six(folder: Path) -> list[RealDataset]:
    headers = [read(path) for path in sorted((folder / "ct").iterdir())[:30]]
    return sorted(headers, key=lambda header: float(header.dataset.ImagePositionPatient[2]))[:6]


def identities(dataset: Dataset) -> Iterator[str]:
    """Every value of the source, at every depth, that is long enough to tell and could be an identity."""
    meant_to_stay = {v for keyword in attributes.DEVICE_TEXTS for v in str(dataset.get(keyword, "")).split("\\")}
    for element in dataset.iterall():
        if element.VR not in ("AE", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UT"):
            continue
        values = element.value if element.VM > 1 else [element.value]
        for value in map(str, values):
            telling = len(value) >= 6 and value not in UID_dictionary and value not in meant_to_stay
            if telling and not any(value in kept for kept in meant_to_stay):
                yield value


@pytest.mark.verifies("SRS-054", level="integration", technique="real-data")
@pytest.mark.parametrize("name", STUDIES)
def test_real_results_come_back(study: Find, vault: Vault, name: str) -> None:
    headers = six(study(name))
    pseudonymous = pseudonymise_study(headers, vault)
    seg = make_seg(pseudonymous)
    sr = make_sr(pseudonymous, seg)
    source = six(study(name))
    for result, companions in ((seg, ()), (sr, (seg,))):
        restored = bring_back(result, source[0], vault, *companions)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "AccessionNumber", "PatientSex"):
            assert str(restored[keyword].value) == str(source[0].dataset.get(keyword, ""))
    frame = source[0].dataset.get("FrameOfReferenceUID")
    restored = bring_back(seg, source[0], vault)
    assert restored.FrameOfReferenceUID == (frame or pseudonymous[0].dataset.FrameOfReferenceUID)
    images = {item.ReferencedSOPInstanceUID for item in restored.SourceImageSequence}
    assert images == {header.dataset.SOPInstanceUID for header in source}


def leaks(source: Dataset, out: Dataset) -> list[str]:
    """Return what of a source stands in a pseudonymous header: as a whole value, or within any text."""
    values = [(e.VR, str(v)) for e in out for v in (e.value if e.VM > 1 else [e.value])]
    whole = {value for _, value in values}
    texts = [value for vr, value in values if vr in ("CS", "LO", "PN", "SH")]
    return [value for value in identities(source) if value in whole or any(value in text for text in texts)]


@pytest.mark.verifies("SRS-040", "SRS-041", level="unit", technique="real-data")
@pytest.mark.parametrize("name", STUDIES)
def test_nothing_of_a_real_study_comes_through(study: Find, name: str) -> None:
    for header in six(study(name)):
        out = pseudonymise(header, P).dataset
        assert leaks(header.dataset, out) == []


def multivendor(study: Find) -> list[Path]:
    paths = []
    for path in sorted(study("multivendor").glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"])
            if dataset.get("SOPClassUID") == CTImageStorage:
                paths.append(path)
    return paths


@pytest.mark.verifies("SRS-040", "SRS-041", level="unit", technique="real-data")
def test_nothing_of_any_vendors_ct_comes_through(study: Find) -> None:
    """Without one warning of pydicom's, which would quote the value that it complains of."""
    seen, refused = 0, 0
    for path in multivendor(study):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            real = read(path)
        try:
            out = pseudonymise(real, P).dataset
        except Refused:
            refused += 1
            continue
        seen += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert leaks(real.dataset, out) == [], path.name
    assert seen >= 20
    assert refused <= 2


@pytest.mark.verifies("SRS-054", level="integration", technique="real-data")
def test_results_of_any_vendors_ct_come_back(study: Find, tmp_path: Path) -> None:
    done = 0
    for path in multivendor(study):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            real, source = read(path), read(path)
            if not all(
                real.dataset.get(k) for k in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
            ):
                continue
        vault = Vault(tmp_path / f"{path.stem}.sqlite", KEYS)
        seg = make_seg(pseudonymise_study([real], vault))
        restored = bring_back(seg, source, vault)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert restored.get("PatientID") == source.dataset.get("PatientID", ""), path.name
        done += 1
    assert done >= 15
