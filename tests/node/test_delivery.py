"""Delivery through a running node: a PACS that is down, one that refuses, and a node that is stopped in between."""

from __future__ import annotations

import signal
from pathlib import Path

import pydicom
import pytest

from node.net import Destination
from tests.models.tiny import write_tiny_model
from tests.node.cases import write_case
from tests.node.running import free_port, make_site, running, wait_until
from tests.peers.pacs import pacs


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def study_uid(images: list[Path]) -> str:
    return str(pydicom.dcmread(images[0], stop_before_pixels=True).StudyInstanceUID)


@pytest.mark.verifies("SRS-114", level="system", technique="fault-injection")
def test_one_destination_is_down_and_the_other_gets_its_results(
    tmp_path: Path, images: list[Path], study_uid: str
) -> None:
    down = Destination(ae_title="DOWN", host="127.0.0.1", port=free_port())
    with pacs() as peer:
        site = make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"down": down, "pacs": peer.destination})
        with running(site):
            site.send(images)
            wait_until(lambda: len(peer.received) == 2)
            status = site.wait_for(study_uid, "delivering")
            wait_until(lambda: any(r.attempts for r in site.status(study_uid).results if r.destination == "down"))
    states = {(r.destination, r.kind): r.state.value for r in site.status(study_uid).results}
    assert states == {
        ("down", "SEG"): "owed",
        ("down", "SR"): "owed",
        ("pacs", "SEG"): "delivered",
        ("pacs", "SR"): "delivered",
    }
    assert status.state == "delivering"


@pytest.mark.verifies("SRS-112", level="system", technique="fault-injection")
def test_what_is_owed_is_paid_when_the_pacs_is_back(tmp_path: Path, images: list[Path], study_uid: str) -> None:
    with pacs(lambda number: 0xA700 if number < 2 else 0x0000) as peer:
        site = make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"pacs": peer.destination})
        with running(site):
            site.send(images)
            status = site.wait_for(study_uid, "delivered")
    assert [(r.state.value, r.attempts) for r in status.results] == [("delivered", 2)] * 2
    assert len(peer.received) == 2


@pytest.mark.verifies("SRS-117", "SRS-120", level="system", technique="fault-injection")
@pytest.mark.parametrize(("answer", "state"), [(0xC000, "refused"), (0xB000, "warned")])
def test_a_refusal_for_good_is_named_and_not_repeated(
    answer: int, state: str, tmp_path: Path, images: list[Path], study_uid: str
) -> None:
    with pacs(lambda _: answer) as peer:
        site = make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"pacs": peer.destination})
        with running(site):
            site.send(images)
            status = site.wait_for(study_uid, "quarantined")
        assert peer.requests == 2
    assert status.reason == "destination-refused"
    assert {r.state.value for r in status.results} == {state}


@pytest.mark.verifies("SRS-121", level="system", technique="fault-injection")
def test_a_node_that_is_stopped_at_work_goes_on_after_its_start(
    tmp_path: Path, images: list[Path], study_uid: str
) -> None:
    with pacs() as peer:
        site = make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"pacs": peer.destination})
        node = site.start()
        site.wait_ready(node)
        site.send(images)
        wait_until(lambda: (status := site.status(study_uid)) is not None and status.state == "reading")
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
        with running(site):
            status = site.wait_for(study_uid, "delivered", "failed", "refused")
    assert status.state == "delivered", status.as_text()
    assert [len(objects) for objects in peer.received.values()] == [1, 1]
    assert "step.failed" not in site.log.read_text()


@pytest.mark.verifies("SRS-129", level="system", technique="example")
def test_the_same_study_again_makes_no_second_result(tmp_path: Path, images: list[Path], study_uid: str) -> None:
    with pacs() as peer:
        site = make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"pacs": peer.destination})
        with running(site):
            site.send(images)
            site.wait_for(study_uid, "delivered")
            site.send(images)
            other = write_case(tmp_path / "other", study="another")
            site.send(other)
            site.wait_for(str(pydicom.dcmread(other[0]).StudyInstanceUID), "delivered")
        assert peer.requests == 4
    assert site.log.read_text().count("study.complete") == 2
