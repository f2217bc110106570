"""The audit log of this node: opened by its settings, checked at its start, sent on as messages, asked by commands."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

import structlog

from node.audit import (
    AuditLog,
    Collector,
    Event,
    Head,
    Record,
    Sender,
    Source,
    Subject,
    Trail,
    Verdict,
    read_head,
    verify,
)
from node.config import Config, ConfigError
from node.dicom.findings import Reading
from node.dicom.reasons import Refused
from node.dicom.uids import is_derived
from node.identity import Vault
from node.identity.values import text_value
from node.ledger import Ledger
from node.store import ArtefactMissingError, Store

_log = structlog.get_logger(__name__)
_MOST_ALERTS = 5


def open_log(config: Config) -> AuditLog:
    """Return the audit log that the settings name."""
    return AuditLog(config.node.data_dir / "audit", head_file(config))


def head_file(config: Config) -> Path:
    """Return the file that the head of the log is kept in."""
    return config.audit.head_file or config.node.data_dir / "audit-head.json"


def existing_log(config: Config) -> AuditLog:
    """Return the audit log of a node that has run.

    Raises
    ------
    ConfigError
        If none has.
    """
    if not (config.node.data_dir / "audit").exists():
        raise ConfigError(f"no node has kept an audit log in {config.node.data_dir}: name its settings with --config")
    return open_log(config)


def check_log(log: AuditLog, head: Head | None) -> Verdict:
    """Check a log, and put what does not hold into a record of its own, once, so that an alert is sent."""
    verdict = verify(log, head)
    for found in verdict.breaks[:_MOST_ALERTS]:
        once = f"log-broken/{found.fault}/{found.record}"
        log.append(Event.LOG_BROKEN, once=once, record=found.record, fault=found.fault.value)
    return verdict


def note_asked(config: Config, event: Event, asked: str, study: str) -> None:
    """Put down that somebody asked for a study's status, or for another reading of it.

    Parameters
    ----------
    config
        The node's.
    event
        `Event.STATUS_ASKED` or `Event.RETRY_ASKED`.
    asked
        The UID that was given. It is not kept: only whether it was a pseudonym.
    study
        The study's pseudonym; "" if there is no such study.
    """
    by_pseudonym = asked == study if study else is_derived(asked)
    open_log(config).append(event, study=study, asked_by="pseudonym" if by_pseudonym else "real-uid")


class Auditing:
    """The audit of a running node.

    Parameters
    ----------
    config
        The node's settings.
    trail
        The log, with the release that works.
    vault, ledger, store
        To find the patient of a record at the time when a message about it is sent.
    """

    def __init__(self, config: Config, trail: Trail, *, vault: Vault, ledger: Ledger, store: Store) -> None:
        self._trail = trail
        self._vault = vault
        self._ledger = ledger
        self._store = store
        self._head_file = head_file(config)
        self._sender: Sender | None = None
        collector = collector_of(config)
        if collector is not None:
            cursor = config.node.data_dir / "audit" / "syslog-cursor.json"
            self._sender = Sender(trail.log, cursor, collector, _source(config, trail.log), self.subject_of)

    def start(self) -> None:
        """Put down that the node starts, then check the log and send it on, beside the work."""
        self._trail.started()
        threading.Thread(target=self._check, name="audit-check", daemon=True).start()
        if self._sender is not None:
            self._sender.start()

    def stop(self) -> None:
        """Put down that the node was stopped; try to send what is left."""
        self._trail.stopped()
        if self._sender is not None:
            self._sender.stop()

    def _check(self) -> None:
        try:
            for found in check_log(self._trail.log, read_head(self._head_file)).breaks:
                _log.error("audit.broken", record=found.record, line=found.line, fault=found.fault.value)
        except (OSError, ValueError) as error:
            _log.error("audit.not_checked", error=type(error).__name__)

    def subject_of(self, record: Record) -> Subject:
        """Return whom a record is about, in real identities; in pseudonyms where the vault does not tell."""
        study, patient = record.facts["study"], record.facts.get("patient", "")
        try:
            if "patient" not in record.facts:
                key, _ = self._ledger.reading(record.facts["reading"])
                patient = Reading.model_validate_json(self._store.get(key)).patient
            found = self._vault.study(patient, study)
            return Subject(text_value(found.dataset, "PatientID"), found.uids[study], patient, study)
        except (Refused, KeyError, ArtefactMissingError) as error:
            _log.error("audit.subject_unknown", study=study, error=type(error).__name__)
            return Subject(patient, study, patient, study)


def collector_of(config: Config) -> Collector | None:
    """Return where audit messages go by the settings, None if nowhere."""
    if config.audit.syslog is None:
        return None
    address = urlsplit(config.audit.syslog)
    return Collector(
        scheme=cast("Literal['tls', 'tcp', 'udp']", address.scheme),
        host=address.hostname or "",
        port=address.port or 0,
        ca_file=config.audit.syslog_ca_file,
        client_file=config.audit.syslog_client_file,
    )


def _source(config: Config, log: AuditLog) -> Source:
    return Source(
        ae_title=config.node.ae_title,
        host=socket.gethostname(),
        process=str(os.getpid()),
        log=log.path.absolute().as_uri(),
        destinations={to.name: (to.ae_title, to.host) for to in config.destination},
    )
