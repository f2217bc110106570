"""A running node: receivers, registrar, workflows and the inference process, started and stopped in order."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog
from dbos import DBOS
from sqlalchemy.exc import DatabaseError

from models.acceptance import NotAcceptedError, check_accepted
from models.manifest import Manifest, load
from models.weights import default_directory
from node.audit import Release, Trail
from node.auditing import Auditing, open_log
from node.config import Config, ConfigError
from node.durable import dbos_config
from node.identity import Pseudonymiser, Vault, load_keys
from node.inference import InferenceService
from node.ledger import Ledger, StudyStatus
from node.net import Destination
from node.receive import Inbox, ReceiverProcesses, ReceiverSettings
from node.registrar import Registrar
from node.report.equipment import Equipment
from node.store import Store, make_directory
from node.workflow import DELIVER, FOLLOW, READ, Rooms, Workflow

_log = structlog.get_logger(__name__)
_FINISH_S = 5


class AlreadyRunningError(RuntimeError):
    """Another node works on the same data folder."""


def status(config: Config, study_instance_uid: str) -> StudyStatus | None:
    """Return what the node knows of a study, by its real or its pseudonymous UID; None if it never came.

    Raises
    ------
    node.identity.KeyUnusableError
        If the master key is missing or weak.
    """
    ledger = _existing_ledger(config)
    try:
        return ledger.status(study_pseudonym(config, study_instance_uid)) or ledger.status(study_instance_uid)
    finally:
        ledger.close()


def study_pseudonym(config: Config, study_instance_uid: str) -> str:
    """Return the pseudonym under which logs, ledger and workflows know a study."""
    return str(Pseudonymiser(load_keys(config.node.key_file, os.environ)).uid(study_instance_uid))


def retry(config: Config, study_instance_uid: str) -> bool:
    """Let a study that was refused, quarantined or failed be read again; False if there is none such.

    The running node sees it within a second; a stopped one when it starts.
    """
    ledger = _existing_ledger(config)
    try:
        return ledger.reopen(study_pseudonym(config, study_instance_uid)) or ledger.reopen(study_instance_uid)
    finally:
        ledger.close()


def _existing_ledger(config: Config) -> Ledger:
    path = config.node.data_dir / "ledger.sqlite"
    if not path.exists():
        raise ConfigError(f"no node has run in {config.node.data_dir} yet: name its settings with --config")
    try:
        return Ledger(path)
    except DatabaseError as error:
        raise ConfigError(f"{path}: this is no ledger, or it is damaged") from error


def serve(config: Config, stopping: threading.Event | None = None) -> None:
    """Run a node until SIGTERM, SIGINT or the event.

    The process must end when this returns: a step that takes longer than a few seconds is still at work then, and the
    inference process ends with its parent.

    Raises
    ------
    AlreadyRunningError, node.identity.KeyUnusableError, models.manifest.ManifestError,
    models.weights.WeightsError, models.acceptance.NotAcceptedError, node.inference.EngineUnavailableError, OSError
        If the node cannot start; the text says what to do.
    """
    stopping = stopping or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
    make_directory(config.node.data_dir)
    config.node.data_dir.chmod(0o700)  # names of patients lie in it
    with _sole_user(config.node.data_dir), contextlib.ExitStack() as stack:
        _check_port(config)
        rooms = _build(config, stack)
        receivers = ReceiverProcesses(_receiver_settings(config), config.receive.processes)
        stack.callback(receivers.stop)
        workflow = Workflow(rooms)
        auditing = Auditing(config, rooms.audit, vault=rooms.vault, ledger=rooms.ledger, store=rooms.store)
        auditing.start()
        _launch(config)
        registrar = Registrar(rooms, workflow, config.gather.quiet_seconds)
        registrar.start()
        _log.info("node.ready", ae_title=config.node.ae_title, port=config.receive.port)
        stopping.wait()
        _log.info("node.stopping")
        receivers.stop()
        registrar.stop()
        DBOS.destroy(workflow_completion_timeout_sec=_FINISH_S)
        auditing.stop()
        # What is still at work is left as a crash would leave it, and goes on at the next start. Its rooms stay open:
        # a step that saw them close would be recorded as failed.
        stack.pop_all()


def _check_port(config: Config) -> None:
    """Fail now and not after the networks are loaded if another program listens there."""
    family = socket.AF_INET6 if ":" in config.receive.host else socket.AF_INET
    with socket.create_server((config.receive.host, config.receive.port), family=family):
        pass


def _build(config: Config, stack: contextlib.ExitStack) -> Rooms:
    """Open every room; whatever is wrong is said before a single image is taken."""
    data = config.node.data_dir
    keys = load_keys(config.node.key_file, os.environ)
    model = load(config.inference.model)
    _check_acceptance(config, model)
    service = InferenceService(
        store_root=data / "store",
        weights_dir=config.inference.weights_dir or default_directory(),
        model=model,
        engine=config.inference.engine,
        threads=config.inference.threads,
        stall_seconds=config.inference.stall_seconds,
        hard_limit_seconds=config.inference.hard_limit_seconds,
    )
    service.start()
    stack.callback(service.stop)
    ledger = Ledger(data / "ledger.sqlite")
    stack.callback(ledger.close)
    return Rooms(
        inbox=Inbox(data / "inbox", config.receive.low_water_mb * 1_000_000),
        store=Store(data / "store"),
        outbox=Store(data / "outbox"),
        vault=Vault(data / "vault.sqlite", keys),
        ledger=ledger,
        audit=Trail(open_log(config), Release.installed()),
        inference=service,
        smallest_lesion_ml=model.smallest_lesion_ml,
        equipment=Equipment(
            manufacturer="Overread",
            model_name="Overread",
            software_version=importlib.metadata.version("overread"),
            serial_number=config.node.ae_title,
        ),
        destinations=_destinations(config),
    )


def _check_acceptance(config: Config, model: Manifest) -> None:
    """Load only weights that were accepted under the change plan; in development, say that they were not."""
    try:
        check_accepted(model, config.inference.acceptance_file, config.inference.trusted_keys)
    except NotAcceptedError as error:
        if config.inference.profile == "release":
            raise
        _log.warning("node.model-not-accepted", model=model.name, version=model.version, reason=str(error))


def _launch(config: Config) -> None:
    """Start the workflows; DBOS resumes at once what a crash left."""
    DBOS(config=dbos_config(config))
    _log_through_root("dbos")
    DBOS.launch()
    DBOS.register_queue(READ, worker_concurrency=config.workflow.parallel_studies, polling_interval_sec=0.2)
    DBOS.register_queue(FOLLOW, worker_concurrency=config.workflow.parallel_studies, polling_interval_sec=0.2)
    DBOS.register_queue(DELIVER, worker_concurrency=8, polling_interval_sec=0.2)


def _receiver_settings(config: Config) -> ReceiverSettings:
    return ReceiverSettings(
        root=config.node.data_dir / "inbox",
        low_water_bytes=config.receive.low_water_mb * 1_000_000,
        ae_title=config.node.ae_title,
        host=config.receive.host,
        port=config.receive.port,
        calling_ae_titles=config.receive.allowed_calling_ae,
        log_format=config.node.log_format,
    )


def _destinations(config: Config) -> dict[str, Destination]:
    return {
        to.name: Destination(
            ae_title=to.ae_title,
            host=to.host,
            port=to.port,
            calling_ae_title=config.node.ae_title,
            response_timeout_s=to.timeout_seconds,
        )
        for to in config.destination
    }


@contextlib.contextmanager
def _sole_user(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for this process alone; the lock goes with the process, however it ends."""
    with (data_dir / "node.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(f"another node works on {data_dir}") from error
        yield


def _log_through_root(name: str) -> None:
    """Take a library's own handlers away, so that its lines pass the filter of `node.logs`."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True
