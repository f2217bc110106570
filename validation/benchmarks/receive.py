"""How fast objects are received, beside the receivers that everybody knows.

    python -m validation.benchmarks.receive [--slices 100] [--associations 1 4 8] [--processes 2]

DCMTK's storescu sends the same synthetic CT slices (512 x 512, 0.5 MB) over 1, 4 and 8 associations at once to this
node's receivers, to DCMTK's `storescp --fork` and, if it is installed, to Orthanc: one after the other, on the same
disk. Rates depend on the machine and on what else it does; the ratio to storescp does much less. Note what is compared:
this node syncs each file and its folder to disk before it answers; storescp syncs nothing.

Prints a line an outcome, then all of it as JSON. What is missing is named, not left out in silence.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

_STORESCU, _STORESCP, _ECHOSCU = (f"/usr/bin/{tool}" for tool in ("storescu", "storescp", "echoscu"))
_ORTHANC = "/usr/sbin/Orthanc"
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}  # DCMTK waits for delayed acknowledgements without


def write_slices(folder: Path, count: int) -> None:
    """Write synthetic CT slices of noise, each its own instance."""
    folder.mkdir()
    rng = np.random.default_rng(count)
    study, series = generate_uid(), generate_uid()
    for number in range(count):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.PatientName, dataset.PatientID, dataset.Modality = "PHANTOM^BENCHMARK", "PHANTOM", "CT"
        dataset.InstanceNumber = number + 1
        dataset.Rows = dataset.Columns = 512
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.PixelData = rng.integers(-1000, 1000, (512, 512), dtype=np.int16).tobytes()
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def overread(root: Path, port: int, processes: int) -> list[str]:
    """Return the command that runs this node's receivers until its standard input ends."""
    settings = {"root": str(root), "low_water_bytes": 0, "host": "127.0.0.1", "port": port}
    return [sys.executable, "-m", "node.receive", json.dumps(settings), "--processes", str(processes)]


def storescp(root: Path, port: int) -> list[str]:
    """Return the command that runs DCMTK's receiver, a process an association."""
    return [_STORESCP, "--fork", "--accept-all", "--output-directory", str(root), str(port)]


def orthanc(root: Path, port: int) -> list[str]:
    """Return the command that runs Orthanc with its SQLite index."""
    configuration = root / "orthanc.json"
    settings = {
        "StorageDirectory": str(root / "storage"),
        "IndexDirectory": str(root / "index"),
        "DicomPort": port,
        "HttpPort": free_port(),
        "RemoteAccessAllowed": False,
        "DicomCheckCalledAet": False,
    }
    configuration.write_text(json.dumps(settings))
    return [_ORTHANC, str(configuration)]


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a receiver while the block runs, from the moment when it answers a C-ECHO."""
    process = subprocess.Popen(
        command, env=_ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 60
        while subprocess.run([_ECHOSCU, "127.0.0.1", str(port)], check=False, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=60)


def send_s(folders: list[Path], port: int) -> float:
    """Send each folder over an association of its own, all at once; return the seconds until the last is through."""
    start = time.monotonic()
    senders = [
        subprocess.Popen(
            [_STORESCU, "--max-pdu", "131072", "--scan-directories", "127.0.0.1", str(port), str(folder)],
            env=_ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for folder in folders
    ]
    if any(sender.wait() for sender in senders):
        raise RuntimeError("a sender was refused")
    return time.monotonic() - start


def measure(name: str, folders: list[Path], slices: int, processes: int) -> float:
    """Return the objects a second that one receiver took."""
    commands: dict[str, Callable[[Path, int], list[str]]] = {
        "overread": partial(overread, processes=processes),
        "storescp": storescp,
        "orthanc": orthanc,
    }
    with tempfile.TemporaryDirectory() as temporary:
        root, port = Path(temporary), free_port()
        with running(commands[name](root, port), port):
            return len(folders) * slices / send_s(folders, port)


def main() -> int:
    """Measure what is there, name what is not."""
    parser = argparse.ArgumentParser(description="How fast objects are received.")
    parser.add_argument("--slices", type=int, default=100, help="an association")
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--processes", type=int, default=2, help="of this node's receiver")
    arguments = parser.parse_args()
    missing = [path for path in (_STORESCU, _STORESCP, _ECHOSCU, _ORTHANC) if not Path(path).exists()]
    for path in missing:
        print(f"missing: {path}")
    if set(missing) - {_ORTHANC}:
        print("not measured: DCMTK is the yardstick (Debian: apt-get install dcmtk)")
        return 1
    names = ["storescp", "overread"] + ["orthanc"] * (_ORTHANC not in missing)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / str(number) for number in range(max(arguments.associations))]
        for folder in folders:
            write_slices(folder, arguments.slices)
        for associations in arguments.associations:
            rates = {
                name: measure(name, folders[:associations], arguments.slices, arguments.processes) for name in names
            }
            for name, rate in rates.items():
                ratio = rate / rates["storescp"]
                results.append({"receiver": name, "associations": associations, "objects_per_s": rate, "ratio": ratio})
                print(f"{name:9} {associations:2} associations: {rate:7.1f} objects/s, {ratio:.2f} of storescp")
    print(
        json.dumps(
            {
                "benchmark": "receive",
                "slices": arguments.slices,
                "processes": arguments.processes,
                "cpus": os.cpu_count(),
                "missing": missing,
                "results": results,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
