"""What headers alone decide: which images make a volume, and the named reason of every other one."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, Sequence, dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Note, Reason, Refused
from node.gather import selection as selection_module
from node.gather.headers import read_header
from node.gather.images import CtImage
from node.gather.selection import StudyRefused, select
from tests.node.gather.synthetic import PIXEL_MM, SLICE_MM, headers, reasons, set_raw, shuffled, with_meta, write


def refused(items: list[RealDataset], reason: Reason) -> StudyRefused:
    """Expect a refusal that accounts for every instance."""
    with pytest.raises(StudyRefused) as refusal:
        select(items)
    assert refusal.value.reason is reason, refusal.value
    assert set(refusal.value.set_aside) == {item.path for item in items}
    assert "PHANTOM" not in refusal.value.text
    return refusal.value


def every_instance_is_named(items: list[RealDataset]) -> dict[Path, Note]:
    """Expect that chosen and set aside together are the study, and return what is set aside."""
    result = select(items)
    chosen = {item.path for item in result.chosen}
    assert chosen.isdisjoint(result.set_aside)
    assert chosen | set(result.set_aside) == {item.path for item in items}
    return result.set_aside


def same(_: CtImage, __: CtImage) -> bool:
    return True


def different(_: CtImage, __: CtImage) -> bool:
    return False


class TestOneSeries:
    @pytest.mark.verifies("SRS-028", level="unit", technique="example")
    def test_regular(self) -> None:
        items = headers()
        result = select(shuffled(items, 3))
        assert result.chosen == tuple(items)
        assert result.set_aside == {}
        geometry = result.candidates[0].geometry
        assert geometry.shape == (44, 128, 128)
        assert geometry.spacing == (SLICE_MM, PIXEL_MM, PIXEL_MM)
        assert geometry.axes == ((0, 0, 1), (0, 1, 0), (1, 0, 0))
        assert geometry.origin == (-192, -192, 0)
        assert result.candidates[0].notes == result.notes == ()

    @pytest.mark.verifies("SRS-026", level="unit", technique="example")
    def test_image_type_is_no_evidence(self) -> None:
        def derived(ds: Dataset, _: int) -> None:
            ds.ImageType = ["DERIVED", "SECONDARY"]

        assert len(select(headers(change=derived)).chosen) == 44

    @pytest.mark.verifies("SRS-028", level="unit", technique="example")
    def test_head_first_and_feet_first_prone_orientation(self) -> None:
        def prone(ds: Dataset, _: int) -> None:
            ds.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]

        geometry = select(headers(change=prone)).candidates[0].geometry
        assert geometry.axes == ((0, 0, 1), (0, -1, 0), (-1, 0, 0))

    @pytest.mark.verifies("SRS-028", level="unit", technique="example")
    def test_images_numbered_from_the_other_end(self) -> None:
        def downwards(ds: Dataset, number: int) -> None:
            ds.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
            ds.ImagePositionPatient = [0, 0, -number * SLICE_MM]

        result = select(headers(change=downwards))
        steps = np.diff([image.position[2] for image in result.candidates[0].images])
        assert np.allclose(steps, -SLICE_MM)  # along the images' own normal, which points to the feet
        assert np.isclose(np.linalg.det(np.array(result.candidates[0].geometry.axes)[::-1]), 1)

    @pytest.mark.verifies("SRS-029", level="unit", technique="example")
    def test_every_slice_its_own_acquisition_number(self) -> None:
        def step_and_shoot(ds: Dataset, number: int) -> None:
            ds.AcquisitionNumber = number

        assert len(select(headers(change=step_and_shoot)).chosen) == 44

    @pytest.mark.verifies("SRS-028", level="unit", technique="boundary")
    def test_positions_rounded_to_a_tenth(self) -> None:
        def rounded(ds: Dataset, number: int) -> None:
            ds.ImagePositionPatient = [0, 0, round(number * 1.25, 1)]

        assert len(select(headers(120, rounded)).chosen) == 120

    @pytest.mark.verifies("SRS-028", level="unit", technique="property")
    @given(count=st.integers(30, 60), spacing=st.floats(1.5, 7), data=st.data())
    @settings(max_examples=20, deadline=None)
    def test_a_lost_slice_is_always_noticed(self, count: int, spacing: float, data: st.DataObject) -> None:
        def place(ds: Dataset, number: int) -> None:
            ds.ImagePositionPatient = [0, 0, round(number * spacing, 2)]

        items = headers(count + int(80 / spacing), place)
        lost = data.draw(st.integers(1, len(items) - 2))
        del items[lost]
        refusal = refused(shuffled(items, 1), Reason.SLICE_MISSING)
        assert f"1 of {len(items) + 1} slices missing, the first one after slice {lost}" in refusal.text

    @pytest.mark.verifies("SRS-028", level="unit", technique="property")
    @given(seed=st.integers(0, 1000))
    @settings(max_examples=10, deadline=None)
    def test_order_does_not_matter(self, seed: int) -> None:
        items = headers(30)
        assert select(shuffled(items, seed)).chosen == tuple(items)

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_two_slices_missing(self) -> None:
        items = headers()
        del items[30], items[10]
        assert "2 of 44 slices missing" in refused(items, Reason.SLICE_MISSING).text

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_every_second_slice_missing_in_one_half(self) -> None:
        items = headers()
        refused(items[:20] + items[20::2], Reason.SLICE_MISSING)

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_uneven(self) -> None:
        def growing(ds: Dataset, number: int) -> None:
            ds.ImagePositionPatient = [0, 0, 3 * number + 0.02 * number**2]

        refused(headers(change=growing), Reason.UNEVEN_SPACING)

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_jitter(self) -> None:
        def jitter(ds: Dataset, number: int) -> None:
            ds.ImagePositionPatient = [0, 0, 5 * number + (1.2 if number % 2 else 0)]

        refused(headers(change=jitter), Reason.UNEVEN_SPACING)

    @pytest.mark.verifies("SRS-030", "SRS-037", level="unit", technique="boundary")
    def test_too_thick_and_thick(self) -> None:
        def every(mm: float) -> list[RealDataset]:
            def place(ds: Dataset, number: int) -> None:
                ds.ImagePositionPatient = [0, 0, mm * number]
                ds.SliceThickness = mm

            return headers(change=place)

        refused(every(8.1), Reason.SLICE_TOO_THICK)
        assert reasons(select(every(7.5)).candidates[0].notes) == ["thick-slices"]
        assert reasons(select(every(5.0)).candidates[0].notes) == []

    @pytest.mark.verifies("SRS-030", level="unit", technique="boundary")
    @pytest.mark.parametrize("count", [1, 2, 3, 15])
    def test_too_short(self, count: int) -> None:
        refused(headers(count), Reason.COVERAGE_TOO_SMALL)

    @pytest.mark.verifies("SRS-030", level="unit", technique="boundary")
    def test_just_long_enough(self) -> None:
        assert len(select(headers(16)).chosen) == 16

    @pytest.mark.verifies("SRS-030", level="unit", technique="bad-input")
    def test_too_large(self) -> None:
        def huge(ds: Dataset, _: int) -> None:
            ds.Rows = ds.Columns = 4096

        refused(headers(change=huge), Reason.TOO_LARGE)

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_gantry_tilt_shears_the_stack(self) -> None:
        angle = np.radians(12)

        def tilted(ds: Dataset, number: int) -> None:
            ds.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(angle)), float(-np.sin(angle))]
            ds.GantryDetectorTilt = 12

        assert "12.0 degrees" in refused(headers(change=tilted), Reason.GANTRY_TILT).text

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_gantry_tilt_that_the_orientation_hides(self) -> None:
        def said(ds: Dataset, _: int) -> None:
            ds.GantryDetectorTilt = -12

        refused(headers(change=said), Reason.GANTRY_TILT)

    @pytest.mark.verifies("SRS-026", "SRS-028", level="unit", technique="example")
    def test_oblique_but_straight_stack_is_read(self) -> None:
        angle = np.radians(8)
        normal = np.array([0, np.sin(angle), np.cos(angle)])

        def oblique(ds: Dataset, number: int) -> None:
            ds.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(angle)), float(-np.sin(angle))]
            ds.ImagePositionPatient = [float(v) for v in normal * SLICE_MM * number]

        geometry = select(headers(change=oblique)).candidates[0].geometry
        assert np.allclose(geometry.axes[0], normal)
        assert np.isclose(geometry.spacing[0], SLICE_MM)

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_frames_of_reference_that_change_along_the_stack(self) -> None:
        def moved(ds: Dataset, number: int) -> None:
            ds.FrameOfReferenceUID = f"1.2.{number // 22}"

        refused(headers(change=moved), Reason.MIXED_FRAMES)


class TestBadAttributes:
    """A slice whose place is not known leaves a hole, which is named for what it is."""

    @pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
    @pytest.mark.parametrize(
        ("keyword", "vr", "value", "reason"),
        [
            ("PixelSpacing", "DS", b"abc ", Reason.BAD_ATTRIBUTE),
            ("PixelSpacing", "DS", b"0\\0 ", Reason.BAD_ATTRIBUTE),
            ("PixelSpacing", "DS", b"", Reason.NO_GEOMETRY),
            ("ImagePositionPatient", "DS", b"1\\2 ", Reason.BAD_ATTRIBUTE),
            ("ImagePositionPatient", "DS", b"", Reason.NO_GEOMETRY),
            ("ImageOrientationPatient", "DS", b"1\\0\\0\\1\\0\\0", Reason.BAD_ATTRIBUTE),
            ("ImageOrientationPatient", "DS", b"0\\0\\0\\0\\0\\0", Reason.BAD_ATTRIBUTE),
            ("ImageOrientationPatient", "DS", b"", Reason.NO_GEOMETRY),
            ("RescaleSlope", "DS", b"0 ", Reason.BAD_ATTRIBUTE),
            ("RescaleIntercept", "DS", b"x ", Reason.BAD_ATTRIBUTE),
            ("Rows", "US", b"\0\0", Reason.BAD_ATTRIBUTE),
            ("Columns", "DS", b"x ", Reason.BAD_ATTRIBUTE),
        ],
    )
    def test_needed(self, keyword: str, vr: str, value: bytes, reason: Reason) -> None:
        def spoil(ds: Dataset, number: int) -> None:
            if number == 20:
                set_raw(ds, keyword, vr, value)

        refusal = refused(headers(change=spoil), Reason.SLICE_MISSING)
        spoilt = refusal.set_aside[Path("axial-00020.dcm")]
        assert spoilt.reason is reason
        assert keyword in spoilt.text

    @pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
    @pytest.mark.parametrize(
        ("keyword", "vr", "value"),
        [
            ("InstanceNumber", "IS", b"12.0"),
            ("InstanceNumber", "IS", b"abc "),
            ("SpacingBetweenSlices", "DS", b"abc "),
            ("GantryDetectorTilt", "DS", b"n/a "),
            ("Rows", "DS", b"128 "),
            ("AcquisitionNumber", "IS", b"x "),
        ],
    )
    def test_harmless(self, keyword: str, vr: str, value: bytes) -> None:
        def spoil(ds: Dataset, _: int) -> None:
            set_raw(ds, keyword, vr, value)

        assert len(select(headers(change=spoil)).chosen) == 44

    @pytest.mark.verifies("SRS-021", level="unit", technique="boundary")
    @pytest.mark.parametrize("reason", [Reason.TRUNCATED, Reason.NO_PIXEL_DATA])
    @pytest.mark.parametrize("where", [0, 20, 43])
    def test_a_slice_without_whole_pixels_stops_the_series(self, reason: Reason, where: int) -> None:
        items = headers()
        items[where] = RealDataset(items[where].dataset, items[where].path, (Note(reason=reason, text="Broken."),))
        assert f"Slice {where + 1} of 44" in refused(items, reason).text

    @pytest.mark.verifies("SRS-021", level="unit", technique="bad-input")
    def test_no_pixels_at_all(self) -> None:
        note = Note(reason=Reason.NO_PIXEL_DATA, text="The image holds no pixel data.")
        items = [RealDataset(item.dataset, item.path, (note,)) for item in headers()]
        assert refused(items, Reason.NO_PIXEL_DATA).text == note.text


class TestOtherObjects:
    @pytest.mark.verifies("SRS-025", "SRS-026", level="unit", technique="example")
    @pytest.mark.parametrize(
        ("keyword", "value", "reason"),
        [
            ("Modality", "MR", Reason.NOT_CT),
            ("Modality", "PT", Reason.NOT_CT),
            ("SOPClassUID", SecondaryCaptureImageStorage, Reason.NOT_CT),
            ("SOPClassUID", ComprehensiveSRStorage, Reason.NOT_CT),
            ("SOPClassUID", "1.2.840.113619.4.26", Reason.NOT_CT),
            ("SOPClassUID", EnhancedCTImageStorage, Reason.MULTI_FRAME),
            ("NumberOfFrames", "12", Reason.MULTI_FRAME),
            ("SamplesPerPixel", 3, Reason.NOT_CT),
        ],
    )
    def test_set_aside_beside_a_series(self, keyword: str, value: object, reason: Reason) -> None:
        def other(ds: Dataset, _: int) -> None:
            setattr(ds, keyword, value)

        odd = headers(5, other, series="odd")
        aside = every_instance_is_named(headers() + odd)
        assert {aside[item.path].reason for item in odd if item.path} == {reason}
        assert refused(odd, Reason.NO_SUITABLE_SERIES).text.startswith("No axial CT series among 5 instances")

    @pytest.mark.verifies("SRS-024", "SRS-025", level="unit", technique="example")
    def test_own_results(self) -> None:
        def ours(ds: Dataset, _: int) -> None:
            ds.Modality, ds.Manufacturer = "SEG", "Overread"

        aside = every_instance_is_named(headers() + headers(1, ours, series="seg"))
        assert reasons(aside.values()) == ["own-result"]

    @pytest.mark.verifies("SRS-025", "SRS-026", level="unit", technique="example")
    def test_localisers(self) -> None:
        def scout(ds: Dataset, number: int) -> None:
            ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            ds.ImageOrientationPatient = [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]][number]

        aside = every_instance_is_named(headers() + headers(2, scout, series="scout"))
        assert reasons(aside.values()) == ["localizer"] * 2

    @pytest.mark.verifies("SRS-025", "SRS-026", level="unit", technique="example")
    def test_localiser_within_the_axial_series(self) -> None:
        def scout_first(ds: Dataset, number: int) -> None:
            if number == 0:
                ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
                ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
                ds.Rows = 700

        assert reasons(every_instance_is_named(headers(change=scout_first)).values()) == ["localizer"]

    @pytest.mark.verifies("SRS-025", "SRS-026", level="unit", technique="example")
    def test_axial_image_that_calls_itself_localiser(self) -> None:
        def scout(ds: Dataset, _: int) -> None:
            ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

        aside = every_instance_is_named(headers() + headers(1, scout, series="scout"))
        assert reasons(aside.values()) == ["localizer"]
        assert len(select(headers(change=scout)).chosen) == 44  # a stack of sections is one, whatever it says

    @pytest.mark.verifies("SRS-025", "SRS-026", level="unit", technique="example")
    @pytest.mark.parametrize(
        ("orientation", "reason"),
        [
            ([1, 0, 0, 0, 0, -1], Reason.REFORMAT),
            ([0, 1, 0, 0, 0, -1], Reason.REFORMAT),
            ([1, 0, 0, 0, 0.7071068, -0.7071068], Reason.WRONG_ORIENTATION),
            ([0.7071068, 0.7071068, 0, -0.7071068, 0.7071068, 0], Reason.WRONG_ORIENTATION),
        ],
    )
    def test_other_planes(self, orientation: list[float], reason: Reason) -> None:
        normal = np.cross(orientation[:3], orientation[3:])

        def turned(ds: Dataset, number: int) -> None:
            ds.ImageOrientationPatient = orientation
            ds.ImagePositionPatient = [float(v) for v in normal * number * 2]

        plane = headers(60, turned, series="plane")
        aside = every_instance_is_named(headers() + plane)
        assert {note.reason for note in aside.values()} == {reason}
        refused(plane, Reason.NO_SUITABLE_SERIES)


@pytest.mark.verifies("SRS-029", level="unit", technique="example")
class TestSeveralPasses:
    @pytest.mark.parametrize(
        ("keyword", "values"),
        [
            ("AcquisitionNumber", [1, 2]),
            ("TemporalPositionIdentifier", [1, 2]),
            ("ConvolutionKernel", ["B", "Y"]),
            ("KVP", [80, 140]),
            ("FrameOfReferenceUID", ["1.2.3", "1.2.4"]),
        ],
    )
    def test_divided_by_what_tells_them_apart(self, keyword: str, values: list[object]) -> None:
        def twice(ds: Dataset, number: int) -> None:
            setattr(ds, keyword, values[number // 44])
            ds.ImagePositionPatient = [0, 0, (number % 44) * SLICE_MM]

        items = headers(88, twice)
        result = select(shuffled(items, 5))
        assert sorted(len(candidate.images) for candidate in result.candidates) == [44, 44]
        for candidate in result.candidates:
            assert len({image.said(keyword) for image in candidate.images}) == 1
        assert reasons(result.set_aside.values()) == ["other-series-preferred"] * 44

    def test_divided_by_the_order_of_the_images(self) -> None:
        def twice(ds: Dataset, number: int) -> None:
            ds.ImagePositionPatient = [0, 0, (number % 44) * SLICE_MM]

        items = headers(88, twice)
        result = select(shuffled(items, 6))
        assert {candidate.headers for candidate in result.candidates} == {tuple(items[:44]), tuple(items[44:])}

    def test_interleaved_passes_at_other_places(self) -> None:
        def offset(ds: Dataset, number: int) -> None:
            ds.AcquisitionNumber = number // 44
            ds.ImagePositionPatient = [0, 0, (number % 44) * SLICE_MM + 1.3 * (number // 44)]

        assert [len(candidate.images) for candidate in select(headers(88, offset)).candidates] == [44, 44]

    def test_phases_and_kernels_together(self) -> None:
        def four(ds: Dataset, number: int) -> None:
            ds.AcquisitionNumber = number // 44 % 2
            ds.ConvolutionKernel = "BY"[number // 88]
            ds.ImagePositionPatient = [0, 0, (number % 44) * SLICE_MM]

        assert [len(candidate.images) for candidate in select(headers(176, four)).candidates] == [44] * 4

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_a_slice_missing_in_one_of_two_passes(self) -> None:
        def twice(ds: Dataset, number: int) -> None:
            ds.AcquisitionNumber = number // 44
            ds.ImagePositionPatient = [0, 0, (number % 44) * SLICE_MM]

        items = headers(88, twice)
        del items[60]
        result = select(items)
        assert result.chosen == tuple(items[:44])
        assert reasons(result.set_aside.values()) == ["slice-missing"] * 43
        assert reasons(result.notes) == ["slice-missing"]  # it may have been the better one: said in the report

    @pytest.mark.verifies("SRS-028", level="unit", technique="bad-input")
    def test_an_acquisition_that_changes_where_a_slice_is_missing(self) -> None:
        def two_halves(ds: Dataset, number: int) -> None:
            ds.AcquisitionNumber = number // 22

        items = headers(change=two_halves)
        del items[22]
        refused(items, Reason.SLICE_MISSING)

    def test_acquisitions_that_meet_in_one_slice_are_not_taken_for_passes(self) -> None:
        """Each would hold half a liver, and nothing would say so."""

        def two_helices(ds: Dataset, number: int) -> None:
            ds.AcquisitionNumber = 1 + number // 22
            ds.ImagePositionPatient = [0, 0, (number - number // 22) * SLICE_MM]

        with pytest.raises(StudyRefused) as refusal:
            select(headers(change=two_helices), different)
        assert refusal.value.reason is Reason.DUPLICATE_POSITION


@pytest.mark.verifies("SRS-029", level="unit", technique="example")
class TestCopies:
    def doubled(self, number: int, **attributes: object) -> list[RealDataset]:
        items = headers()
        copy = headers(number + 1)[number].dataset
        copy.SOPInstanceUID = "1.2.3"
        for keyword, value in attributes.items():
            setattr(copy, keyword, value)
        return [*items, RealDataset(copy, Path("copy.dcm"))]

    def test_identical(self) -> None:
        items = self.doubled(20)
        result = select(items, same)
        assert len(result.chosen) == 44
        assert reasons(result.set_aside.values()) == ["duplicate-position"]

    def test_different_and_nothing_tells_them_apart(self) -> None:
        items = self.doubled(20)
        with pytest.raises(StudyRefused, match="place of slice 21") as refusal:
            select(items, different)
        assert refusal.value.reason is Reason.DUPLICATE_POSITION
        assert len(refusal.value.set_aside) == 45

    def test_different_but_annotated(self) -> None:
        result = select(self.doubled(20, ImageType=["DERIVED", "SECONDARY"]), different)
        assert len(result.chosen) == 44
        assert reasons(result.set_aside.values()) == ["coverage-too-small"]

    @pytest.mark.verifies("SRS-021", level="unit", technique="bad-input")
    def test_a_broken_copy_of_a_whole_image(self) -> None:
        items = self.doubled(20)
        flaw = Note(reason=Reason.TRUNCATED, text="Cut short.")
        for broken in (20, 44):
            marked = list(items)
            marked[broken] = RealDataset(items[broken].dataset, items[broken].path, (flaw,))
            result = select(marked, different)
            assert len(result.chosen) == 44
            assert marked[broken] not in result.chosen
            assert result.set_aside == {items[broken].path: flaw}

    def test_pixels_are_compared_by_default(self, tmp_path: Path) -> None:
        hu = np.zeros((20, 8, 8), dtype=np.int16)
        paths = write(tmp_path / "a", hu)
        copies = write(tmp_path / "b", hu[:1])
        items = [read_header(path) for path in paths + copies]
        assert len(select(items).chosen) == 20
        write(tmp_path / "b", hu[:1] + np.int16(1))
        with pytest.raises(Refused, match="Two different images"):
            select([read_header(path) for path in paths + copies])


@pytest.mark.verifies("SRS-027", level="unit", technique="example")
class TestPatients:
    @staticmethod
    def two(**attributes: str) -> list[RealDataset]:
        def other(ds: Dataset, _: int) -> None:
            for keyword, value in attributes.items():
                setattr(ds, keyword, value)

        return headers() + headers(change=other, series="other")

    @pytest.mark.parametrize("attributes", [{"PatientID": "PHANTOM2"}, {"IssuerOfPatientID": "ELSEWHERE"}])
    def test_two_patients(self, attributes: dict[str, str]) -> None:
        refusal = refused(self.two(**attributes), Reason.MORE_THAN_ONE_PATIENT)
        assert {note.reason for note in refusal.set_aside.values()} == {Reason.MORE_THAN_ONE_PATIENT}

    def test_two_names_without_an_id(self) -> None:
        items = self.two(PatientName="PHANTOM^OTHER")
        for item in items:
            item.dataset.PatientID = ""
        refused(items, Reason.MORE_THAN_ONE_PATIENT)

    def test_one_id_with_two_spellings_is_one_patient(self) -> None:
        assert len(select(self.two(PatientName="PHANTOM^T")).candidates) == 2

    def test_an_image_without_an_id_is_not_taken_into_another_patients_stack(self) -> None:
        def no_id(ds: Dataset, number: int) -> None:
            ds.PatientID = "" if number == 20 else "PHANTOM"

        refused(headers(change=no_id), Reason.SLICE_MISSING)

    def test_padding_is_no_difference(self) -> None:
        assert len(select(self.two(PatientID="PHANTOM ")).candidates) == 2


@pytest.mark.verifies("SRS-037", level="unit", technique="example")
class TestRemarks:
    @pytest.mark.parametrize(
        ("keyword", "value", "expected"),
        [
            ("PatientID", "", ["no-patient-id"]),
            ("FrameOfReferenceUID", "", ["no-frame-of-reference"]),
            ("Manufacturer", "", ["no-manufacturer"]),
            ("SliceThickness", None, ["thickness-missing"]),
            ("SliceThickness", 0, ["thickness-missing"]),
            ("SliceThickness", 8, ["thickness-contradicted"]),
            ("SliceThickness", 1, ["thickness-contradicted"]),
            ("SpacingBetweenSlices", 4, ["thickness-contradicted"]),
            ("SpacingBetweenSlices", -5, []),
            ("LossyImageCompression", "01", ["lossy-compressed"]),
            ("LossyImageCompression", "00", []),
        ],
    )
    def test_what_is_missing_or_contradicts_is_said(self, keyword: str, value: object, expected: list[str]) -> None:
        def change(ds: Dataset, _: int) -> None:
            setattr(ds, keyword, value)

        assert reasons(select(headers(change=change)).candidates[0].notes) == expected

    def test_thickness_that_varies(self) -> None:
        def change(ds: Dataset, number: int) -> None:
            ds.SliceThickness = 5 if number else 4

        note = select(headers(change=change)).candidates[0].notes[0]
        assert note.reason is Reason.THICKNESS_CONTRADICTED
        assert "5.00 mm apart" in note.text

    def test_lossy_syntax(self) -> None:
        items = headers(change=lambda ds, _: with_meta(ds, JPEGBaseline8Bit) and None)
        assert reasons(select(items).candidates[0].notes) == ["lossy-compressed"]

    @pytest.mark.verifies("SRS-022", level="unit", technique="example")
    def test_supplied_uids_are_said_once(self) -> None:
        note = Note(reason=Reason.UIDS_SUPPLIED, text="Supplied.")
        items = [RealDataset(item.dataset, item.path, (note,)) for item in headers()]
        assert select(items).candidates[0].notes == (note,)


@pytest.mark.verifies("SRS-035", level="unit", technique="example")
class TestRanking:
    @staticmethod
    def series(name: str, count: int, mm: float, **attributes: object) -> list[RealDataset]:
        def change(ds: Dataset, number: int) -> None:
            ds.ImagePositionPatient = [0, 0, number * mm]
            ds.SliceThickness = mm
            for keyword, value in attributes.items():
                setattr(ds, keyword, value)

        return headers(count, change, series=name)

    @pytest.mark.parametrize(
        ("better", "worse"),
        [
            ((150, 2.0), (50, 6.0)),
            ((100, 2.0), (45, 2.0)),
            ((200, 1.5), (100, 3.0)),
            ((200, 1.5), (150, 1.0)),
            ((60, 5.0), (60, 7.0)),
        ],
    )
    def test_by_geometry(self, better: tuple[int, float], worse: tuple[int, float]) -> None:
        one, two = self.series("b", *better), self.series("a", *worse)
        assert select(two + one).chosen == tuple(one)

    def test_a_projection_comes_last(self) -> None:
        mip = self.series("a", 200, 1.5, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"])
        plain = self.series("b", 60, 5)
        assert select(mip + plain).chosen == tuple(plain)


@pytest.mark.verifies("SRS-028", level="unit", technique="boundary")
def test_five_thousand_instances_are_sorted_into_their_series(tmp_path: Path) -> None:
    template = dcmread(write(tmp_path, np.zeros((1, 8, 8), dtype=np.int16))[0], stop_before_pixels=True)
    items = []
    for number in range(5000):
        ds = Dataset({tag: template.get_item(tag) for tag in template.keys()})  # noqa: SIM118  iterating converts
        set_raw(ds, "SOPInstanceUID", "UI", f"1.2.3.{number}".encode())
        set_raw(ds, "SeriesInstanceUID", "UI", f"1.2.{number // 500}".encode())
        set_raw(ds, "ImagePositionPatient", "DS", f"0\\0\\{number % 500 * 0.8:.1f}".encode())
        set_raw(ds, "InstanceNumber", "IS", str(number).encode())
        items.append(RealDataset(ds, Path(f"{number}.dcm")))
    result = select(shuffled(items, 1))
    assert [len(candidate.images) for candidate in result.candidates] == [500] * 10


@pytest.mark.verifies("SRS-025", level="unit", technique="example")
def test_the_study_takes_the_reason_of_what_came_closest() -> None:
    long, short = headers(series="long"), headers(5, series="short")
    del long[20]
    assert refused(long + short, Reason.SLICE_MISSING)


@pytest.mark.verifies("SRS-025", level="unit", technique="boundary")
def test_nothing_at_all() -> None:
    assert refused([], Reason.NO_SUITABLE_SERIES)


@pytest.mark.verifies("SRS-025", level="unit", technique="bad-input")
def test_instances_of_two_studies_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="one study"):
        select(headers() + headers(study="other"))
    with pytest.raises(ValueError, match="path"):
        select([RealDataset(headers(1)[0].dataset)])


@pytest.mark.verifies("SRS-025", "SRS-131", level="unit", technique="example")
def test_a_refusal_survives_the_way_through_another_process() -> None:
    note = Note(reason=Reason.NOT_CT, text="Not CT.")
    refusal = pickle.loads(pickle.dumps(StudyRefused(Reason.NOT_CT, "Not CT.", {Path("a"): note})))  # noqa: S301
    assert (refusal.reason, refusal.text, refusal.set_aside) == (Reason.NOT_CT, "Not CT.", {Path("a"): note})
    assert selection_module.THICKEST_MM == 8.0


@pytest.mark.verifies("SRS-023", level="unit", technique="bad-input")
def test_sequences_in_headers_do_no_harm() -> None:
    def nested(ds: Dataset, _: int) -> None:
        ds.RequestAttributesSequence = Sequence([Dataset()])

    assert len(select(headers(change=nested)).chosen) == 44
