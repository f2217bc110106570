"""The four real studies and 222 real files of other kinds: what is read of them, and what is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.dicom.geometry import Geometry
from node.dicom.reasons import Reason, Refused
from node.dicom.volume import Volume
from node.gather.headers import read_header, read_headers
from node.gather.overview import step
from node.gather.selection import StudyRefused
from node.gather.study import Gathered, gather
from node.gather.volume import Evidence, examine

pytestmark = pytest.mark.data
StudyFinder = Callable[[str], Path]


def read(folder: Path) -> Gathered:
    headers, refused = read_headers(sorted((folder / "ct").rglob("*.dcm")))
    assert not refused
    gathered = gather(headers)
    assert len(gathered.chosen) == len(headers)
    assert not gathered.set_aside
    return gathered


def texts(gathered: Gathered) -> dict[str, str]:
    return {note.reason.value: note.text for note in gathered.notes}


@pytest.fixture(scope="module")
def portal(study: StudyFinder) -> Gathered:
    return read(study("ct-abdomen-portal"))


@pytest.fixture(scope="module")
def ircadb01(study: StudyFinder) -> Gathered:
    return read(study("ct-liver-ircadb01"))


class TestAbdomenPortal:
    """HU + 1024 under an intercept of 0, front and back exchanged, ImageType DERIVED, neither maker nor thickness."""

    @pytest.mark.verifies("SRS-032", "SRS-033", "SRS-034", "SRS-037", level="unit", technique="real-data")
    def test_said(self, portal: Gathered) -> None:
        said = texts(portal)
        assert list(said) == [
            "no-manufacturer",
            "thickness-missing",
            "hu-offset-corrected",
            "ap-mirrored-corrected",
            "phase-portal-venous",
        ]
        assert "corrected by -1024, which puts fat at -90 and soft tissue at 94 HU" in said["hu-offset-corrected"]
        assert "3.00 mm" in said["thickness-missing"]

    @pytest.mark.verifies("SRS-032", "SRS-033", level="unit", technique="real-data")
    def test_corrected(self, portal: Gathered) -> None:
        volume = portal.volume
        assert volume.hu.min() == -1024
        assert volume.anatomy == volume.geometry.mirrored(1)
        assert np.isclose(np.linalg.det(np.array(volume.anatomy.axes)), -np.linalg.det(np.array(volume.geometry.axes)))
        # A lumbar vertebra seen in the pictures: row 190, column 250 of slice 85 lies behind the middle of the patient.
        middle = volume.anatomy.to_patient(tuple((n - 1) / 2 for n in volume.hu.shape))[1]  # type: ignore[arg-type]
        assert volume.anatomy.to_patient((85, 190, 250))[1] > middle


@pytest.mark.verifies("SRS-028", "SRS-033", "SRS-034", "SRS-037", level="unit", technique="real-data")
class TestIrcadb01:
    """No frame of reference, no maker, no patient ID, positions that start at 0: and the patient lies as it says."""

    def test_said(self, ircadb01: Gathered) -> None:
        assert list(texts(ircadb01)) == [
            "no-patient-id",
            "no-frame-of-reference",
            "no-manufacturer",
            "phase-portal-venous",
        ]
        assert ircadb01.volume.anatomy == ircadb01.volume.geometry
        assert ircadb01.volume.geometry.shape == (129, 512, 512)
        assert np.allclose(ircadb01.volume.geometry.spacing, (1.6, 0.57, 0.57), atol=1e-6)


@pytest.mark.verifies("SRS-028", "SRS-034", "SRS-037", level="unit", technique="real-data")
def test_chaos3(study: StudyFinder) -> None:
    gathered = read(study("ct-liver-chaos3"))
    said = texts(gathered)
    assert list(said) == ["no-patient-id", "no-manufacturer", "thickness-contradicted", "phase-portal-venous"]
    assert "2.00 mm apart" in said["thickness-contradicted"]
    assert "3.20 mm (overlapping slices)" in said["thickness-contradicted"]
    assert gathered.volume.geometry.spacing[0] == pytest.approx(2.0)
    assert gathered.volume.anatomy == gathered.volume.geometry


@pytest.mark.verifies("SRS-022", "SRS-030", level="unit", technique="real-data")
def test_body_j2k_is_too_short(study: StudyFinder) -> None:
    headers, refused = read_headers(sorted((study("ct-body-j2k") / "ct").rglob("*.dcm")))
    assert not refused
    assert {note.reason for header in headers for note in header.notes} == {Reason.UIDS_SUPPLIED}
    assert len({header.dataset.StudyInstanceUID for header in headers}) == 1
    assert len({header.dataset.SeriesInstanceUID for header in headers}) == 1
    assert len({header.dataset.SOPInstanceUID for header in headers}) == 20
    with pytest.raises(StudyRefused, match="20 slices, 40 mm") as refusal:
        gather(headers)
    assert refusal.value.reason is Reason.COVERAGE_TOO_SMALL


@pytest.mark.verifies("SRS-028", level="unit", technique="real-data")
@pytest.mark.parametrize("lost", [1, 64, 127])
def test_a_slice_lost_in_the_middle_of_a_real_study(ircadb01: Gathered, lost: int) -> None:
    with pytest.raises(StudyRefused) as refusal:
        gather([*ircadb01.chosen[:lost], *ircadb01.chosen[lost + 1 :]])
    assert refusal.value.reason is Reason.SLICE_MISSING


class TestWrongOnPurpose:
    """Real images under wrong headers: simulated by turning the voxels."""

    @staticmethod
    def look(volume: Volume, turn: Callable[[NDArray[np.int16]], NDArray[np.int16]]) -> tuple[Evidence, Geometry]:
        """Examine the voxels, first laid as the patient lies, then turned."""
        upright = volume.hu if volume.anatomy == volume.geometry else volume.hu[:, ::-1]
        every = step(volume.geometry.spacing[0])
        return examine(np.ascontiguousarray(turn(upright)[::every]), volume.geometry), volume.geometry

    @pytest.mark.verifies("SRS-032", "SRS-033", level="unit", technique="real-data")
    @pytest.mark.parametrize("name", ["portal", "ircadb01"])
    def test_right(self, name: str, request: pytest.FixtureRequest) -> None:
        evidence, geometry = self.look(request.getfixturevalue(name).volume, lambda hu: hu)
        assert evidence.anatomy == geometry
        assert evidence.offset == 0

    @pytest.mark.verifies("SRS-033", level="unit", technique="real-data")
    @pytest.mark.parametrize("name", ["portal", "ircadb01"])
    def test_front_and_back(self, name: str, request: pytest.FixtureRequest) -> None:
        evidence, geometry = self.look(request.getfixturevalue(name).volume, lambda hu: hu[:, ::-1])
        assert evidence.anatomy == geometry.mirrored(1)

    @pytest.mark.verifies("SRS-033", level="unit", technique="real-data")
    @pytest.mark.parametrize("name", ["portal", "ircadb01"])
    def test_turned_round(self, name: str, request: pytest.FixtureRequest) -> None:
        with pytest.raises(Refused, match="turned round"):
            self.look(request.getfixturevalue(name).volume, lambda hu: hu[:, ::-1, ::-1])

    @pytest.mark.verifies("SRS-033", level="unit", technique="real-data")
    @pytest.mark.parametrize("name", ["portal", "ircadb01"])
    def test_head_and_feet(self, name: str, request: pytest.FixtureRequest) -> None:
        with pytest.raises(Refused, match="head and feet"):
            self.look(request.getfixturevalue(name).volume, lambda hu: hu[::-1])

    @pytest.mark.verifies("SRS-032", level="unit", technique="real-data")
    @pytest.mark.parametrize("stored", [1024, -1024])
    def test_offset(self, ircadb01: Gathered, stored: int) -> None:
        assert self.look(ircadb01.volume, lambda hu: hu + np.int16(stored))[0].offset == -stored

    @pytest.mark.verifies("SRS-032", level="unit", technique="real-data")
    @pytest.mark.parametrize("stored", [500, -300])
    def test_unknown_offset(self, ircadb01: Gathered, stored: int) -> None:
        with pytest.raises(Refused) as refusal:
            self.look(ircadb01.volume, lambda hu: hu + np.int16(stored))
        assert refusal.value.reason is Reason.HU_IMPLAUSIBLE


# pydicom's own words about what it finds odd in these files, as they are met when headers are parsed.
@pytest.mark.verifies("SRS-020", "SRS-025", "SRS-026", level="unit", technique="real-data")
@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
@pytest.mark.filterwarnings("ignore:Expected explicit VR, but found implicit VR")
def test_every_file_of_every_kind_ends_in_a_named_state(study: StudyFinder) -> None:
    states: Counter[str] = Counter()
    paths = sorted(study("multivendor").glob("*.dcm"))
    for path in paths:
        try:
            header = read_header(path)
        except Refused as refusal:
            states[f"header: {refusal.reason.value}"] += 1
            continue
        with pytest.raises(StudyRefused) as refused:
            gather([header])
        assert set(refused.value.set_aside) == {path}
        states[refused.value.set_aside[path].reason.value] += 1
    assert len(paths) == 222
    assert states == {
        "not-ct": 167,
        "coverage-too-small": 32,
        "multi-frame": 7,
        "header: bad-attribute": 6,
        "header: truncated": 4,
        "localizer": 4,
        "wrong-orientation": 1,
        "no-pixel-data": 1,
    }
