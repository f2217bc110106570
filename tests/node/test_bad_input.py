"""Bad input through a whole running node: each gets a named state, nothing is lost, the next study runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import RawDataStorage

from node.dicom.uids import derive_uid
from node.ledger import StudyStatus
from tests.models.tiny import write_tiny_model
from tests.node.cases import liver_and_lesions, write_case
from tests.node.gather.synthetic import set_raw, with_meta, write
from tests.node.running import Site, make_site, running, wait_until
from tests.peers.pacs import Pacs, pacs

ENDINGS = ("delivered", "refused", "quarantined", "failed")


@pytest.fixture(scope="module")
def peer() -> Iterator[Pacs]:
    with pacs() as peer:
        yield peer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, peer: Pacs) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    site = make_site(folder, write_tiny_model(folder / "models"), {"pacs": peer.destination})
    with running(site):
        yield site
    assert "internal-error" not in site.log.read_text()
    for secret in ("PHANTOM^", "SECOND^"):
        assert secret not in site.log.read_text(), "identity in the log"


def study_of(paths: list[Path]) -> str:
    return str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)


def ended(site: Site, paths: list[Path]) -> StudyStatus:
    site.send(paths)
    status = site.wait_for(study_of(paths), *ENDINGS)
    counted = sum(count.count for count in status.instances)
    assert counted == len(paths), "an instance is unexplained"
    assert all(count.state != "waiting" for count in status.instances)
    return status


def counts(status: StudyStatus) -> dict[str, int]:
    return {count.reason or count.state.value: count.count for count in status.instances}


@pytest.mark.verifies("SRS-028", "SRS-120", "SRS-123", level="system", technique="bad-input")
def test_a_slice_is_missing_in_the_middle_and_comes_late(site: Site, tmp_path: Path) -> None:
    paths = write_case(tmp_path, study="missing")
    late = paths.pop(20)
    status = ended(site, paths)
    assert (status.state, status.reason) == ("refused", "slice-missing")
    site.send([late])
    status = site.wait_for(study_of(paths), "delivered")
    assert counts(status) == {"in-result": len(paths) + 1}


@pytest.mark.verifies("SRS-027", "SRS-120", level="system", technique="bad-input")
def test_two_patients_in_one_study(site: Site, tmp_path: Path) -> None:
    def other(ds: Dataset, number: int) -> None:
        if number > 30:
            ds.PatientID, ds.PatientName = "SECOND", "SECOND^TEST"

    status = ended(site, write(tmp_path, liver_and_lesions(), other, study="two"))
    assert (status.state, status.reason) == ("refused", "more-than-one-patient")


@pytest.mark.verifies("SRS-032", "SRS-120", level="system", technique="bad-input")
def test_a_phantom_of_zeros(site: Site, tmp_path: Path) -> None:
    status = ended(site, write(tmp_path, np.zeros((44, 128, 128), np.int16), study="zeros"))
    assert status.state == "refused"
    assert status.reason in {"no-body", "hu-implausible"}


@pytest.mark.verifies("SRS-080", "SRS-120", level="system", technique="bad-input")
def test_a_body_without_a_liver(site: Site, tmp_path: Path) -> None:
    hu = liver_and_lesions().copy()
    hu[(hu > 15) & (hu < 200)] = -100
    status = ended(site, write(tmp_path, hu, study="without"))
    assert status.state == "refused"
    assert status.reason in {"no-liver", "liver-implausible", "hu-implausible"}


@pytest.mark.verifies("SRS-021", "SRS-120", "SRS-125", level="system", technique="bad-input")
def test_no_pixel_data(site: Site, tmp_path: Path) -> None:
    def without(ds: Dataset, number: int) -> None:
        del ds.PixelData

    status = ended(site, write(tmp_path, liver_and_lesions(), without, study="headers"))
    assert status.state == "refused"
    assert set(counts(status)) == {"no-pixel-data"}


@pytest.mark.verifies("SRS-023", "SRS-120", "SRS-125", level="system", technique="bad-input")
def test_wrong_value_representations(site: Site, tmp_path: Path) -> None:
    def wrong(ds: Dataset, number: int) -> None:
        set_raw(ds, "ImagePositionPatient", "DS", b"a\\b\\c ")

    status = ended(site, write(tmp_path, liver_and_lesions(), wrong, study="wrong"))
    assert status.state == "refused"
    assert set(counts(status)) == {"bad-attribute"}


@pytest.mark.verifies("SRS-021", "SRS-120", "SRS-125", level="system", technique="bad-input")
def test_pixels_that_end_too_early(site: Site, tmp_path: Path) -> None:
    def short(ds: Dataset, number: int) -> None:
        if number == 20:
            ds.PixelData = ds.PixelData[:1000]

    status = ended(site, write(tmp_path, liver_and_lesions(), short, study="short"))
    assert status.state == "refused"
    assert counts(status)["truncated"] >= 1


@pytest.mark.verifies("SRS-026", "SRS-120", level="system", technique="bad-input")
def test_not_an_image(site: Site, tmp_path: Path) -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = RawDataStorage, "OT"
    ds.SOPInstanceUID, ds.StudyInstanceUID = derive_uid("raw"), derive_uid("raw", "study")
    ds.SeriesInstanceUID, ds.PatientID, ds.PatientName = derive_uid("raw", "series"), "PHANTOM", "PHANTOM^TEST"
    path = tmp_path / "raw.dcm"
    with_meta(ds).save_as(path, enforce_file_format=True)
    status = ended(site, [path])
    assert (status.state, status.reason) == ("refused", "no-suitable-series")


@pytest.mark.verifies("SRS-004", "SRS-125", "SRS-137", level="system", technique="bad-input")
def test_other_bytes_under_a_used_uid_are_kept_apart(site: Site, tmp_path: Path) -> None:
    paths = write_case(tmp_path / "a", study="conflict")
    assert ended(site, paths).state == "delivered"
    other = pydicom.dcmread(paths[0])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "other.dcm")
    site.send([tmp_path / "other.dcm"])
    wait_until(lambda: '"uid-conflict"' in site.log.read_text())
    status = site.status(study_of(paths))
    assert status is not None
    assert status.state == "delivered", "the study that was read stands"
    assert counts(status)["uid-conflict"] == 1


@pytest.mark.verifies("SRS-020", "SRS-137", level="system", technique="bad-input")
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"", "empty-file"),
        (lambda _: b"this is no DICOM file" * 20, "not-dicom"),
        (lambda data: data[:300], "truncated"),
    ],
    ids=["zero-bytes", "not-dicom", "truncated"],
)
def test_a_file_that_went_bad_on_disk(spoil: Callable[[bytes], bytes], reason: str, site: Site, tmp_path: Path) -> None:
    """A receiver writes none of these; a disk or a person may."""
    (path, *_) = write_case(tmp_path, study=f"spoilt {reason}")
    name = hashlib.sha256(reason.encode()).hexdigest()
    (site.folder / "data/inbox/objects" / name[:2] / f"{name}.dcm").write_bytes(spoil(path.read_bytes()))
    with (site.folder / "data/inbox/journal" / "test.log").open("a") as journal:
        journal.write(f"{name}\n")
    line = json.dumps(name)
    wait_until(lambda: any(line in text and reason in text for text in site.log.read_text().splitlines()))


@pytest.mark.verifies("SRS-025", "SRS-125", level="system", technique="boundary")
@pytest.mark.slow
def test_five_thousand_instances(site: Site, tmp_path: Path) -> None:
    hu = np.zeros((5000, 16, 16), np.int16)
    status = ended(site, write(tmp_path, hu, study="many"))
    assert status.state == "refused"
    assert sum(count.count for count in status.instances) == 5000


@pytest.mark.verifies("SRS-120", level="system", technique="bad-input")
def test_the_next_study_runs(site: Site, peer: Pacs, tmp_path: Path) -> None:
    before = len(peer.received)
    status = ended(site, write_case(tmp_path, study="next"))
    assert status.state == "delivered"
    assert len(peer.received) == before + 2
