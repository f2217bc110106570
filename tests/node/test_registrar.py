"""From the inbox to the ledger: what is read, what is kept apart, and what is begun again after a start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest

from node.identity import Pseudonymiser
from node.identity.keys import Keys
from node.ledger import InstanceState, Ledger, StudyState
from node.receive import Inbox
from node.registrar import Registrar
from tests.peers.phantoms import encoded, write_slices

KEYS = Keys.derive(hashlib.sha256(b"a key for tests").digest())


class Begun:
    """Takes the place of the workflows, which need a running DBOS: it writes down what it was told to begin."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, int, str]] = []

    def begin_read(self, study: str, attempt: int, snapshot: str) -> None:
        self.readings.append((study, attempt, snapshot))


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[SimpleNamespace]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    inbox = Inbox(tmp_path / "inbox", low_water_bytes=0)
    yield SimpleNamespace(inbox=inbox, ledger=ledger, vault=SimpleNamespace(pseudonymiser=Pseudonymiser(KEYS)))
    inbox.close()
    ledger.close()


def accept(inbox: Inbox, path: Path, more: bytes = b"") -> str:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    syntax = header.file_meta.TransferSyntaxUID
    return inbox.accept(header.SOPClassUID, header.SOPInstanceUID, syntax, bytes(encoded(path)) + more).name


def counted(ledger: Ledger, study: str) -> dict[tuple[InstanceState, str], int]:
    status = ledger.status(study)
    return {(c.state, c.reason): c.count for c in status.instances} if status else {}


@pytest.mark.verifies("SRS-137", level="integration", technique="bad-input")
def test_a_conflict_and_a_broken_object_stay_out_of_the_reading(rooms: SimpleNamespace, tmp_path: Path) -> None:
    first, second = write_slices(tmp_path / "source", "registrar", 2)
    study = str(rooms.vault.pseudonymiser.uid(pydicom.dcmread(first).StudyInstanceUID))
    usable = [accept(rooms.inbox, first), accept(rooms.inbox, second)]
    conflict = accept(rooms.inbox, first, b"\xfc\xff\xfc\xffOB\x00\x00\x02\x00\x00\x00\x00\x00")  # trailing padding
    broken = rooms.inbox.accept("1.2.840.10008.5.1.4.1.1.2", "2.25.99", "1.2.840.10008.1.2.1", b"\xff" * 40).name
    Registrar(rooms, Begun(), 30).register([*usable, conflict, broken])  # type: ignore[arg-type]  # see `Begun`
    assert rooms.ledger.instances_of(study) == sorted(usable)
    assert counted(rooms.ledger, study) == {
        (InstanceState.WAITING, ""): 2,
        (InstanceState.QUARANTINED, "uid-conflict"): 1,
    }
    assert rooms.ledger.known([conflict, broken]) == {conflict, broken}, "kept and recorded"


@pytest.mark.verifies("SRS-121", level="integration", technique="fault-injection")
def test_what_was_begun_and_has_no_end_is_begun_again_at_the_start(rooms: SimpleNamespace) -> None:
    rooms.ledger.register({"a": "2.25.1", "b": "2.25.2"})
    for study in ("2.25.1", "2.25.2"):
        rooms.ledger.begin(study, "sha256:0", rooms.ledger.last_arrival(study))
    rooms.ledger.advance("2.25.2", StudyState.DELIVERED)
    begun = Begun()
    registrar = Registrar(rooms, begun, 30)  # type: ignore[arg-type]  # see `Begun`
    registrar.start()
    registrar.stop()
    assert begun.readings == [("2.25.1", 1, "sha256:0")]
