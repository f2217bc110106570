"""From the last image to the result: how long a study takes, step by step, and what the node adds to the networks.

    overread's turnaround  = last C-STORE confirmed  ->  SEG and SR stored in the PACS, less the quiet time
    peer, same run         = the same networks on the same study with nothing around them: read by SimpleITK, segmented
                             in one warm process, nothing written

Their ratio is the price of being a node: durability, pseudonyms, reports, checks and delivery. The limit is 1.

Usage: python -m validation.benchmarks.turnaround [--study DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

from models.manifest import Manifest, load
from models.weights import default_directory, verify

QUIET_S = 2.0
_PEER = "SimpleITK + OpenVINO on the same networks"


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True, metavar="DIR", help="folder of one CT series")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    files = sorted(path for path in options.study.rglob("*") if path.is_file())
    total, status = node_turnaround(files)
    bare, network = peer(options.study)
    steps = {name: seconds for name, seconds in status["seconds"].items() if ": " not in name}
    pure = sum(seconds for name, seconds in status["seconds"].items() if name.startswith("infer: infer_"))
    figures = {
        "images": len(files),
        "turnaround_s": round(total, 1),
        "steps_s": steps,
        "networks_s": round(pure, 1),
        "overhead_over_networks_s": round(total - pure, 1),
        "peer": _PEER,
        "peer_s": round(bare, 1),
        "peer_networks_s": round(network, 1),
        "ratio_to_peer": round(total / bare, 2),
        "limit": 1.0,
        "cores": os.cpu_count(),
    }
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:>26}  {value}")
    return 0


def node_turnaround(files: Sequence[Path]) -> tuple[float, dict[str, Any]]:
    """Send a study to a node of its own; return the seconds from the last image to both results, and its status."""
    with tempfile.TemporaryDirectory(prefix="overread-benchmark-") as name, _pacs() as (arrived, pacs_port):
        folder = Path(name)
        port = _free_port()
        settings = folder / "overread.toml"
        settings.write_text(
            f'[node]\ndata_dir = "data"\nkey_file = "site.key"\nlog_format = "json"\n'
            f"[receive]\nport = {port}\nlow_water_mb = 100\n[gather]\nquiet_seconds = {QUIET_S}\n"
            f'[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs_port}\n'
        )
        command = [sys.executable, "-m", "node.cli"]
        subprocess.run([*command, "key", str(folder / "site.key")], check=True, stdout=subprocess.DEVNULL)
        with (folder / "log").open("wb") as log:
            node = subprocess.Popen([*command, "serve", "--config", str(settings)], stderr=log)
        try:
            _wait_for_port(port, node)
            _send(files, port)
            sent = time.monotonic()
            if not arrived.wait(1800):
                raise RuntimeError(f"no result came: {(folder / 'log').read_text()[-2000:]}")
            total = time.monotonic() - sent - QUIET_S
            study = dcmread(files[0], stop_before_pixels=True).StudyInstanceUID
            time.sleep(1)
            told = subprocess.run(
                [*command, "status", study, "--json", "--config", str(settings)], check=True, capture_output=True
            )
            return total, json.loads(told.stdout)
        finally:
            node.send_signal(signal.SIGTERM)
            node.wait(60)


def peer(study: Path) -> tuple[float, float]:
    """Run the same networks with nothing around them; return the seconds in all, and those in the networks."""
    manifest = load("ct_liver_lesions")
    run, seconds = _bare_engine(manifest)
    started = time.monotonic()
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(_folder_of_images(study))))
    image = reader.Execute()
    hu = SimpleITK.GetArrayFromImage(image).astype(np.int16)
    axes = np.asarray(image.GetDirection()).reshape(3, 3)[:, ::-1]
    affine = np.eye(4)
    affine[:3, :3] = axes * np.asarray(image.GetSpacing())[::-1]
    affine[:3, 3] = image.GetOrigin()
    manifest.segmenter()(hu, affine, run, lambda *_: None)
    return time.monotonic() - started, sum(seconds)


def _bare_engine(manifest: Manifest) -> tuple[Any, list[float]]:
    """Return a function that runs a network in OpenVINO, warm, and the list that it writes its seconds to."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would call home on import
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    compiled = {
        name: core.compile_model(core.read_model(data), "CPU")
        for name, data in verify(default_directory(), manifest).items()
    }
    seconds: list[float] = []

    def run(network: str, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        started = time.monotonic()
        result: NDArray[np.float32] = compiled[network](batch)[0].copy()
        seconds.append(time.monotonic() - started)
        return result

    return run, seconds


def _folder_of_images(study: Path) -> Path:
    return next(path for path in sorted(study.rglob("*")) if path.is_file()).parent


@contextmanager
def _pacs() -> Iterator[tuple[threading.Event, int]]:
    """Run a Storage SCP; the event is set once a SEG and an SR came."""
    kinds: set[str] = set()
    arrived = threading.Event()

    def store(event: Any) -> int:
        kinds.add(str(event.dataset.Modality))
        if kinds >= {"SEG", "SR"}:
            arrived.set()
        return 0x0000

    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield arrived, server.server_address[1]
    finally:
        server.shutdown()


def _send(files: Sequence[Path], port: int) -> None:
    images = [dcmread(path) for path in files]
    ae = AE(ae_title="BENCHMARK")
    for sop_class, syntax in {(i.SOPClassUID, i.file_meta.TransferSyntaxUID) for i in images}:
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", port)
    try:
        for image in images:
            if association.send_c_store(image).get("Status") != 0x0000:
                raise RuntimeError("the node did not take an image")
    finally:
        association.release()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, node: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and node.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the node did not start")


if __name__ == "__main__":
    sys.exit(main())
