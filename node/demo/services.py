"""The node and the PACS of the demonstration: started beside each other on loopback, stopped together."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import node
from node.config import ENVIRONMENT_PREFIX, load_config
from node.demo.children import Child
from node.demo.orthanc import OrthancFailedError, OrthancPacs, find_orthanc
from node.demo.pacs import AE_TITLE, BuiltInPacs, Pacs
from node.demo.progress import QUIET_S
from node.dicom.findings import Reading
from node.dicom.volume import LabelMap
from node.identity import KEY_VARIABLE, Pseudonymiser, create_key_file, load_keys
from node.ledger import Ledger, StudyStatus
from node.net import Destination, echo
from node.report.checker import check_files
from node.store import Store

PacsKind = Literal["auto", "built-in", "orthanc"]

_NODE_AE_TITLE = "OVERREAD"
_START_S = 240.0  # a slow disk and two cores need a while for the networks
_KEPT_SECTION = f"{ENVIRONMENT_PREFIX}INFERENCE__"


class NodeFailedError(RuntimeError):
    """The node does not start, or ended on its own; the text holds its last words."""


class Node:
    """A node with data, key and settings of its own, as a child process.

    Parameters
    ----------
    folder
        Where it keeps everything; not there yet.
    log
        File for its log.
    port
        TCP port to listen on.
    pacs
        Where its results go.
    """

    def __init__(self, folder: Path, log: Path, port: int, pacs: Destination) -> None:
        folder.mkdir(parents=True)
        environment = _environment(os.environ)
        settings = folder / "overread.toml"
        settings.write_text(_settings(port, pacs), encoding="utf-8")
        create_key_file(folder / "overread.key")
        self._config = load_config(settings, environment)
        self._pseudonyms = Pseudonymiser(load_keys(self._config.node.key_file, {}))
        self._store = Store(self._config.node.data_dir / "store")
        self._ledger: Ledger | None = None
        self._log = log
        self._child = Child(
            [sys.executable, "-P", "-m", "node.cli", "serve", "--config", str(settings)], log, environment=environment
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def await_start(self) -> None:
        """Wait until it takes studies.

        Raises
        ------
        NodeFailedError
            If it ends, or does not answer in time.
        """
        address = node_address(self._config.receive.port)
        deadline = time.monotonic() + _START_S
        while not _listens(address) or not echo(address).succeeded:
            self.check_alive()
            if time.monotonic() > deadline:
                raise NodeFailedError(f"the node does not answer after {_START_S:.0f} s; see {self._log}")
            time.sleep(0.2)
        self._ledger = Ledger(self._config.node.data_dir / "ledger.sqlite")

    def check_alive(self) -> None:
        """Raise `NodeFailedError` with its last words if it has ended."""
        status = self._child.poll()
        if status is not None:
            raise NodeFailedError(f"the node ended with status {status}: {self._last_words()}")

    def _last_words(self) -> str:
        """Return what the node wrote last for people: its log's own lines are for machines."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        spoken = [line for line in lines if line.strip() and not line.startswith("{")]
        return spoken[-1].removeprefix("overread: ") if spoken else f"see {self._log}"

    def status(self, study_uid: str) -> StudyStatus | None:
        """Return what the node knows of a study."""
        return self._ledger.status(self._pseudonym(study_uid)) if self._ledger else None

    def verify(self, study_uid: str, seg: Path, sr: Path, images: Mapping[str, Path]) -> None:
        """Check once more what came back, against what the node read and the images in the PACS.

        Parameters
        ----------
        study_uid
            The study.
        seg, sr
            Its results as the PACS has them.
        images
            The study's image files by SOP Instance UID.

        Raises
        ------
        node.dicom.reasons.Refused
            If they are not what they should be.
        """
        reading = self._reading(study_uid)
        by_pseudonym = {self._pseudonym(uid): path for uid, path in images.items()}
        check_files(
            seg,
            sr,
            [by_pseudonym[uid] for uid in reading.sop_instance_uids],
            reading=reading,
            liver=LabelMap.from_bytes(self._store.get(reading.labels_key)),
            lesions=LabelMap.from_bytes(self._store.get(reading.lesions_key)),
        )

    def _reading(self, study_uid: str) -> Reading:
        if self._ledger is None:
            raise NodeFailedError("the node has not started")
        key = self._ledger.latest_reading(self._pseudonym(study_uid))
        return Reading.model_validate_json(self._store.get(key))

    def _pseudonym(self, uid: str) -> str:
        return str(self._pseudonyms.uid(uid))

    def stop(self) -> None:
        """End it; it is gone when this returns."""
        if self._ledger:
            self._ledger.close()
        self._child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def node_address(port: int) -> Destination:
    """Return the node of the demonstration as its PACS knows it."""
    return Destination(ae_title=_NODE_AE_TITLE, host="127.0.0.1", port=port, calling_ae_title=AE_TITLE)


def open_pacs(kind: PacsKind, folder: Path, peer: Destination) -> Pacs:
    """Start a PACS.

    Parameters
    ----------
    kind
        "auto": Orthanc if the machine has it and it starts, else the built-in one.
    folder
        Where it keeps everything.
    peer
        The node.

    Raises
    ------
    OrthancFailedError
        If Orthanc is asked for and is not there or does not start.
    """
    program = None if kind == "built-in" else find_orthanc()
    if program is not None:
        try:
            return OrthancPacs(program, folder / "orthanc", peer)
        except OrthancFailedError:
            if kind == "orthanc":
                raise
    elif kind == "orthanc":
        raise OrthancFailedError("this machine has no Orthanc")
    return BuiltInPacs(folder / "pacs", peer)


def _settings(port: int, pacs: Destination) -> str:
    """Return the node's settings file. JSON's way of quoting text is also TOML's."""
    sections: Sequence[tuple[str, Mapping[str, object]]] = (
        ("[node]", {"ae_title": _NODE_AE_TITLE, "data_dir": "data", "key_file": "overread.key", "log_format": "json"}),
        ("[receive]", {"host": "127.0.0.1", "port": port, "processes": 1, "low_water_mb": 200}),
        ("[gather]", {"quiet_seconds": QUIET_S}),
        ("[[destination]]", {"name": "demo", "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}),
    )
    lines = []
    for section, values in sections:
        lines += [section, *(f"{name} = {json.dumps(value)}" for name, value in values.items()), ""]
    return "\n".join(lines)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the node's environment: nothing of a real node's settings, or the demonstration would work on its data."""
    kept = {name: value for name, value in own.items() if not _is_setting(name) and name != KEY_VARIABLE}
    # The node must be this one, installed or not, wherever the demonstration is started.
    root = str(Path(node.__file__).parents[1])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (root, own.get("PYTHONPATH"))))}


def _is_setting(name: str) -> bool:
    return name.startswith(ENVIRONMENT_PREFIX) and "__" in name and not name.startswith(_KEPT_SECTION)


def _listens(address: Destination) -> bool:
    try:
        with socket.create_connection((address.host, address.port), timeout=1.0):
            return True
    except OSError:
        return False
