"""kill -9 at every boundary of every step, and inside the long one: the result arrives, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

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
