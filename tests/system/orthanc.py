"""Orthanc as a hospital's PACS: routes stable CT studies by itself, and takes results back."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.net import Destination
from tests.node.running import free_port

PROGRAM = Path("/usr/sbin/Orthanc")

# What an administrator of Orthanc writes to route by itself. The compose file mounts the same one.
ROUTE = Path(__file__).resolve().parents[2] / "docker" / "route.lua"


@dataclass
class Orthanc:
    """A running Orthanc."""

    http: int
    dicom: int
    folder: Path

    @property
    def destination(self) -> Destination:
        return Destination(ae_title="ORTHANC", host="127.0.0.1", port=self.dicom)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def file(self, instance: str) -> bytes:
        url = f"http://127.0.0.1:{self.http}/instances/{instance}/file"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())

    def series(self, modality: str) -> list[dict[str, Any]]:
        every = self.get("/series?expand")
        return [series for series in every if series["MainDicomTags"]["Modality"] == modality]


@contextmanager
def orthanc(folder: Path, node: Destination) -> Iterator[Orthanc]:
    """Run Orthanc while the block runs."""
    if not PROGRAM.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Orthanc is not installed: make system-test")
    running = Orthanc(free_port(), free_port(), folder)
    folder.mkdir()
    settings = {
        "Name": "PACS of a test",
        "StorageDirectory": str(folder / "database"),
        "IndexDirectory": str(folder / "database"),
        "Plugins": [],
        "LuaScripts": [str(ROUTE)],
        "StableAge": 3,
        "HttpPort": running.http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": running.dicom,
        # Orthanc cannot be bound to one interface: it is told to know nobody but the peers on this machine.
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "UnknownSopClassAccepted": True,
        "DicomModalities": {
            "overread": [node.ae_title, node.host, node.port],
            "scanner": ["SCANNER", "127.0.0.1", free_port()],
        },
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([str(PROGRAM), str(path)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                running.get("/system")
                break
            except OSError:
                assert process.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "Orthanc did not start"
                time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(20)
