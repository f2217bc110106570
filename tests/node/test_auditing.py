"""The audit log of a node by its settings: checked at the start, alerting, and knowing whom a message is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from node.audit import AuditLog, Collector, Event, Record, Release, Trail
from node.auditing import Auditing, check_log, collector_of, existing_log, open_log
from node.config import Config, ConfigError, load_config
from node.dicom.datasets import RealDataset
from node.dicom.reasons import Reason
from node.dicom.uids import derive_uid
from node.identity import Vault, create_key_file, load_keys, pseudonymise_study
from node.ledger import Ledger
from node.store import Store
from tests.models.tiny import write_tiny_model
from tests.node.audit.collector import stream_collector
from tests.node.audit.schema import check
from tests.node.audit.test_messages import KINDS
from tests.node.audit.writing import write
from tests.node.cases import write_case
from tests.node.running import Site, make_site, running, wait_until
from tests.peers.pacs import pacs
from tests.peers.phantoms import write_slices

RELEASE = Release("0", "0" * 64, "", "3", {})


def settings(folder: Path, audit: str = "") -> Config:
    path = folder / "overread.toml"
    path.write_text(f'[node]\ndata_dir = "data"\nkey_file = "site.key"\n[audit]\n{audit}\n')
    return load_config(path, {})


@dataclass
class Rooms:
    vault: Vault
    ledger: Ledger
    store: Store


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    create_key_file(tmp_path / "site.key")
    data = tmp_path / "data"
    vault = Vault(data / "vault.sqlite", load_keys(tmp_path / "site.key", {}))
    ledger = Ledger(data / "ledger.sqlite")
    yield Rooms(vault, ledger, Store(data / "store"))
    ledger.close()


def auditing(config: Config, rooms: Rooms) -> Auditing:
    trail = Trail(open_log(config), RELEASE)
    return Auditing(config, trail, vault=rooms.vault, ledger=rooms.ledger, store=rooms.store)


def records(log: AuditLog) -> list[Record]:
    return [Record.parse(line) for line in log.path.read_bytes().splitlines()]


@pytest.mark.verifies("SRS-254", "SRS-256", level="integration", technique="adversarial")
def test_a_log_that_was_changed_while_the_node_was_down_raises_an_alert_at_its_start(
    tmp_path: Path, rooms: Rooms
) -> None:
    with stream_collector() as received:
        config = settings(tmp_path, f'syslog = "tcp://127.0.0.1:{received.port}"')
        log = open_log(config)
        write(log, 5)
        log.path.write_bytes(log.path.read_bytes().replace(b"real-uid", b"real-uie", 1))
        node = auditing(config, rooms)
        node.start()
        alert = received.wait(2)[1]
        node.stop()
        kinds = received.kinds(3)
    check(alert)
    assert kinds == ["110100", "110113", "110100"]
    assert [record.event for record in records(log)[5:]] == ["node-started", "log-broken", "node-stopped"]


@pytest.mark.verifies("SRS-254", level="unit", technique="boundary")
def test_a_log_with_many_breaks_raises_a_few_alerts(tmp_path: Path) -> None:
    log = open_log(settings(tmp_path))
    write(log, 30)
    log.path.write_bytes(log.path.read_bytes().replace(b"real-uid", b"real-uie"))
    assert len(check_log(log, None).breaks) == 30
    alerts = [line for line in log.path.read_bytes().splitlines() if b'"event":"log-broken"' in line]
    assert 0 < len(alerts) <= 7


@pytest.mark.verifies("SRS-256", level="integration", technique="example")
def test_a_subject_is_taken_from_the_vault_and_pseudonyms_where_it_does_not_tell(tmp_path: Path, rooms: Rooms) -> None:
    config = settings(tmp_path)
    (image,) = write_slices(tmp_path / "images", "auditing", 1)
    real = pydicom.dcmread(image, stop_before_pixels=True)
    patient_id, study_uid = str(real.PatientID), str(real.StudyInstanceUID)
    (header,) = pseudonymise_study([RealDataset(real, image)], rooms.vault)
    patient, study = str(header.dataset.PatientID), str(header.dataset.StudyInstanceUID)
    facts = {"job": "", "study": study, "patient": patient, "images": 1, "vault_key": rooms.vault.key_id}
    node = auditing(config, rooms)
    found = node.subject_of(Record.make(1, "0" * 64, Event.STUDY_IDENTIFIED, facts))
    assert (found.patient_id, found.study_uid) == (patient_id, study_uid)
    facts["study"] = str(rooms.vault.pseudonymiser.uid("1.2.3"))
    unknown = node.subject_of(Record.make(1, "0" * 64, Event.STUDY_IDENTIFIED, facts))
    assert (unknown.patient_id, unknown.study_uid) == (patient, facts["study"])
    result = {"reading": study, "result": study, "kind": "SEG", "key": "sha256:" + "0" * 64, "destination": "pacs"}
    owed = Record.make(1, "0" * 64, Event.RESULT_OWED, {"job": "", "study": study, **result})
    assert node.subject_of(owed).patient_id == "", "a reading that the ledger does not know"


@pytest.mark.verifies("SRS-251", level="unit", technique="property")
def test_the_vaults_key_is_told_by_a_fingerprint_that_is_its_own(tmp_path: Path) -> None:
    ids = set()
    for name in ("one", "two"):
        create_key_file(tmp_path / name)
        keys = load_keys(tmp_path / name, {})
        vault = Vault(tmp_path / f"{name}.sqlite", keys)
        assert vault.key_id == Vault(tmp_path / f"{name}.sqlite", keys).key_id
        assert not any(vault.key_id[2:] in key.hex() for key in vars(keys).values())
        ids.add(vault.key_id)
    assert len(ids) == 2


@pytest.mark.verifies("SRS-256", level="unit", technique="example")
def test_the_collector_is_the_one_of_the_settings(tmp_path: Path) -> None:
    assert collector_of(settings(tmp_path)) is None
    config = settings(tmp_path, 'syslog = "tls://audit.example.org:6514"\nsyslog_ca_file = "ca.pem"')
    assert collector_of(config) == Collector("tls", "audit.example.org", 6514, tmp_path / "ca.pem")
    at_home = settings(tmp_path, 'syslog = "udp://[::1]:514"')
    assert collector_of(at_home) == Collector("udp", "::1", 514)


@pytest.mark.verifies("SRS-256", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://192.0.2.7:514", "use tls"),
        ("udp://audit.example.org:514", "use tls"),
        ("tls://audit.example.org", "should match"),
        ("http://127.0.0.1:80", "should match"),
        ("tls://audit.example.org:0", "1 to 65535"),
        ("tls://audit.example.org:70000", "1 to 65535"),
    ],
)
def test_patient_numbers_never_cross_a_network_in_clear(address: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        settings(tmp_path, f'syslog = "{address}"')
    assert "line 5: [audit] syslog" in str(error.value)


@pytest.mark.verifies("SRS-254", level="unit", technique="bad-input")
def test_a_log_that_was_never_kept_is_not_made_by_asking(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with pytest.raises(ConfigError, match="no node has kept an audit log"):
        existing_log(config)
    assert not config.node.data_dir.exists()


@pytest.mark.verifies("SRS-258", level="unit", technique="boundary")
def test_a_delivery_that_was_tried_for_weeks_is_put_down_like_any_other(tmp_path: Path) -> None:
    log = open_log(settings(tmp_path))
    study = str(derive_uid("test", "study"))
    for job in (f"deliver-{study}-1-pacs{'-3' * 2000}", "4c0cbd6c-9d0b-4f6c-8a1e-0d6d3b0c0a11", None):
        Trail(log, RELEASE).of(job, study).ended("failed", Reason.INTERNAL_ERROR)
    assert [record.facts["job"][:8] for record in records(log)] == ["deliver-", "4c0cbd6c", ""]


@pytest.mark.verifies("SRS-250", "SRS-255", level="integration", technique="consistency")
def test_the_document_names_every_event_and_message() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text()
    table = "".join(line for line in document.splitlines(keepends=True) if line.startswith("| "))
    assert {event.value for event in Event} <= set(re.findall(r"[a-z]+-[a-z]+", table))
    assert {code for code, _, _ in KINDS.values()} == set(re.findall(r"\((\d{6})\)", table))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_case(tmp_path_factory.mktemp("case"))


@pytest.mark.verifies("SRS-252", level="system", technique="fault-injection")
@pytest.mark.parametrize("moment", ["after:restore", "after:send"])
def test_a_killed_node_goes_on_with_a_whole_log_and_no_record_twice(
    moment: str, tmp_path: Path, images: list[Path]
) -> None:
    study = str(pydicom.dcmread(images[0], stop_before_pixels=True).StudyInstanceUID)
    with pacs() as peer:
        site: Site = make_site(tmp_path, write_tiny_model(tmp_path / "models"), {"pacs": peer.destination})
        dying = site.start(die_at=moment)
        site.wait_ready(dying)
        site.send(images)
        assert dying.wait(120) == -9, site.log.read_text()[-2000:]
        with running(site):
            site.wait_for(study, "delivered", seconds=60)
            path = tmp_path / "data" / "audit" / "audit.jsonl"
            wait_until(lambda: path.read_bytes().count(b'"event":"node-started"') == 2)
    log = existing_log(load_config(site.settings, {}))
    assert not check_log(log, None).breaks
    found = records(log)
    once = [record.once for record in found if record.once]
    assert len(once) == len(set(once)), "a repeated step put down the same again"
    events = [record.event for record in found]
    assert events.count("node-started") == 2
    assert events.count("result-sent") == 2
    assert events.count("result-reidentified") == 2
