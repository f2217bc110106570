import random
import socket
import threading
import time
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, Association
from pynetdicom.dimse import DIMSEServiceProvider

from node.net import Answer, Destination, Failure, echo, send
from tests.peers.pacs import Pacs, pacs
from tests.peers.phantoms import encoded, slice_of, write_slices


def uid_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.verifies("SRS-014", level="integration", technique="example")
def test_echo():
    with pacs() as peer:
        assert echo(peer.destination) == Answer(status=0)


@pytest.mark.verifies("SRS-016", level="integration", technique="example")
def test_objects_arrive_as_they_lie_on_disk(tmp_path):
    paths = write_slices(tmp_path, "scu", 3)
    with pacs() as peer:
        assert send(paths, peer.destination) == (Answer(status=0),) * 3
        assert peer.received == {uid_of(path): [encoded(path)] for path in paths}


@pytest.mark.verifies("SRS-014", level="unit", technique="boundary")
def test_nothing_to_send_asks_nobody():
    assert send([], Destination(ae_title="PACS", host="127.0.0.1", port=free_port())) == ()


@pytest.mark.verifies("SRS-014", "SRS-015", level="integration", technique="example")
def test_each_answer_belongs_to_its_object(tmp_path):
    paths = write_slices(tmp_path, "scu", 4)
    statuses = [0x0000, 0xA700, 0xB000, 0xC123]
    with pacs(lambda number: statuses[number]) as peer:
        answers = send(paths, peer.destination)
    assert [answer.status for answer in answers] == statuses
    assert [answer.succeeded for answer in answers] == [True, False, False, False]
    assert answers[1].comment == "PHANTOM^TEST is not wanted"
    assert "PHANTOM" not in repr(answers), "a peer's comment may quote a patient: it must not slip into a log"


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_nobody_there():
    destination = Destination(ae_title="PACS", host="127.0.0.1", port=free_port(), connection_timeout_s=2)
    assert echo(destination).failure is Failure.NO_ASSOCIATION


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_a_host_that_does_not_resolve(tmp_path):
    destination = Destination(ae_title="PACS", host="pacs.invalid", port=104, connection_timeout_s=2)
    assert send(write_slices(tmp_path, "scu", 1), destination)[0].failure is Failure.NO_ASSOCIATION


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_a_peer_that_hangs_up_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        destination = Destination(ae_title="PACS", host="127.0.0.1", port=server.getsockname()[1])
        assert send(write_slices(tmp_path, "scu", 1), destination)[0].failure is Failure.NO_ASSOCIATION
        thread.join()


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_a_peer_that_never_answers_the_association(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        destination = Destination(
            ae_title="PACS", host="127.0.0.1", port=server.getsockname()[1], association_timeout_s=0.5
        )
        start = time.monotonic()
        assert send(write_slices(tmp_path, "scu", 1), destination)[0].failure is Failure.NO_ASSOCIATION
        assert time.monotonic() - start < 5


@pytest.mark.verifies("SRS-014", level="integration", technique="example")
def test_a_rejected_association_says_why(tmp_path):
    with pacs(calling=["SOMEONE"]) as peer:
        (answer,) = send(write_slices(tmp_path, "scu", 1), peer.destination)
    assert answer.failure is Failure.ASSOCIATION_REJECTED
    assert "Calling AE title not recognised" in answer.comment


@pytest.mark.verifies("SRS-014", level="integration", technique="example")
def test_a_class_that_the_peer_does_not_take(tmp_path):
    with pacs(echo_only=True) as peer:
        (answer,) = send(write_slices(tmp_path, "scu", 1), peer.destination)
    assert answer == Answer(failure=Failure.NO_PRESENTATION_CONTEXT)


@pytest.mark.verifies("SRS-016", level="integration", technique="example")
def test_a_compressed_object_is_not_sent_in_a_syntax_that_the_peer_does_not_take(tmp_path):
    plain = write_slices(tmp_path, "scu", 2)
    dataset = dcmread(plain[0])
    dataset.compress(RLELossless)
    dataset.SOPInstanceUID = slice_of("scu", 0).SOPInstanceUID
    dataset.save_as(plain[0], enforce_file_format=True)
    with pacs(transfer_syntaxes=[ExplicitVRLittleEndian, JPEG2000Lossless]) as peer:
        answers = send(plain, peer.destination)
        assert answers == (Answer(failure=Failure.NO_PRESENTATION_CONTEXT), Answer(status=0))
        assert peer.received == {uid_of(plain[1]): [encoded(plain[1])]}


@pytest.mark.verifies("SRS-016", level="integration", technique="oracle")
def test_a_peer_that_knows_the_default_syntax_only_gets_that(tmp_path):
    (path,) = write_slices(tmp_path, "scu", 1)
    with pacs(transfer_syntaxes=[ImplicitVRLittleEndian]) as peer:
        assert send([path], peer.destination) == (Answer(status=0),)
        ((received,),) = peer.received.values()
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(tmp_path / "implicit.dcm", enforce_file_format=True)
    assert received == encoded(tmp_path / "implicit.dcm")
    assert dataset.PixelData in received


@pytest.mark.verifies("SRS-014", "SRS-015", level="integration", technique="fault-injection")
def test_a_peer_that_is_too_slow_is_given_up_and_left_alone(tmp_path):
    """Two objects in a row without an answer: the others wait for a better time."""
    paths = write_slices(tmp_path, "scu", 5)

    def hang(_: int) -> int:
        time.sleep(2)
        return 0

    with pacs(hang, response_timeout_s=0.3) as peer:
        start = time.monotonic()
        answers = send(paths, peer.destination)
        took_s = time.monotonic() - start
    assert [answer.failure for answer in answers] == [Failure.NO_RESPONSE] * 2 + [Failure.NOT_TRIED] * 3
    assert took_s < 8


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_an_object_that_costs_the_association_does_not_take_the_others_with_it(tmp_path):
    paths = write_slices(tmp_path, "scu", 6)
    with pacs(lambda number: None if number in {1, 4} else 0) as peer:
        answers = send(paths, peer.destination)
        lost = Answer(failure=Failure.CONNECTION_LOST)
        assert answers == (Answer(status=0), lost, Answer(status=0), Answer(status=0), lost, Answer(status=0))
        assert len(peer.received) == 4


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_a_peer_that_always_hangs_up_is_left_alone(tmp_path):
    with pacs(lambda _: None) as peer:
        answers = send(write_slices(tmp_path, "scu", 5), peer.destination)
        assert peer.requests == 2
    assert [answer.failure for answer in answers] == [Failure.CONNECTION_LOST] * 2 + [Failure.NOT_TRIED] * 3


@pytest.mark.verifies("SRS-014", level="integration", technique="bad-input")
@pytest.mark.parametrize(
    "content",
    [b"", b"not DICOM", bytes(200), bytes(128) + b"DICM", bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00"],
    ids=["empty", "text", "zeros", "prefix only", "cut off"],
)
def test_a_file_that_cannot_be_sent_does_not_stop_the_others(tmp_path, content):
    paths = write_slices(tmp_path, "scu", 2)
    paths[0].write_bytes(content)
    with pacs() as peer:
        assert send([*paths, tmp_path / "absent"], peer.destination) == (
            Answer(failure=Failure.UNREADABLE),
            Answer(status=0),
            Answer(failure=Failure.UNREADABLE),
        )


@pytest.mark.verifies("SRS-014", level="integration", technique="bad-input")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_an_answer_and_never_an_exception(tmp_path):
    """Bytes overwritten, bits lost, ends cut off, at random places that are the same in every run."""
    whole = dcmread(write_slices(tmp_path, "scu", 1)[0])
    whole.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    chance = random.Random(1)
    sources = [(tmp_path / name).read_bytes() for name in ("0000.dcm", "deflated.dcm")]
    paths = []
    for number in range(150):
        data = bytearray(sources[number % 2])
        if number % 5 == 0:
            del data[chance.randrange(len(data)) :]
        for _ in range(chance.choice([1, 5, 40])):
            data[chance.randrange(min(len(data), 600))] = chance.randrange(256)
        paths.append(tmp_path / f"damaged-{number}.dcm")
        paths[-1].write_bytes(data)
    with pacs() as peer:
        answers = send(paths, peer.destination)
    assert len(answers) == 150
    assert {answer.failure for answer in answers} >= {None, Failure.UNREADABLE}


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_a_file_that_vanishes_before_its_turn(tmp_path):
    paths = write_slices(tmp_path, "scu", 2)

    def vanish(_: int) -> int:
        paths[1].unlink()
        return 0

    with pacs(vanish) as peer:
        assert send(paths, peer.destination) == (Answer(status=0), Answer(failure=Failure.UNREADABLE))


@pytest.mark.verifies("SRS-014", level="integration", technique="boundary")
def test_more_contexts_than_one_association_holds(tmp_path):
    """140 SOP classes, of which pynetdicom proposes 128 at most at once; each in two syntaxes."""
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts][:140]
    paths = []
    for number, sop_class in enumerate(classes):
        dataset = slice_of("scu", number, rows=2)
        dataset.SOPClassUID = UID(sop_class)
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    with pacs() as peer:
        assert send(paths, peer.destination) == (Answer(status=0),) * 140
        assert len(peer.received) == 140


@pytest.mark.verifies("SRS-016", level="integration", technique="bad-input")
def test_the_data_sets_own_uids_are_sent(tmp_path):
    """Not every writer keeps the file meta information in step."""
    (path,) = write_slices(tmp_path, "scu", 1)
    dataset = dcmread(path)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    dataset.save_as(path)
    with pacs() as peer:
        assert send([path], peer.destination) == (Answer(status=0),)
        assert list(peer.received) == [dataset.SOPInstanceUID]
        assert dataset.SOPClassUID == CTImageStorage


@pytest.mark.verifies("SRS-015", "SRS-016", level="integration", technique="fault-injection")
def test_eight_associations_at_once_lose_no_response(tmp_path):
    """Where pynetdicom's own send_c_store loses some: see the head of node.net.scu."""
    senders = [write_slices(tmp_path / str(number), f"scu-{number}", 100, rows=16) for number in range(8)]
    answers: list[Answer] = []
    with pacs() as peer:
        threads = [
            threading.Thread(target=lambda paths=paths: answers.extend(send(paths, peer.destination)))
            for paths in senders
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [Answer(status=0)] * 800
        assert peer.received == {uid_of(path): [encoded(path)] for paths in senders for path in paths}


class _SlowGate(threading.Event):
    """Holds the reactor thread for a moment just after it was let through."""

    def wait(self, timeout: float | None = None) -> bool:
        passed = super().wait(timeout)
        time.sleep(0.1)
        return passed


def _hold_threads_where_the_scheduler_may(monkeypatch) -> None:
    """Make pynetdicom's race certain: the reactor is let through, and the sender is late to look for its response."""
    real_init, real_get = Association.__init__, DIMSEServiceProvider.get_msg

    def init(self, ae, mode):
        real_init(self, ae, mode)
        if mode == "requestor":
            self._reactor_checkpoint = _SlowGate()
            self._reactor_checkpoint.set()

    def get_msg(self, block=False):
        time.sleep(0.3 if block else 0)
        return real_get(self, block)

    monkeypatch.setattr(Association, "__init__", init)
    monkeypatch.setattr(DIMSEServiceProvider, "get_msg", get_msg)


@pytest.mark.verifies("SRS-015", level="integration", technique="fault-injection")
def test_the_race_that_loses_pynetdicoms_responses_loses_none_of_ours(tmp_path, monkeypatch):
    """If the first half fails, pynetdicom is mended, and `_hand_on` may go."""
    _hold_threads_where_the_scheduler_may(monkeypatch)
    (path,) = write_slices(tmp_path, "scu", 1)

    def pynetdicoms_own(peer: Pacs) -> Dataset:
        ae = AE()
        ae.dimse_timeout = 0.6
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = ae.associate(peer.destination.host, peer.destination.port)
        time.sleep(0.15)  # the reactor goes round
        status = association.send_c_store(path)
        association.abort()
        return status

    with pacs() as peer:
        statuses = [pynetdicoms_own(peer) for _ in range(3)]
        assert any(not status for status in statuses), "stored, and yet no status"
        assert send([path] * 3, peer.destination) == (Answer(status=0),) * 3
        assert len(peer.received[uid_of(path)]) == 6


@pytest.mark.verifies("SRS-014", level="integration", technique="fault-injection")
def test_sending_leaves_no_thread_behind(tmp_path):
    paths = write_slices(tmp_path, "scu", 1)
    before = set(threading.enumerate())
    with pacs(lambda number: [0, None][number % 2]) as peer:
        for _ in range(6):
            send(paths, peer.destination)
    end = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.05)
    assert not set(threading.enumerate()) - before
