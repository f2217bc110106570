from __future__ import annotations

import datetime
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pydicom
import pytest

from node.demo.phantom.draw import Settings, drawing
from node.demo.phantom.study import DAYS_BETWEEN_VISITS, write_study

pytestmark = pytest.mark.verifies("SRS-164", level="integration", technique="phantom")

COARSE = Settings(pixel_mm=3.0, slice_mm=5.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def studies(tmp_path_factory, cache) -> list[list[pydicom.FileDataset]]:
    found = []
    for visit in (0, 1):
        folder = tmp_path_factory.mktemp("study") / "new" / str(visit)
        truth = write_study(visit, folder, cache=cache, settings=COARSE)
        assert len(truth.lesions) == 5
        found.append([pydicom.dcmread(file) for file in sorted(folder.iterdir())])
    return found


def test_pixels_are_the_drawing_with_the_word_in_a_corner(studies, cache):
    drawn = drawing(0, COARSE, cache).volume
    hu = np.stack([pydicom.pixels.apply_rescale(image.pixel_array, image) for image in studies[0]])
    different = hu != drawn.hu
    assert (hu[different] == 400).all()
    rows, columns = np.nonzero(different.any(axis=0))
    assert rows.max() < hu.shape[1] / 6
    assert columns.max() < hu.shape[2] / 2
    assert (different == different[0]).all()
    assert (drawn.hu[:, different.any(axis=0)] < -900).all()  # nothing of the body is under it


def test_it_says_everywhere_that_it_is_a_phantom(studies):
    for image in studies[0] + studies[1]:
        assert image.PatientName == "PHANTOM^SIMULATED"
        assert image.PatientID == "PHANTOM-1"
        assert image.QualityControlImage == "YES"
        for keyword in ("StudyDescription", "SeriesDescription", "ImageComments", "StudyID"):
            assert "PHANTOM" in image[keyword].value
        assert "imulated" in image.Manufacturer


def test_positions_are_those_of_the_geometry(studies, cache):
    geometry = drawing(0, COARSE, cache).volume.geometry
    for index, image in enumerate(studies[0]):
        np.testing.assert_allclose(image.ImagePositionPatient, geometry.to_patient((index, 0, 0)), atol=1e-3)
        assert image.PixelSpacing == [3.0, 3.0]
        assert image.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


def test_one_patient_two_studies_ninety_days_apart(studies):
    first, second = (images[0] for images in studies)
    days = [datetime.datetime.strptime(image.StudyDate, "%Y%m%d") for image in (first, second)]
    assert (days[1] - days[0]).days == DAYS_BETWEEN_VISITS == 90
    assert first.PatientID == second.PatientID
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StudyID"):
        assert first[keyword].value != second[keyword].value
        for images in studies:
            assert len({image[keyword].value for image in images}) == 1
    uids = [image.SOPInstanceUID for images in studies for image in images]
    assert len(set(uids)) == len(uids)


def test_written_again_it_is_the_same_study(studies, cache, tmp_path):
    write_study(0, tmp_path, cache=cache, settings=COARSE)
    for image, file in zip(studies[0], sorted(tmp_path.iterdir()), strict=True):
        assert pydicom.dcmread(file) == image


def test_dciodvfy_finds_nothing(studies, tmp_path):
    dciodvfy = Path(sysconfig.get_path("scripts")) / "dciodvfy"
    for number in (0, 20, len(studies[0]) - 1):
        file = tmp_path / "image.dcm"
        studies[0][number].save_as(file, enforce_file_format=True)
        result = subprocess.run([dciodvfy, file], capture_output=True, text=True, check=False)
        assert result.returncode == 0
        assert "Error" not in result.stdout + result.stderr
        assert "Warning" not in result.stdout + result.stderr
