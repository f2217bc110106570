"""What pixels show against what headers say: values, orientation, phase. On a PHANTOM, and on nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from node.dicom.geometry import Geometry
from node.dicom.reasons import Reason, Refused
from node.gather import hounsfield
from node.gather.orientation import SpineEvidence, spine_evidence
from node.gather.overview import Overview, largest_component, overview, step
from node.gather.phase import Enhancement, Phase, enhancement
from node.gather.tracks import best_track
from node.gather.volume import Evidence, examine
from tests.node.gather.synthetic import PIXEL_MM, SIZE, SLICE_MM, SLICES, trunk

GRID = Geometry(
    shape=(SLICES, SIZE, SIZE),
    origin=(0, 0, 0),
    spacing=(SLICE_MM, PIXEL_MM, PIXEL_MM),
    axes=((0, 0, 1), (0, 1, 0), (1, 0, 0)),
)


def look(hu: NDArray[np.int16], geometry: Geometry = GRID) -> Evidence:
    return examine(np.ascontiguousarray(hu), geometry)


def refused(hu: NDArray[np.int16]) -> Refused:
    with pytest.raises(Refused) as refusal:
        look(hu)
    return refusal.value


def codes(evidence: Evidence) -> list[str]:
    return [note.reason.value for note in evidence.notes]


@pytest.mark.verifies("SRS-032", level="unit", technique="phantom")
class TestHounsfield:
    def test_right_values_stay(self) -> None:
        evidence = look(trunk())
        assert evidence.offset == 0
        assert codes(evidence) == ["phase-portal-venous"]

    @pytest.mark.parametrize("stored", [1024, 1000, -1024, -1000])
    def test_known_offsets_are_corrected_and_said(self, stored: int) -> None:
        evidence = look(trunk() + np.int16(stored))
        assert evidence.offset == -stored
        assert codes(evidence) == ["hu-offset-corrected", "phase-portal-venous"]
        note = evidence.notes[0].text
        assert f"{stored:+d}" in note
        assert "would fit too" in note  # 1000 and 1024 are 24 HU apart: the reader must know
        assert evidence.enhancement == look(trunk()).enhancement

    @pytest.mark.parametrize("stored", [500, -300, 200, 80, -60, 2048, -150])
    def test_unknown_offsets_are_refused(self, stored: int) -> None:
        refusal = refused(trunk() + np.int16(stored))
        assert refusal.reason is Reason.HU_IMPLAUSIBLE
        assert "peaks at" in refusal.text

    @pytest.mark.parametrize("slope", [0.5, 2.0])
    def test_wrong_slopes_are_refused(self, slope: float) -> None:
        assert refused((trunk() * slope).astype(np.int16)).reason is Reason.HU_IMPLAUSIBLE

    @pytest.mark.parametrize("value", [0, 1024, -1000])
    def test_one_value_everywhere(self, value: int) -> None:
        refusal = refused(np.full((SLICES, SIZE, SIZE), value, dtype=np.int16))
        assert refusal.reason is Reason.HU_IMPLAUSIBLE
        assert f"({value})" in refusal.text

    def test_only_air(self) -> None:
        noise = np.random.default_rng(1).normal(-1000, 15, (SLICES, SIZE, SIZE)).astype(np.int16)
        assert refused(noise).reason is Reason.NO_BODY

    def test_noise_of_any_kind(self) -> None:
        noise = np.random.default_rng(1).integers(-1000, 1000, (SLICES, SIZE, SIZE)).astype(np.int16)
        assert refused(noise).reason is Reason.HU_IMPLAUSIBLE

    def test_water(self) -> None:
        hu = np.where(trunk() > -300, 0, -1000)
        hu = hu + np.random.default_rng(1).normal(0, 10, hu.shape)
        assert refused(hu.astype(np.int16)).reason is Reason.HU_IMPLAUSIBLE

    def test_a_lean_patient_shows_no_fat(self) -> None:
        hu = trunk()
        lean = np.where((hu > -160) & (hu < -40), 50, hu).astype(np.float32)
        assert hounsfield.tissue(lean).fat is None
        assert hounsfield.offset(lean) == (0, None)


@pytest.mark.verifies("SRS-033", level="unit", technique="phantom")
class TestOrientation:
    def test_spine_behind(self) -> None:
        evidence = look(trunk())
        assert evidence.anatomy == GRID

    @pytest.mark.parametrize("oral_contrast", [False, True])
    def test_rows_in_reverse_are_found(self, oral_contrast: bool) -> None:
        hu = trunk(oral_contrast=oral_contrast)
        assert look(hu).anatomy == GRID
        evidence = look(hu[:, ::-1])
        assert evidence.anatomy == GRID.mirrored(1)
        assert codes(evidence) == ["ap-mirrored-corrected", "phase-portal-venous"]
        assert evidence.enhancement.aorta == pytest.approx(look(hu).enhancement.aorta, abs=3)

    def test_both_faults_at_once_as_in_the_public_sample(self) -> None:
        evidence = look(trunk()[:, ::-1] + np.int16(1024))
        assert codes(evidence) == ["hu-offset-corrected", "ap-mirrored-corrected", "phase-portal-venous"]

    def test_prone_patient_with_right_headers(self) -> None:
        """The table is above: rows run to the front, columns to the right, and the headers say so."""
        prone = GRID.model_copy(update={"axes": ((0, 0, 1), (0, -1, 0), (-1, 0, 0))})
        evidence = look(trunk()[:, ::-1, ::-1], prone)
        assert evidence.anatomy == prone
        assert codes(evidence) == ["phase-portal-venous"]

    @pytest.mark.parametrize(
        ("axes", "turn"),
        [
            (((0, 0, 1), (1, 0, 0), (0, 1, 0)), lambda hu: hu.transpose(0, 2, 1)),
            (((0, 0, -1), (0, 1, 0), (1, 0, 0)), lambda hu: hu[::-1]),
            (((0, 0, 1), (0, 1, 0), (-1, 0, 0)), lambda hu: hu[:, :, ::-1]),
        ],
    )
    def test_any_right_orientation_is_right(self, axes: object, turn: object) -> None:
        geometry = GRID.model_copy(update={"axes": axes})
        evidence = look(turn(trunk()), geometry)  # type: ignore[operator]
        assert evidence.anatomy == geometry
        assert evidence.enhancement == look(trunk()).enhancement

    def test_turned_round_is_refused(self) -> None:
        """A prone patient called supine: mirroring the rows alone would put the liver on the left."""
        refusal = refused(trunk()[:, ::-1, ::-1])
        assert refusal.reason is Reason.ORIENTATION_IMPLAUSIBLE
        assert "turned round" in refusal.text

    def test_head_and_feet_exchanged(self) -> None:
        refusal = refused(trunk()[::-1])
        assert refusal.reason is Reason.ORIENTATION_IMPLAUSIBLE
        assert "upper end" in refusal.text

    def test_no_spine(self) -> None:
        hu = np.where(trunk() > 200, 50, trunk())
        refusal = refused(hu.astype(np.int16))
        assert refusal.reason is Reason.ORIENTATION_IMPLAUSIBLE
        assert "cannot be told" in refusal.text

    def test_spines_on_both_sides(self) -> None:
        hu = trunk()
        both = np.where((hu[:, ::-1] > 250) & (hu > -300), hu[:, ::-1], hu)
        assert refused(both).reason is Reason.ORIENTATION_IMPLAUSIBLE

    @pytest.mark.parametrize(
        ("behind", "before", "depth", "agrees"),
        [(0.75, 0.15, 0.7, True), (0.7, 0.3, 0.7, False), (0.6, 0.1, 0.7, False), (0.9, 0.0, 0.5, False)],
    )
    def test_mixed_evidence_is_none(self, behind: float, before: float, depth: float, agrees: bool) -> None:
        upright = SpineEvidence(40, behind, before, depth)
        assert upright.agrees is agrees
        assert not upright.contradicts
        mirrored = SpineEvidence(40, before, behind, 1 - depth)
        assert mirrored.contradicts is agrees
        assert not mirrored.agrees

    def test_a_small_thing_is_no_trunk(self) -> None:
        y, x = np.mgrid[:SIZE, :SIZE]
        rod = ((y - 64) ** 2 + (x - 64) ** 2 < 8**2) * 1060 - 1000
        hu = np.broadcast_to(rod, (SLICES, SIZE, SIZE)) + np.random.default_rng(2).normal(0, 10, (SLICES, SIZE, SIZE))
        refusal = refused(hu.astype(np.int16))
        assert refusal.reason is Reason.NO_BODY

    def test_left_and_right_cannot_be_told(self) -> None:
        """The known limit: what tells them is the liver's outline, later."""
        assert look(trunk()[:, :, ::-1]).anatomy == GRID

    def test_oral_contrast_alone_does_not_make_a_spine(self) -> None:
        view = overview(trunk(oral_contrast=True), GRID)
        assert spine_evidence(view).agrees
        assert spine_evidence(view.flipped()).contradicts


class TestPhase:
    @pytest.mark.verifies("SRS-034", level="unit", technique="phantom")
    @pytest.mark.parametrize(
        ("liver", "aorta", "phase"),
        [
            (112, 165, Phase.PORTAL_VENOUS),
            (95, 145, Phase.PORTAL_VENOUS),
            (140, 170, Phase.PORTAL_VENOUS),
            (95, 110, Phase.DELAYED),
            (75, 320, Phase.ARTERIAL),
            (60, 45, Phase.UNENHANCED),
            (45, 160, Phase.UNKNOWN),
        ],
    )
    def test_simulated_phases(self, liver: int, aorta: int, phase: Phase) -> None:
        found = look(trunk(liver=liver, aorta=aorta)).enhancement
        assert found.aorta == pytest.approx(aorta, abs=6)
        assert found.organ == pytest.approx(liver, abs=8)
        assert found.phase is phase

    @pytest.mark.verifies("SRS-034", level="unit", technique="example")
    @pytest.mark.parametrize(
        ("found", "reason", "words"),
        [
            (Enhancement(165, 112), Reason.PHASE_PORTAL_VENOUS, "aorta 165 HU"),
            (Enhancement(320, 75), Reason.PHASE_UNKNOWN, "perhaps arterial"),
            (Enhancement(None, 112), Reason.PHASE_UNKNOWN, "aorta not followed"),
            (Enhancement(165, None), Reason.PHASE_UNKNOWN, "no large organ found"),
        ],
    )
    def test_only_clear_evidence_names_a_phase(self, found: Enhancement, reason: Reason, words: str) -> None:
        assert found.note.reason is reason
        assert words in found.note.text

    @pytest.mark.verifies("SRS-035", level="unit", technique="example")
    def test_order_of_preference(self) -> None:
        portal, delayed = Enhancement(165, 112), Enhancement(110, 95)
        arterial, plain, nothing = Enhancement(320, 75), Enhancement(45, 58), Enhancement(None, None)
        order = [portal, delayed, arterial, plain, nothing]
        assert sorted([order[index] for index in (4, 2, 0, 3, 1)], key=lambda found: found.preference) == order

    @pytest.mark.verifies("SRS-034", level="unit", technique="phantom")
    def test_an_aorta_that_is_not_there(self) -> None:
        hu = trunk()
        tube = np.where((hu > 120) & (hu < 210), -100, hu)[:, :80]
        without = np.concatenate([tube, hu[:, 80:]], axis=1)
        assert enhancement(overview(np.ascontiguousarray(without), GRID)).aorta is None

    @pytest.mark.verifies("SRS-034", level="unit", technique="boundary")
    def test_nothing_to_measure(self) -> None:
        empty = Overview(np.full((10, 40, 40), -1000, dtype=np.float32), (5, 3, 3))
        assert enhancement(empty) == Enhancement(None, None)


@pytest.mark.verifies("SRS-033", level="unit", technique="example")
class TestOverview:
    @pytest.mark.parametrize(("spacing", "every"), [(0.5, 10), (1.6, 3), (2.5, 2), (5, 1), (8, 1)])
    def test_step(self, spacing: float, every: int) -> None:
        assert step(spacing) == every

    def test_axes_are_turned_to_the_patient(self) -> None:
        hu = np.zeros((4, 6, 8), dtype=np.int16)
        hu[3, 0, 0] = 1000
        geometry = Geometry(
            shape=(4, 6, 8), origin=(0, 0, 0), spacing=(5, 3, 2), axes=((0, 0, -1), (-1, 0, 0), (0, 1, 0))
        )
        view = overview(hu, geometry)
        assert view.hu.shape == (4, 8, 6)
        assert view.spacing == (5, 2, 3)
        assert np.argwhere(view.hu == 1000).tolist() == [[0, 0, 5]]

    def test_pixels_are_averaged_to_two_millimetres(self) -> None:
        hu = np.arange(64, dtype=np.int16).reshape(1, 8, 8)
        geometry = GRID.model_copy(update={"shape": (1, 8, 8), "spacing": (5.0, 0.5, 0.5)})
        view = overview(hu, geometry)
        assert view.spacing == (5, 2, 2)
        assert view.hu[0, 0, 0] == hu[0, :4, :4].mean()

    def test_largest_component_of_nothing(self) -> None:
        assert not largest_component(np.zeros((3, 3, 3), dtype=bool)).any()


@pytest.mark.verifies("SRS-033", "SRS-034", level="unit", technique="oracle")
def test_best_track_follows_a_moving_ridge() -> None:
    score = np.zeros((20, 30, 30), dtype=np.float32)
    truth = [(5 + z // 2, 20 - z // 2) for z in range(20)]
    for z, (y, x) in enumerate(truth):
        score[z, y, x] = 1
    score[10, 25, 2] = 5  # a brighter spot out of reach
    assert best_track(score).tolist() == [list(place) for place in truth]


@pytest.mark.verifies("SRS-033", "SRS-034", level="unit", technique="example")
def test_best_track_does_not_jump() -> None:
    score = np.random.default_rng(0).random((30, 20, 20)).astype(np.float32)
    assert np.abs(np.diff(best_track(score, reach=2), axis=0)).max() <= 2
