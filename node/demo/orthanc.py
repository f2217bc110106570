"""Orthanc as the PACS of the demonstration: started on free ports with settings of its own, driven by its REST API."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from node.demo.children import Child, free_port
from node.demo.pacs import AE_TITLE, RESULT_MODALITIES, account
from node.net import Destination

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/orthanc/bin")
_START_S = 30.0
_TRIES = 3
_HOPELESS = 3  # objects refused, and none taken, after which the rest is not tried
_NODE = "node"
_USER = "demo"


class OrthancFailedError(RuntimeError):
    """Orthanc does not start, or does not do what it is told."""


def find_orthanc() -> Path | None:
    """Return the Orthanc program of this machine, or None."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES))
    found = shutil.which("Orthanc", path=places)
    return Path(found) if found else None


class OrthancPacs:
    """An Orthanc that lives as long as this object.

    Parameters
    ----------
    program
        The Orthanc program.
    folder
        Where it keeps its objects, settings and log.
    node
        The node, to which studies go and from which alone it takes objects.

    Raises
    ------
    OrthancFailedError
        If it does not start.

    Notes
    -----
    Orthanc listens on every interface; there is no setting to bind it to one. It is therefore told to serve nobody but
    the node at 127.0.0.1 (DICOM) and a password drawn for this run, from this machine (HTTP).
    """

    def __init__(self, program: Path, folder: Path, node: Destination) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._node = node
        self._password = secrets.token_urlsafe(24)
        self._own: set[str] = set()
        self._files: dict[str, dict[str, Path]] = {}
        for attempt in range(1, _TRIES + 1):
            self._dicom_port, self._http_port = free_port(), free_port()
            self._child = Child([str(program), str(self._write_settings())], folder / "orthanc.log")
            try:
                self._version = self._await_start()
            except BaseException as error:
                self._child.stop()
                # A port that was free may be taken by the time Orthanc asks for it: then once more with others.
                if attempt == _TRIES or not isinstance(error, OrthancFailedError):
                    raise
            else:
                return

    @property
    def name(self) -> str:
        """What it is, for the reader."""
        return f"Orthanc {self._version}"

    @property
    def address(self) -> Destination:
        """Where results are to be sent."""
        return Destination(ae_title=AE_TITLE, host="127.0.0.1", port=self._dicom_port)

    def _write_settings(self) -> Path:
        database = str(self._folder / "database")
        settings = {
            "Name": "Overread demonstration",
            "StorageDirectory": database,
            "IndexDirectory": database,
            "Plugins": [],
            "DicomAet": AE_TITLE,
            "DicomPort": self._dicom_port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": {_NODE: [self._node.ae_title, self._node.host, self._node.port]},
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {_USER: self._password},
            "HttpDescribeErrors": False,
        }
        path = self._folder / "orthanc.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(settings))
        return path

    def _await_start(self) -> str:
        """Wait until it answers; return its version."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise OrthancFailedError("Orthanc ended at once")
            try:
                return str(self._get("/system")["Version"])
            except (OSError, OrthancFailedError):
                time.sleep(0.1)
        raise OrthancFailedError(f"Orthanc does not answer after {_START_S:.0f} s")

    def store(self, files: Sequence[Path]) -> None:
        """Take files in, as from a CD."""
        for file in files:
            self._own.add(str(self._post("/instances", file.read_bytes())["ID"]))

    def route(self, study_uid: str) -> str:
        """Send a study to the node. See `node.demo.pacs.Pacs.route`."""
        study = self._study(study_uid)
        job = self._post(f"/modalities/{_NODE}/store", {"Resources": [study], "Synchronous": False})["ID"]
        while (state := self._get(f"/jobs/{job}")["State"]) in {"Pending", "Running", "Retry"}:
            time.sleep(0.2)
        return "" if state == "Success" else self._route_singly(study)

    def _route_singly(self, study: str) -> str:
        """Send object by object: a job ends at the first one that is refused, and does not say which it was."""
        instances = [instance["ID"] for instance in self._get(f"/studies/{study}/instances")]
        refused = 0
        for number, instance in enumerate(instances):
            if refused == number == _HOPELESS:
                return account(len(instances), len(instances))
            try:
                self._post(f"/modalities/{_NODE}/store", {"Resources": [instance], "Synchronous": True})
            except OrthancFailedError:
                refused += 1
        return account(refused, len(instances))

    def results(self, study_uid: str) -> tuple[Path, ...]:
        """Return the SEGs and SRs of a study that came from the node, as files."""
        kept = self._files.setdefault(study_uid, {})
        for series in self._get(f"/studies/{self._study(study_uid)}/series"):
            modality = series["MainDicomTags"].get("Modality")
            new = set(series["Instances"]) - self._own - kept.keys() if modality in RESULT_MODALITIES else set()
            for instance in sorted(new):
                file = self._folder / f"{instance}.dcm"
                file.write_bytes(self._request("GET", f"/instances/{instance}/file"))
                kept[instance] = file
        return tuple(kept.values())

    def _study(self, study_uid: str) -> str:
        """Return Orthanc's own name of a study."""
        found = [item["ID"] for item in self._post("/tools/lookup", study_uid.encode()) if item["Type"] == "Study"]
        if not found:
            raise OrthancFailedError("Orthanc has no such study")
        return str(found[0])

    def _get(self, path: str) -> Any:
        return json.loads(self._request("GET", path))

    def _post(self, path: str, body: bytes | dict[str, Any]) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return json.loads(self._request("POST", path, data))

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Ask for a resource. The connection is made anew: Orthanc closes idle ones at its own time."""
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=60)
        credentials = base64.b64encode(f"{_USER}:{self._password}".encode()).decode()
        try:
            connection.request(method, path, body, {"Authorization": f"Basic {credentials}"})
            response = connection.getresponse()
            answer = response.read()
        except http.client.HTTPException as error:
            raise OrthancFailedError(f"Orthanc does not answer {method}: {type(error).__name__}") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise OrthancFailedError(f"Orthanc answers {method} with {response.status}")
        return answer

    def stop(self) -> None:
        """End it; it is gone when this returns."""
        self._child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
