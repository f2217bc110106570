"""The benchmarks measure what they say: nothing here is timed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from node.net import Destination, echo, send
from node.receive import Inbox
from qms.gate import sample
from qms.items import Requirement
from qms.load import load
from tests.peers.phantoms import slice_of
from validation.benchmarks import gate, receive, turnaround


@pytest.mark.verifies("SRS-173", level="unit", technique="example")
def test_slices_are_instances_of_their_own_in_one_series(tmp_path: Path) -> None:
    receive.write_slices(tmp_path / "slices", 3)
    slices = [dcmread(path) for path in sorted((tmp_path / "slices").iterdir())]
    assert len({s.SOPInstanceUID for s in slices}) == 3
    assert len({(s.StudyInstanceUID, s.SeriesInstanceUID) for s in slices}) == 1
    assert [(s.InstanceNumber, s.pixel_array.shape, s.PatientID) for s in slices] == [
        (number, (512, 512), "PHANTOM") for number in (1, 2, 3)
    ]


@pytest.mark.verifies("SRS-173", level="integration", technique="example")
def test_the_receiver_that_is_measured_is_this_nodes(tmp_path: Path) -> None:
    receive.write_slices(tmp_path / "slices", 2)
    port = receive.free_port()
    command = receive.overread(tmp_path / "inbox", port, 1)
    assert command[-2:] == ["--processes", "1"]
    node = Destination(ae_title="OVERREAD", host="127.0.0.1", port=port)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not echo(node).succeeded:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        answers = send(sorted((tmp_path / "slices").iterdir()), node)
        process.communicate(timeout=60)
    assert [answer.status for answer in answers] == [0x0000, 0x0000]
    assert len(set(Inbox(tmp_path / "inbox", 0).scan())) == 2


@pytest.mark.verifies("SRS-173", level="unit", technique="example")
def test_the_other_receivers_get_the_same_port_and_folders_of_their_own(tmp_path: Path) -> None:
    assert receive.storescp(tmp_path, 4242)[1:] == [
        "--fork",
        "--accept-all",
        "--output-directory",
        str(tmp_path),
        "4242",
    ]
    settings = json.loads(Path(receive.orthanc(tmp_path, 4242)[1]).read_text())
    assert settings["DicomPort"] == 4242 != settings["HttpPort"]
    assert all(Path(settings[name]).parent == tmp_path for name in ("StorageDirectory", "IndexDirectory"))
    assert settings["RemoteAccessAllowed"] is False


@pytest.mark.verifies("SRS-173", level="unit", technique="bad-input")
def test_what_is_missing_is_named_and_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(receive, "_STORESCP", str(tmp_path / "storescp"))
    monkeypatch.setattr(sys, "argv", ["receive"])
    assert receive.main() == 1
    said = capsys.readouterr().out
    assert f"missing: {tmp_path / 'storescp'}" in said
    assert "not measured" in said
    assert "objects/s" not in said


@pytest.mark.verifies("SRS-174", level="integration", technique="example")
def test_a_study_is_back_only_when_both_results_came(tmp_path: Path) -> None:
    paths = {}
    for number, modality in enumerate(("CT", "SEG", "SR")):
        dataset = slice_of("benchmark", number)
        dataset.Modality = modality
        paths[modality] = tmp_path / f"{modality}.dcm"
        dataset.save_as(paths[modality], enforce_file_format=True)
    with turnaround._pacs() as (arrived, port):
        for modality, back in (("CT", False), ("SEG", False), ("SEG", False), ("SR", True)):
            turnaround._send([paths[modality]], port)
            assert arrived.is_set() == back, modality


@pytest.mark.verifies("SRS-174", level="unit", technique="oracle")
def test_the_figures_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two runs need the networks: their seconds are given here, and the sums are the benchmark's own."""
    (tmp_path / "image").touch()
    seconds = {
        "gather": 2.0,
        "infer": 9.0,
        "infer: infer_liver": 3.0,
        "infer: infer_lesion": 5.0,
        "infer: outline": 1.0,
    }
    monkeypatch.setattr(turnaround, "node_turnaround", lambda _: (15.0, {"seconds": seconds}))
    monkeypatch.setattr(turnaround, "peer", lambda _: (10.0, 8.0))
    monkeypatch.setattr(sys, "argv", ["turnaround", "--study", str(tmp_path), "--json"])
    assert turnaround.main() == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["images"] == 1
    assert figures["steps_s"] == {"gather": 2.0, "infer": 9.0}
    assert (figures["networks_s"], figures["overhead_over_networks_s"]) == (8.0, 7.0)
    assert (figures["ratio_to_peer"], figures["limit"]) == (1.5, 1.0)


@pytest.mark.verifies("SRS-174", level="unit", technique="bad-input")
def test_a_node_that_does_not_start_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        process.wait(30)
        with pytest.raises(RuntimeError, match="did not start"):
            turnaround._wait_for_port(turnaround._free_port(), process)


@pytest.mark.verifies("SRS-174", level="unit", technique="bad-input")
def test_a_study_must_be_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["turnaround"])
    with pytest.raises(SystemExit) as end:
        turnaround.main()
    assert end.value.code == 2
    assert "--study" in capsys.readouterr().err


@pytest.mark.verifies("SRS-197", level="integration", technique="example")
def test_the_gate_is_measured_on_a_larger_copy_of_the_record(tmp_path: Path) -> None:
    root, copy = tmp_path / "project", tmp_path / "copy"
    sample.build(root)
    (root / "qms/records/requirements").mkdir()
    (root / "qms/records/requirements.yaml").rename(root / "qms/records/requirements/all.yaml")
    copy.mkdir()

    assert gate.enlarge(root, copy, 7) == 7
    assert len(list(load(copy).of(Requirement))) == 7
    assert gate.run_gate(copy) >= 6, "each copy is a requirement that no test verifies"
    assert gate.read_bare(copy) > 10
