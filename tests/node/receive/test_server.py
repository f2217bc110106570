import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
import structlog
from pydicom import Dataset, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, HangingProtocolStorage
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, Association, evt
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from node.net import Answer, Destination, Failure, echo, send
from node.receive import Inbox, Receiver, serve
from tests.peers.phantoms import encoded, write_slices

HOST = "127.0.0.1"


@pytest.fixture
def inbox(tmp_path) -> Iterator[Inbox]:
    inbox = Inbox(tmp_path / "inbox", low_water_bytes=0)
    yield inbox
    inbox.close()


def destination(receiver: Receiver, **settings) -> Destination:
    return Destination(ae_title="OVERREAD", host=HOST, port=receiver.port, response_timeout_s=10, **settings)


def receiving(inbox: Inbox, **settings) -> Receiver:
    return serve(inbox, ae_title="OVERREAD", host=HOST, port=0, **settings)


def eventually(condition, within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


@pytest.mark.verifies("SRS-008", level="integration", technique="example")
def test_echo(inbox):
    with receiving(inbox) as receiver:
        assert echo(destination(receiver)) == Answer(status=0)


@pytest.mark.verifies("SRS-001", "SRS-002", level="integration", technique="example")
def test_what_is_acknowledged_is_in_the_inbox(inbox, tmp_path):
    paths = write_slices(tmp_path / "source", "server", 5)
    with receiving(inbox) as receiver:
        assert send(paths, destination(receiver)) == (Answer(status=0),) * 5
    kept = {dcmread(inbox.path(name)).SOPInstanceUID: encoded(inbox.path(name)) for name in inbox.scan()}
    assert kept == {dcmread(path).SOPInstanceUID: encoded(path) for path in paths}
    assert list(inbox.arrivals()[0]) == [inbox_name(inbox, path) for path in paths], "in the order of their arrival"


def inbox_name(inbox: Inbox, path) -> str:
    (name,) = (name for name in inbox.scan() if encoded(inbox.path(name)) == encoded(path))
    return name


@pytest.mark.verifies("SRS-004", level="integration", technique="example")
def test_twice_is_once_and_a_conflict_is_kept_and_reported(inbox, tmp_path):
    (path,) = write_slices(tmp_path / "source", "server", 1)
    changed = dcmread(path)
    changed.PatientName = "PHANTOM^OTHER"
    changed.save_as(tmp_path / "changed.dcm")
    with receiving(inbox) as receiver, structlog.testing.capture_logs() as logs:
        assert send([path, path, tmp_path / "changed.dcm"], destination(receiver)) == (Answer(status=0),) * 3
        assert eventually(lambda: [entry for entry in logs if entry["event"] == "receive.association-closed"])
    names = list(inbox.scan())
    assert len(names) == 2
    assert {encoded(inbox.path(name)) for name in names} == {encoded(path), encoded(tmp_path / "changed.dcm")}
    (conflict,) = (entry for entry in logs if entry["event"] == "receive.conflict")
    assert conflict["name"] == names[1]
    (closed,) = (entry for entry in logs if entry["event"] == "receive.association-closed")
    assert (closed["new"], closed["duplicate"], closed["conflict"]) == (1, 1, 1)
    assert closed["peer"] == f"OVERREAD@{HOST}"
    assert "PHANTOM" not in str(logs)
    assert changed.SOPInstanceUID not in str(logs)


@pytest.mark.verifies("SRS-002", "SRS-008", level="integration", technique="example")
def test_every_transfer_syntax_is_taken_as_it_comes(inbox):
    """The bytes are not looked into, so that these may be any."""
    with receiving(inbox) as receiver:
        for syntax in ALL_TRANSFER_SYNTAXES:
            with associated(receiver, syntax=syntax) as association:
                assert store(association, "1." + syntax, b"anything").Status == 0, syntax
    kept = [read_file_meta_info(inbox.path(name)).TransferSyntaxUID for name in inbox.scan()]
    assert sorted(kept) == sorted(ALL_TRANSFER_SYNTAXES)


@pytest.mark.verifies("SRS-008", level="integration", technique="example")
def test_objects_without_a_patient_are_taken_too(inbox):
    with receiving(inbox) as receiver, associated(receiver, sop_class=HangingProtocolStorage) as association:
        assert store(association, "1.2.3", b"anything", sop_class=HangingProtocolStorage).Status == 0


# Requests that our own client never makes, made by hand


@contextmanager
def associated(
    receiver: Receiver, *, sop_class: str = CTImageStorage, syntax: str = ExplicitVRLittleEndian
) -> Iterator[Association]:
    """Associate; the responses gather in `association.responses`."""
    ae = AE()
    ae.add_requested_context(sop_class, syntax)
    responses: list[Dataset] = []
    association = ae.associate(
        HOST,
        receiver.port,
        evt_handlers=[(evt.EVT_DIMSE_RECV, lambda event: responses.append(event.message.command_set))],
    )
    assert association.is_established
    association.responses = responses
    yield association
    if association.is_established:
        association.release()


def store(
    association: Association, uid: str | None, dataset: bytes | None, *, sop_class: str | None = CTImageStorage
) -> Dataset:
    """Send one C-STORE request, lacking what is None, and return the response's command set."""
    count = len(association.responses)
    request = C_STORE()
    request.MessageID = count + 1
    request.AffectedSOPClassUID = sop_class
    request.AffectedSOPInstanceUID = uid
    request.DataSet = None if dataset is None else BytesIO(dataset)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    if dataset is not None:
        message.command_set.CommandDataSetType = 1
    context_id = association.accepted_contexts[0].context_id
    for data in message.encode_msg(context_id, 16382):
        association.dul.send_pdu(data)
    if dataset == b"":
        last = P_DATA()
        last.presentation_data_value_list = [[context_id, b"\x02"]]
        association.dul.send_pdu(last)
    assert eventually(lambda: len(association.responses) > count), "no response: the sender would wait for its time-out"
    return association.responses[-1]


@pytest.mark.verifies("SRS-006", level="integration", technique="bad-input")
@pytest.mark.parametrize(
    ("uid", "dataset", "sop_class"),
    [
        ("1.2.3", b"", CTImageStorage),
        ("1.2.3", None, CTImageStorage),
        (None, b"bytes", CTImageStorage),
        ("1.2.3", b"bytes", None),
    ],
    ids=["data set empty", "no data set", "no instance UID", "no class UID"],
)
def test_what_cannot_be_kept_is_refused_with_a_reason(inbox, uid, dataset, sop_class):
    with receiving(inbox) as receiver, associated(receiver) as association:
        response = store(association, uid, dataset, sop_class=sop_class)
        assert response.Status == 0xC000
        assert response.ErrorComment in {"The data set is empty", "Affected SOP Class or Instance UID missing"}
        assert response.MessageIDBeingRespondedTo == 1
        assert list(inbox.scan()) == []
        assert store(association, "1.2.4", b"bytes").Status == 0, "the next object goes through"


@pytest.mark.verifies("SRS-010", level="integration", technique="bad-input")
def test_a_uid_that_is_too_long_ends_the_association_and_not_the_server(inbox):
    with receiving(inbox) as receiver:
        with associated(receiver) as association:
            request = C_STORE_RQ()
            valid = C_STORE()
            valid.MessageID, valid.AffectedSOPClassUID, valid.AffectedSOPInstanceUID = 1, CTImageStorage, "1.2.3"
            valid.DataSet = BytesIO(b"bytes")
            request.primitive_to_message(valid)
            request.command_set["AffectedSOPInstanceUID"]._value = "1." * 32 + "1"
            for data in request.encode_msg(1, 16382):
                association.dul.send_pdu(data)
            assert eventually(lambda: association.is_aborted)
        assert echo(destination(receiver)).succeeded
    assert list(inbox.scan()) == []


@pytest.mark.verifies("SRS-010", level="integration", technique="bad-input")
def test_a_request_that_cannot_be_answered_ends_the_association_and_not_the_server(inbox):
    with receiving(inbox) as receiver:
        for _ in range(3):  # none of them may hold a thread: pynetdicom can block when a handler aborts
            with associated(receiver) as association:
                request = C_STORE_RQ()
                valid = C_STORE()
                valid.MessageID, valid.AffectedSOPClassUID, valid.AffectedSOPInstanceUID = 1, CTImageStorage, "1.2.3"
                valid.DataSet = BytesIO(b"bytes")
                request.primitive_to_message(valid)
                del request.command_set.MessageID
                del request.command_set.AffectedSOPInstanceUID
                for data in request.encode_msg(1, 16382):
                    association.dul.send_pdu(data)
                assert eventually(lambda: association.is_aborted)
        assert echo(destination(receiver)).succeeded
    assert list(inbox.scan()) == []


@pytest.mark.verifies("SRS-007", "SRS-008", level="integration", technique="bad-input")
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_garbage_is_kept_for_gather_to_judge(inbox):
    body = os.urandom(1000)
    with receiving(inbox) as receiver, associated(receiver) as association:
        assert store(association, "../../../tmp/1.2", body).Status == 0
    (name,) = inbox.scan()
    assert inbox.path(name).read_bytes().endswith(body)


@pytest.mark.verifies("SRS-005", "SRS-006", level="integration", technique="boundary")
def test_a_disk_below_low_water_is_said_to_be_out_of_resources(tmp_path):
    disk = os.statvfs(tmp_path)
    inbox = Inbox(tmp_path / "inbox", low_water_bytes=disk.f_blocks * disk.f_frsize)
    with receiving(inbox) as receiver:
        answers = send(write_slices(tmp_path / "source", "server", 2), destination(receiver))
    assert answers == (Answer(status=0xA700), Answer(status=0xA700)) or [a.status for a in answers] == [0xA700] * 2
    assert answers[0].comment == "Too little disk space left"
    assert list(inbox.scan()) == []


@pytest.mark.verifies("SRS-005", "SRS-006", level="integration", technique="fault-injection")
def test_a_disk_that_fails_is_said_to_be_out_of_resources(inbox, tmp_path):
    paths = write_slices(tmp_path / "source", "server", 1)
    (tmp_path / "inbox" / "objects").rename(tmp_path / "gone")
    with receiving(inbox) as receiver:
        (tmp_path / "inbox" / "objects").write_text("a file where a folder should be")
        (answer,) = send(paths, destination(receiver))
        assert (answer.status, answer.comment) == (0xA700, "The disk cannot be written")
        (tmp_path / "inbox" / "objects").unlink()
        (tmp_path / "gone").rename(tmp_path / "inbox" / "objects")
        assert send(paths, destination(receiver)) == (Answer(status=0),)


# Who may associate, and how many


@pytest.mark.verifies("SRS-009", level="integration", technique="example")
def test_only_named_peers_may_associate(inbox):
    with receiving(inbox, calling_ae_titles=["PACS"]) as receiver:
        assert echo(destination(receiver)).failure is Failure.ASSOCIATION_REJECTED
        assert echo(destination(receiver, calling_ae_title="PACS")).succeeded


@pytest.mark.verifies("SRS-009", level="integration", technique="example")
def test_peers_may_have_to_call_us_by_our_name(inbox):
    with receiving(inbox, require_called_ae_title=True) as receiver:
        assert echo(destination(receiver)).succeeded
        other = destination(receiver).model_copy(update={"ae_title": "OTHER"})
        assert echo(other).failure is Failure.ASSOCIATION_REJECTED


@pytest.mark.verifies("SRS-010", level="integration", technique="boundary")
def test_too_many_associations_are_rejected_for_now(inbox):
    with receiving(inbox, maximum_associations=1) as receiver:
        with associated(receiver):
            answer = echo(destination(receiver))
            assert answer.failure is Failure.ASSOCIATION_REJECTED
            assert "Transient" in answer.comment
        assert eventually(lambda: echo(destination(receiver)).succeeded)


# Peers that say nothing


def acceptors() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.verifies("SRS-010", level="integration", technique="fault-injection")
def test_probes_of_a_load_balancer_leave_nothing_behind(inbox):
    """They connect and close, for ever. None may hold a thread, an association's place, or fill the log."""
    with receiving(inbox, maximum_associations=2) as receiver, structlog.testing.capture_logs() as logs:
        before = acceptors()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(200):
            socket.create_connection((HOST, receiver.port)).close()
        for _ in range(20):  # and those that reset
            probe = socket.create_connection((HOST, receiver.port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.close()
        assert echo(destination(receiver)).succeeded
        assert eventually(lambda: not acceptors() - before)
        assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= descriptors)
        assert len(logs) <= 1


def reset(association: Association) -> None:
    """End the connection as a peer that crashed does."""
    connection = association.dul.socket.socket
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.verifies("SRS-010", level="integration", technique="fault-injection")
def test_peers_that_crash_leave_nothing_behind(inbox):
    inbox.accept(CTImageStorage, "1.2.3", ExplicitVRLittleEndian, b"bytes")  # opens the journal
    with receiving(inbox) as receiver:
        before = acceptors()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(10):
            with associated(receiver) as association:
                assert store(association, "1.2.3", b"bytes").Status == 0
                reset(association)
        assert eventually(lambda: not acceptors() - before)
        assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= descriptors)


@pytest.mark.verifies("SRS-010", level="integration", technique="fault-injection")
def test_a_peer_that_connects_and_stays_silent_is_let_go(inbox):
    with receiving(inbox, association_timeout_s=0.3) as receiver:
        before = acceptors()
        with socket.create_connection((HOST, receiver.port)) as silent:
            silent.settimeout(5)
            assert silent.recv(1) == b""
        assert eventually(lambda: not acceptors() - before)


@pytest.mark.verifies("SRS-010", level="integration", technique="bad-input")
@pytest.mark.parametrize("sent", [b"\x01", b"\x01\x00\x00\x00\x01\x00partial", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_peer_that_stops_in_the_middle_is_let_go(inbox, sent):
    with receiving(inbox, association_timeout_s=0.5, network_timeout_s=0.5) as receiver:
        before = acceptors()
        with socket.create_connection((HOST, receiver.port)) as stalled:
            stalled.sendall(sent)
            assert eventually(lambda: acceptors() - before)
            assert eventually(lambda: not acceptors() - before)
        assert echo(destination(receiver)).succeeded


@pytest.mark.verifies("SRS-010", level="integration", technique="fault-injection")
def test_an_association_that_falls_silent_is_aborted(inbox):
    with receiving(inbox, network_timeout_s=0.5) as receiver, associated(receiver) as association:
        assert eventually(lambda: association.is_aborted)


@pytest.mark.verifies("SRS-011", level="integration", technique="example")
def test_stopping_lets_associations_end_and_then_ends_them(inbox):
    receiver = receiving(inbox)
    with associated(receiver) as association:
        start = time.monotonic()
        receiver.stop(grace_s=0.5)
        assert 0.4 < time.monotonic() - start < 5
        assert eventually(lambda: association.is_aborted)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, receiver.port))


@pytest.mark.verifies("SRS-018", level="integration", technique="bad-input")
def test_a_taken_port_is_an_error(inbox):
    with receiving(inbox) as receiver, pytest.raises(OSError, match="in use"):
        serve(inbox, ae_title="OVERREAD", host=HOST, port=receiver.port)
