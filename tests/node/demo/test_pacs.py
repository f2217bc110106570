from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, Verification

from node.demo.orthanc import OrthancPacs, find_orthanc
from node.demo.pacs import BuiltInPacs, NotRoutedError, Pacs, account
from node.net import Destination, Failure, echo, send
from tests.node.demo.objects import SyntheticStudy

pytestmark = pytest.mark.verifies("SRS-169", level="integration", technique="example")

Opener = Callable[[Path, Destination], Pacs]


class Peer:
    """Stands for the node: takes CT images, except those it is told to refuse."""

    def __init__(self) -> None:
        self.refuse: set[str] = set()
        self.got: list[str] = []
        ae = AE(ae_title="OVERREAD")
        for syntax in (Verification, CTImageStorage):
            ae.add_supported_context(syntax)
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.address = Destination(ae_title="OVERREAD", host="127.0.0.1", port=self._server.socket.getsockname()[1])

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.refuse:
            return 0xC000
        self.got.append(uid)
        return 0x0000

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.stop()


def open_orthanc(folder: Path, node: Destination) -> Pacs:
    program = find_orthanc()
    assert program is not None, "Orthanc is not installed: tests/system/install-peers"
    return OrthancPacs(program, folder, node)


@pytest.fixture(params=[BuiltInPacs, pytest.param(open_orthanc, marks=pytest.mark.system)], ids=["built-in", "orthanc"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, peer: Peer) -> Iterator[Pacs]:
    open_pacs: Opener = request.param
    pacs = open_pacs(tmp_path / "pacs", peer.address)
    yield pacs
    pacs.stop()


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def study_uid(synthetic: SyntheticStudy) -> str:
    return str(synthetic.headers[0].StudyInstanceUID)


def test_a_study_goes_to_the_node_whole(opened: Pacs, peer: Peer, synthetic: SyntheticStudy) -> None:
    opened.store(synthetic.images)

    assert opened.route(study_uid(synthetic)) == ""
    assert sorted(peer.got) == sorted(header.SOPInstanceUID for header in synthetic.headers)


def test_what_the_node_does_not_take_is_counted(opened: Pacs, peer: Peer, synthetic: SyntheticStudy) -> None:
    opened.store(synthetic.images)
    peer.refuse = {synthetic.headers[2].SOPInstanceUID}

    assert opened.route(study_uid(synthetic)).startswith("1 of 6 objects were not taken")
    assert len(set(peer.got)) == 5


def test_a_node_that_is_not_there_is_an_error(opened: Pacs, peer: Peer, synthetic: SyntheticStudy) -> None:
    opened.store(synthetic.images)
    peer.stop()

    with pytest.raises(NotRoutedError, match="6 of 6"):
        opened.route(study_uid(synthetic))


def test_results_are_what_came_from_the_node(opened: Pacs, synthetic: SyntheticStudy) -> None:
    opened.store(synthetic.images)
    assert opened.results(study_uid(synthetic)) == ()

    answers = send([synthetic.seg, synthetic.sr, synthetic.seg], opened.address)

    assert all(answer.succeeded for answer in answers)
    results = opened.results(study_uid(synthetic))
    assert sorted(dcmread(path).Modality for path in results) == ["SEG", "SR"]
    assert opened.results(study_uid(synthetic)) == results


def test_results_that_it_had_before_do_not_count(opened: Pacs, synthetic: SyntheticStudy) -> None:
    opened.store([*synthetic.images, synthetic.seg])

    send([synthetic.sr], opened.address)

    assert [dcmread(path).Modality for path in opened.results(study_uid(synthetic))] == ["SR"]


def test_the_bytes_are_kept(opened: Pacs, synthetic: SyntheticStudy) -> None:
    opened.store(synthetic.images)
    send([synthetic.seg], opened.address)

    (kept,) = opened.results(study_uid(synthetic))

    assert dcmread(kept) == dcmread(synthetic.seg)


def test_a_stranger_is_turned_away(opened: Pacs) -> None:
    stranger = opened.address.model_copy(update={"calling_ae_title": "STRANGER"})

    # Orthanc sometimes closes the connection before its rejection is read: turned away all the same.
    assert echo(stranger).failure in {Failure.ASSOCIATION_REJECTED, Failure.NO_ASSOCIATION}


def test_nothing_is_left_of_it(opened: Pacs) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    port = opened.address.port
    assert listening(port)

    opened.stop()

    assert not listening(port)
    assert not any(psutil.pid_exists(pid) for pid in before)


def test_what_is_no_object_is_refused(tmp_path: Path, peer: Peer, synthetic: SyntheticStudy) -> None:
    with BuiltInPacs(tmp_path / "pacs", peer.address) as pacs:
        dataset = dcmread(synthetic.sr)
        del dataset.StudyInstanceUID
        dataset.save_as(tmp_path / "broken.dcm")

        (answer,) = send([tmp_path / "broken.dcm"], pacs.address)

        assert answer.status == 0xC000


def test_none_taken_is_an_error_and_all_taken_is_nothing_to_say() -> None:
    assert account(0, 5) == ""
    assert account(2, 5, "status 0xA700") == "2 of 5 objects were not taken (status 0xA700)."
    with pytest.raises(NotRoutedError, match="5 of 5"):
        account(5, 5)


def test_orthanc_is_found_where_the_system_finds_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "Orthanc"
    program.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_orthanc() != program, "it is no program"
    program.chmod(0o755)
    assert find_orthanc() == program
