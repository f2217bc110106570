"""kill -9 at every boundary of every step, and inside the long one: the result arrives, and once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from node.config import load_config
from node.serve import retry
from tests.models.tiny import write_tiny_model
from tests.node.cases import write_case
from tests.node.running import Site, make_site, running
from tests.peers.pacs import Pacs, pacs

STEPS = ["gather", "settled", "identify", "infer", "check_tissue", "measure"]
STEPS += ["report", "check", "restore", "check_restored", "owe", "send"]
MOMENTS = [*(f"before:{step}" for step in STEPS), "within:infer", *(f"after:{step}" for step in STEPS)]
# The whole list takes ten minutes; CI runs it. `make test FAST=1` takes a fair sample.
SAMPLE = {"before:gather", "within:infer", "after:infer", "after:owe", "after:send"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_case(tmp_path_factory.mktemp("case"))


@pytest.fixture
def peer() -> Iterator[Pacs]:
    with pacs() as peer:
        yield peer


@pytest.fixture
def site(tmp_path: Path, peer: Pacs) -> Site:
    return make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"pacs": peer.destination})


@pytest.mark.verifies("SRS-121", level="system", technique="fault-injection")
@pytest.mark.parametrize("moment", [pytest.param(m, marks=[] if m in SAMPLE else [pytest.mark.slow]) for m in MOMENTS])
def test_a_killed_node_goes_on_and_the_result_arrives_once(
    moment: str, site: Site, peer: Pacs, images: list[Path]
) -> None:
    study = pydicom.dcmread(images[0], stop_before_pixels=True).StudyInstanceUID
    dying = site.start(die_at=moment)
    try:
        site.wait_ready(dying)
        site.send(images)
        assert dying.wait(120) == -9, site.log.read_text()[-2000:]
    finally:
        dying.kill()
    with running(site):
        status = site.wait_for(study, "delivered", "refused", "quarantined", "failed")
    assert status.state == "delivered", status.as_text()
    assert [(c.state.value, c.count) for c in status.instances] == [("in-result", len(images))]
    received = {uid: set(objects) for uid, objects in peer.received.items()}
    assert len(received) == 2, "one SEG and one SR"
    assert all(len(objects) == 1 for objects in received.values()), "a repeated step made another object"
    sent_again = {uid for uid, objects in peer.received.items() if len(objects) > 1}
    assert not sent_again or moment == "after:send", "what was confirmed and recorded is not sent again"


@pytest.mark.slow
@pytest.mark.verifies("SRS-128", level="system", technique="fault-injection")
def test_a_study_that_always_takes_the_node_down_is_named_once(site: Site, peer: Pacs, images: list[Path]) -> None:
    study = pydicom.dcmread(images[0], stop_before_pixels=True).StudyInstanceUID
    for life in range(10):
        dying = site.start(die_at="before:infer")
        try:
            site.wait_ready(dying)
            if life == 0:
                site.send(images)
            if ended(site, study, dying):
                break
        finally:
            dying.kill()
            dying.wait()
    status = site.status(study)
    assert status is not None
    assert status.state == "failed", status.as_text()
    assert "ended too often" in status.as_text()
    assert life == 6, "once, and five recoveries"

    with running(site):
        assert retry(load_config(site.settings, {}), study)
        site.wait_for(study, "delivered", seconds=120)
    with running(site):  # it was named once: a start does not name it again
        assert site.wait_for(study, "delivered", "failed").state == "delivered"


def ended(site: Site, study: str, node: subprocess.Popen[bytes]) -> bool:
    """Wait until a node has died or named the study."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and node.poll() is None:
        status = site.status(study)
        if status is not None and status.state == "failed":
            return True
        time.sleep(0.2)
    assert node.poll() == -9, site.log.read_text()[-2000:]
    return False
