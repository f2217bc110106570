"""Sending the log on: every message arrives over whichever way, after any outage, and with identities only in it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.audit import AuditLog, Collector, Event, Record, Sender, Source, Subject
from node.audit.syslog import Connection, syslog_message
from tests.node.audit.collector import (
    datagram_collector,
    server_context,
    stream_collector,
    write_certificate,
)
from tests.node.audit.schema import check
from tests.node.audit.test_messages import FACT, SOURCE
from tests.node.audit.writing import open_log
from tests.node.running import free_port

PATTERN = re.compile(
    rb"<(\d+)>1 (\d{4}-\d\d-\d\dT[\d:.]+Z) node\.example\.org overread 4711 DICOM\+RFC3881 - \xef\xbb\xbf<\?xml .*",
    re.DOTALL,
)


def subject_of(record: Record) -> Subject:
    return Subject("PHANTOM 7", "1.2.3.4", "", record.facts["study"])


def sender_of(log: AuditLog, collector: Collector, source: Source = SOURCE) -> Sender:
    return Sender(log, log.folder / "cursor.json", collector, source, subject_of)


@contextmanager
def sending(log: AuditLog, collector: Collector) -> Iterator[None]:
    sender = sender_of(log, collector)
    sender.start()
    try:
        yield
    finally:
        sender.stop(20)


def sent(log: AuditLog) -> None:
    facts = {name: FACT[name] for name in ("job", "study", "reading", "kind", "result", "key", "destination", "code")}
    log.append(Event.RESULT_SENT, **facts)


@pytest.mark.verifies("SRS-256", level="integration", technique="example")
def test_messages_arrive_over_tcp_framed_and_of_the_schema(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with stream_collector() as received, sending(log, Collector("tcp", "127.0.0.1", received.port)):
        log.append(Event.LOG_BROKEN, record=3, fault="changed")
        log.append(Event.STATUS_ASKED, study="", asked_by="real-uid")
        sent(log)
        assert received.kinds(2) == ["110113", "110104"]
    for root in received.wait(2):
        check(root)
    headers = [PATTERN.fullmatch(message) for message in received.messages]
    assert [header[1] for header in headers if header] == [b"83", b"85"], "security, and how severe (A.6.2)"
    assert b"PHANTOM 7" in received.messages[1]
    for path in log.folder.iterdir():
        assert b"PHANTOM" not in path.read_bytes(), "the patient's number is in the message and nowhere else"


@pytest.mark.verifies("SRS-256", level="integration", technique="example")
def test_messages_arrive_over_tls_with_both_ends_known(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    server, client = write_certificate(tmp_path, "collector"), write_certificate(tmp_path, "node")
    with stream_collector(context=server_context(server, client)) as received:
        to = Collector("tls", "127.0.0.1", received.port, ca_file=server, client_file=client)
        with sending(log, to):
            sent(log)
            sent(log)
            assert received.kinds(2) == ["110104"] * 2


@pytest.mark.verifies("SRS-256", level="integration", technique="adversarial")
def test_nothing_is_sent_to_who_cannot_show_that_he_is_the_collector(tmp_path: Path) -> None:
    server, client = write_certificate(tmp_path, "collector"), write_certificate(tmp_path, "node")
    other = write_certificate(tmp_path, "impostor")
    with stream_collector(context=server_context(other, client)) as received:
        to = Collector("tls", "127.0.0.1", received.port, ca_file=server, client_file=client)
        with pytest.raises(ssl.SSLCertVerificationError):
            Connection(to).send(b"message")
    assert not received.messages


@pytest.mark.verifies("SRS-256", level="integration", technique="example")
def test_messages_arrive_over_udp(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with datagram_collector() as received, sending(log, Collector("udp", "127.0.0.1", received.port)):
        sent(log)
        (root,) = received.wait(1)
    check(root)
    assert PATTERN.fullmatch(received.messages[0])


@pytest.mark.verifies("SRS-257", level="integration", technique="fault-injection")
def test_what_a_collector_missed_is_sent_when_it_is_back(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    port = free_port()
    to = Collector("tcp", "127.0.0.1", port)
    with sending(log, to):
        sent(log)
        with stream_collector(port) as first:
            first.wait(1)
        sent(log)
        sent(log)
        with stream_collector(port) as second:
            second.wait(2)
    assert len(second.messages) == 2


@pytest.mark.verifies("SRS-257", level="integration", technique="fault-injection")
def test_what_was_not_sent_when_the_node_ended_is_sent_after_its_next_start(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    sent(log)
    port = free_port()
    to = Collector("tcp", "127.0.0.1", port)
    with sending(log, to):  # down all the time; what was written before anybody was to be told is not sent
        log.append(Event.LOG_BROKEN, record=1, fault="cut")
        sent(log)
    with stream_collector(port) as received, sending(log, to):
        assert received.kinds(2) == ["110113", "110104"]
    with stream_collector(port) as again, sending(log, to):
        log.append(Event.LOG_BROKEN, record=2, fault="cut")
        assert again.kinds(1) == ["110113"], "what was sent is not sent again"


@pytest.mark.verifies("SRS-257", level="integration", technique="adversarial")
def test_a_log_that_was_cut_and_spoiled_is_sent_on_from_there(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with stream_collector() as received:
        to = Collector("tcp", "127.0.0.1", received.port)
        with sending(log, to):
            sent(log)
            sent(log)
            received.wait(2)
        lines = log.path.read_bytes().splitlines(keepends=True)
        log.path.write_bytes(lines[0])
        sent(log)  # chained to what the head knows, with an alert
        log.path.write_bytes(log.path.read_bytes() + b"no record\n")
        sent(log)  # after another alert
        with sending(log, to):
            kinds = received.kinds(6)
    assert kinds == ["110104", "110104", "110113", "110104", "110113", "110104"], "what was sent is not sent again"


@pytest.mark.verifies("SRS-257", level="integration", technique="adversarial")
def test_a_log_that_counts_anew_is_sent_anew(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with stream_collector() as received, sending(log, Collector("tcp", "127.0.0.1", received.port)):
        sent(log)
        sent(log)
        received.wait(2)
        log.path.unlink()
        log.head_file.unlink()
        sent(log)
        assert received.kinds(3) == ["110104"] * 3


@pytest.mark.verifies("SRS-257", level="integration", technique="fault-injection")
def test_a_collector_that_is_away_holds_up_nobody_who_writes(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with sending(log, Collector("tcp", "127.0.0.1", free_port())):
        for _ in range(20):
            sent(log)
    assert len(log.path.read_bytes().splitlines()) == 20


@pytest.mark.verifies("SRS-256", level="unit", technique="bad-input")
def test_a_header_holds_no_space_and_no_other_character() -> None:
    text = syslog_message(b"<x/>", outcome="4", time="2026-01-01T00:00:00Z", host="a host\n<1>", process="")
    assert text == b"<84>1 2026-01-01T00:00:00Z a?host?<1> overread - DICOM+RFC3881 - \xef\xbb\xbf<x/>"
