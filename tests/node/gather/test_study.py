"""A study in, one volume out, and every other instance by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Reason
from node.gather.headers import read_headers
from node.gather.selection import StudyRefused
from node.gather.study import Gathered, gather
from tests.node.gather.synthetic import Change, reasons, shuffled, trunk, write

ARTERIAL = trunk(liver=75, aorta=320)
PORTAL = trunk(liver=112, aorta=165)
DELAYED = trunk(liver=95, aorta=110)
PLAIN = trunk(liver=58, aorta=45)


def study(folder: Path, **series: NDArray[np.int16]) -> list[RealDataset]:
    """Write a PHANTOM study of several series and read their headers."""
    paths = [path for name, hu in series.items() for path in write(folder / name, hu, series=name)]
    headers, refused = read_headers(paths)
    assert not refused
    return headers


def of(gathered: Gathered, name: str) -> bool:
    """Tell whether the series of this name was chosen, and whether every instance is accounted for."""
    return {header.path.parent.name for header in gathered.chosen if header.path} == {name}


def complete(gathered: Gathered, headers: list[RealDataset]) -> bool:
    chosen = {header.path for header in gathered.chosen}
    return chosen.isdisjoint(gathered.set_aside) and chosen | set(gathered.set_aside) == {h.path for h in headers}


@pytest.mark.verifies("SRS-025", "SRS-034", level="unit", technique="phantom")
def test_one_series(tmp_path: Path) -> None:
    headers = study(tmp_path, only=PORTAL)
    gathered = gather(shuffled(headers, 1))
    assert gathered.chosen == tuple(headers)
    assert gathered.set_aside == {}
    assert reasons(gathered.notes) == ["phase-portal-venous"]


@pytest.mark.verifies("SRS-025", "SRS-035", level="unit", technique="phantom")
def test_the_portal_venous_series_is_chosen_by_its_pixels(tmp_path: Path) -> None:
    headers = study(tmp_path, a=PLAIN, b=ARTERIAL, c=PORTAL, d=DELAYED)
    gathered = gather(shuffled(headers, 2))
    assert of(gathered, "c")
    assert complete(gathered, headers)
    assert set(reasons(gathered.set_aside.values())) == {"other-series-preferred"}
    assert reasons(gathered.notes) == ["phase-portal-venous"]


@pytest.mark.verifies("SRS-029", "SRS-035", level="unit", technique="phantom")
def test_phases_within_one_series(tmp_path: Path) -> None:
    def second(ds: Dataset, number: int) -> None:
        ds.AcquisitionNumber = 2
        ds.InstanceNumber = 100 + number
        ds.SOPInstanceUID = f"1.2.3.{number}"

    paths = write(tmp_path / "arterial", ARTERIAL) + write(tmp_path / "portal", PORTAL, second)
    gathered = gather(read_headers(paths)[0])
    assert of(gathered, "portal")


@pytest.mark.verifies("SRS-034", "SRS-035", level="unit", technique="phantom")
def test_without_a_portal_venous_series_the_phase_is_unknown(tmp_path: Path) -> None:
    gathered = gather(study(tmp_path, a=PLAIN, b=ARTERIAL))
    assert of(gathered, "b")
    assert reasons(gathered.notes) == ["phase-unknown"]
    assert of(gather(study(tmp_path / "two", a=ARTERIAL, b=DELAYED)), "b")


@pytest.mark.verifies("SRS-035", level="unit", technique="phantom")
def test_a_soft_kernel_is_preferred(tmp_path: Path) -> None:
    sharp = PORTAL + np.random.default_rng(4).normal(0, 40, PORTAL.shape)
    assert of(gather(study(tmp_path, a=sharp.astype(np.int16), b=PORTAL)), "b")
    assert of(gather(study(tmp_path / "two", a=PORTAL, b=sharp.astype(np.int16))), "a")


@pytest.mark.verifies("SRS-025", "SRS-036", level="unit", technique="phantom")
def test_a_series_whose_pixels_do_not_hold_is_passed_over_and_said(tmp_path: Path) -> None:
    headers = study(tmp_path, a=np.zeros_like(PORTAL), b=ARTERIAL)
    gathered = gather(headers)
    assert of(gathered, "b")
    assert complete(gathered, headers)
    assert reasons(gathered.set_aside.values()) == ["hu-implausible"] * 44
    assert reasons(gathered.notes) == ["hu-implausible", "phase-unknown"]


@pytest.mark.verifies("SRS-021", "SRS-036", level="unit", technique="fault-injection")
def test_a_series_found_broken_only_when_read_whole(tmp_path: Path) -> None:
    """The preview takes every second of these slices: what it does not see is seen when all are decoded."""

    def thin(ds: Dataset, number: int) -> None:
        ds.ImagePositionPatient = [0, 0, number * 2.5]
        ds.SliceThickness = 2.5

    good = write(tmp_path / "good", ARTERIAL, thin, series="good")
    broken = write(tmp_path / "broken", PORTAL, thin, series="broken")
    ds = dcmread(broken[7])
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.PixelData = encapsulate([b"no stream"])
    ds.save_as(broken[7], enforce_file_format=True)
    headers, _ = read_headers(good + broken)
    gathered = gather(headers)
    assert of(gathered, "good")
    assert complete(gathered, headers)
    assert "undecodable" in reasons(gathered.notes)


@pytest.mark.verifies("SRS-025", "SRS-036", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("hu", "reason"),
    [
        (np.zeros_like(PORTAL), Reason.HU_IMPLAUSIBLE),
        (np.full_like(PORTAL, -1000), Reason.HU_IMPLAUSIBLE),
        (PORTAL[::-1], Reason.ORIENTATION_IMPLAUSIBLE),
        (PORTAL[:, ::-1, ::-1], Reason.ORIENTATION_IMPLAUSIBLE),
        (PORTAL + np.int16(500), Reason.HU_IMPLAUSIBLE),
        (PORTAL[:10], Reason.COVERAGE_TOO_SMALL),
    ],
)
def test_a_study_that_cannot_be_read_says_why(tmp_path: Path, hu: NDArray[np.int16], reason: Reason) -> None:
    headers = study(tmp_path, only=np.ascontiguousarray(hu))
    with pytest.raises(StudyRefused) as refusal:
        gather(headers)
    assert refusal.value.reason is reason
    assert {note.reason for note in refusal.value.set_aside.values()} == {reason}
    assert set(refusal.value.set_aside) == {header.path for header in headers}


@pytest.mark.verifies("SRS-021", level="unit", technique="bad-input")
def test_a_truncated_slice_stops_the_study(tmp_path: Path) -> None:
    paths = write(tmp_path, PORTAL)
    paths[20].write_bytes(paths[20].read_bytes()[:-100])
    with pytest.raises(StudyRefused, match="Slice 21 of 44") as refusal:
        gather(read_headers(paths)[0])
    assert refusal.value.reason is Reason.TRUNCATED


@pytest.mark.verifies("SRS-020", "SRS-028", level="unit", technique="bad-input")
def test_a_file_that_is_no_dicom_leaves_a_hole_that_is_noticed(tmp_path: Path) -> None:
    paths = write(tmp_path, PORTAL)
    paths[20].write_bytes(b"no image")
    headers, refused = read_headers(paths)
    assert reasons(refused.values()) == ["not-dicom"]
    with pytest.raises(StudyRefused) as refusal:
        gather(headers)
    assert refusal.value.reason is Reason.SLICE_MISSING


@pytest.mark.verifies("SRS-022", "SRS-037", level="unit", technique="bad-input")
def test_blank_uids_are_supplied_and_said(tmp_path: Path) -> None:
    def blank(ds: Dataset, number: int) -> None:
        ds.StudyInstanceUID = ds.SeriesInstanceUID = ds.PatientID = ds.Manufacturer = ""

    change: Change = blank
    gathered = gather(read_headers(write(tmp_path, PORTAL, change))[0])
    assert reasons(gathered.notes) == ["no-manufacturer", "no-patient-id", "phase-portal-venous", "uids-supplied"]
