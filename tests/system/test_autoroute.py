"""The main job against a real PACS: Orthanc routes a real study by itself and gets SEG and SR back."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cc3d
import numpy as np
import pydicom
import pytest
import SimpleITK

from node.net import Destination, send
from qms.plugin import Measure
from tests.node.running import Site, make_site, running, wait_until
from tests.system.orthanc import Orthanc, orthanc

pytestmark = [pytest.mark.system, pytest.mark.data, pytest.mark.weights]


@pytest.fixture(scope="module")
def source(study: Callable[[str], Path]) -> Path:
    return study("ct-liver-ircadb01")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, weights_dir: Path) -> Site:
    folder = tmp_path_factory.mktemp("site")
    site = make_site(folder, Path("ct_liver_lesions"), {})
    text = site.settings.read_text().replace('engine = "onnxruntime"\nthreads = 1', "")
    text = re.sub(r"weights_dir = .*", f"weights_dir = {json.dumps(str(weights_dir))}", text)
    site.settings.write_text(text.replace("quiet_seconds = 1", "quiet_seconds = 3"))
    return site


@pytest.fixture(scope="module")
def pacs(site: Site, source: Path, tmp_path_factory: pytest.TempPathFactory):
    """Run Orthanc and the node, send the study to Orthanc alone, and wait for what comes back."""
    with orthanc(tmp_path_factory.mktemp("pacs") / "orthanc", site.address) as pacs:
        to = pacs.destination
        with site.settings.open("a") as settings:
            settings.write(
                f'[[destination]]\nname = "pacs"\nae_title = "{to.ae_title}"\nhost = "{to.host}"\nport = {to.port}\n'
            )
        with running(site):
            scanner = Destination(ae_title="ORTHANC", host="127.0.0.1", port=to.port, calling_ae_title="SCANNER")
            answers = send(sorted((source / "ct").glob("*.dcm")), scanner)
            assert all(answer.succeeded for answer in answers)
            wait_until(lambda: bool(pacs.series("SEG") and pacs.series("SR")), 900)
            yield pacs


def result(pacs: Orthanc, modality: str) -> bytes:
    (series,) = pacs.series(modality)
    (instance,) = series["Instances"]
    return pacs.file(instance)


@pytest.mark.verifies("SRS-054", "SRS-095", "SRS-110", level="system", technique="real-data")
def test_one_seg_and_one_sr_come_back_into_the_patients_own_study(pacs: Orthanc, source: Path) -> None:
    image = pydicom.dcmread(next((source / "ct").glob("*.dcm")), stop_before_pixels=True)
    assert len(pacs.get("/studies")) == 1
    for modality in ("SEG", "SR"):
        dataset = pydicom.dcmread(io.BytesIO(result(pacs, modality)))
        for keyword in ("StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "StudyDate"):
            assert dataset[keyword].value == image[keyword].value, keyword
        assert "NOT FOR CLINICAL USE" in dataset.SeriesDescription


@pytest.mark.verifies("SRS-104", level="system", technique="oracle")
def test_dciodvfy_accepts_both(pacs: Orthanc, tmp_path: Path) -> None:
    validator = Path(sys.executable).parent / "dciodvfy"
    for modality in ("SEG", "SR"):
        path = tmp_path / f"{modality}.dcm"
        path.write_bytes(result(pacs, modality))
        output = subprocess.run([validator, "-new", path], capture_output=True, text=True, check=False)
        assert "Error" not in output.stderr + output.stdout, output.stderr


@pytest.mark.verifies("SRS-062", "SRS-065", "SRS-090", level="system", technique="real-data")
def test_the_outlines_are_the_liver_and_its_lesions(pacs: Orthanc, source: Path, measured: Measure) -> None:
    """Accuracy as it arrives in the PACS. The case may be among the networks' training data."""
    truth = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(source / "labels.nii.gz"))
    seg = pydicom.dcmread(io.BytesIO(result(pacs, "SEG")))
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in (source / "ct").glob("*.dcm")]
    order = {uid: k for k, (_, uid) in enumerate(sorted((i.ImagePositionPatient[2], i.SOPInstanceUID) for i in images))}
    liver, lesions = np.zeros(truth.shape, bool), np.zeros(truth.shape, bool)
    for pixels, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source_image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        target = liver if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1 else lesions
        target[order[source_image.ReferencedSOPInstanceUID]] |= pixels.astype(bool)
    measured("pacs-liver-dice-ircadb01", dice(liver, truth > 0), "1")
    measured("pacs-lesion-dice-ircadb01", dice(lesions, truth == 2), "1")
    measured("pacs-liver-volume-error-ircadb01", 100 * (liver.sum() / (truth > 0).sum() - 1), "%")
    pieces = cc3d.connected_components(truth == 2, connectivity=26)
    found = len(set(np.unique(pieces[lesions])) - {0})
    measured("pacs-lesions-found-ircadb01", found, "1")
    assert found >= 5
    assert dice(liver, truth > 0) >= 0.95
    assert dice(lesions, truth == 2) >= 0.85
    assert abs(liver.sum() / (truth > 0).sum() - 1) <= 0.05


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.verifies("SRS-024", level="system", technique="real-data")
def test_results_that_come_back_start_nothing(pacs: Orthanc, site: Site, source: Path, tmp_path: Path) -> None:
    image = pydicom.dcmread(next((source / "ct").glob("*.dcm")), stop_before_pixels=True)
    paths = []
    for modality in ("SEG", "SR"):
        paths.append(tmp_path / f"{modality}.dcm")
        paths[-1].write_bytes(result(pacs, modality))
    site.send(paths)

    def set_aside() -> bool:
        status = site.status(image.StudyInstanceUID)
        return status is not None and sum(c.count for c in status.instances if c.reason == "own-result") == 2

    wait_until(set_aside)
    status = site.status(image.StudyInstanceUID)
    assert status is not None
    assert status.state == "delivered"
    assert [r.attempts for r in status.results] == [1, 1]


@pytest.mark.verifies("SRS-017", "SRS-040", "SRS-049", "SRS-148", level="system", technique="real-data")
def test_no_identity_in_any_log_or_in_the_workflow_database(pacs: Orthanc, site: Site, source: Path) -> None:
    image = pydicom.dcmread(next((source / "ct").glob("*.dcm")), stop_before_pixels=True)
    secrets = [str(image.PatientName), str(image.StudyInstanceUID), str(image.SeriesInstanceUID), image.SOPInstanceUID]
    kept = [site.log, *site.folder.glob("data/*.sqlite*")]
    assert len(kept) >= 4
    for path in kept:
        data = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in data, path.name
            assert secret.split("^")[0].encode() not in data, path.name
