"""Start a real node as its own process, on loopback, with a PACS to answer to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from node.config import load_config
from node.identity import create_key_file
from node.ledger import StudyStatus
from node.net import Destination, send
from node.serve import status

START_S = 90.0


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """A node's settings, data and log, over as many lives as a test gives it."""

    folder: Path
    settings: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    _said: int = 0

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def address(self) -> Destination:
        return Destination(ae_title="OVERREAD", host="127.0.0.1", port=self.port, calling_ae_title="PACS")

    def start(self, *, die_at: str = "") -> subprocess.Popen[bytes]:
        """Start the node's process."""
        program = ["-m", "tests.node.dying_node", die_at] if die_at else ["-m", "node.cli", "serve", "--config"]
        environment = {**os.environ, **self.environment}
        self._said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *program, str(self.settings)], stderr=log, stdout=log, env=environment
            )

    def wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the node listens; fail with its log if it ends before.

        A receiver of a node that was killed a moment ago may still answer on the port: the node itself has to say so.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"the node ended with {process.returncode}:\n{self.log.read_text()[-3000:]}")
            if b'"node.ready"' in self.log.read_bytes()[self._said :]:
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                    return
            time.sleep(0.1)
        raise AssertionError(f"the node was not ready in {START_S} s:\n{self.log.read_text()[-3000:]}")

    def status(self, study_instance_uid: str) -> StudyStatus | None:
        return status(load_config(self.settings, {}), study_instance_uid)

    def wait_for(self, study_instance_uid: str, *states: str, seconds: float = 120.0) -> StudyStatus:
        """Wait until a study is in one of these states."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.status(study_instance_uid)
            if found and found.state.value in states:
                return found
            time.sleep(0.2)
        found = self.status(study_instance_uid)
        raise AssertionError(f"{found.as_text() if found else 'never came'}\n{self.log.read_text()[-3000:]}")

    def send(self, paths: Sequence[Path]) -> None:
        """Send images to the node; every one must be confirmed."""
        answers = send(paths, self.address)
        assert all(answer.succeeded for answer in answers), answers


def make_site(folder: Path, model: Path, destinations: dict[str, Destination], **receive: object) -> Site:
    """Write the settings of a node that runs a test model."""
    port = free_port()
    create_key_file(folder / "site.key")
    lines = [
        "[node]",
        'data_dir = "data"',
        'key_file = "site.key"',
        'log_format = "json"',
        "[receive]",
        f"port = {port}",
        "processes = 1",
        "low_water_mb = 100",
        *(f"{name} = {json.dumps(value)}" for name, value in receive.items()),
        "[gather]",
        "quiet_seconds = 1",
        "[inference]",
        f"model = {json.dumps(str(model))}",
        f"weights_dir = {json.dumps(str(model.parent))}",
        'engine = "onnxruntime"',
        "threads = 1",
    ]
    for name, to in destinations.items():
        lines += [
            "[[destination]]",
            f'name = "{name}"',
            f'ae_title = "{to.ae_title}"',
            f'host = "{to.host}"',
            f"port = {to.port}",
        ]
    settings = folder / "overread.toml"
    settings.write_text("\n".join(lines) + "\n")
    return Site(folder, settings, port)


@contextmanager
def running(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """Run the node while the block runs, and stop it as an administrator would."""
    process = site.start()
    try:
        site.wait_ready(process)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError("the node did not stop within 30 s of SIGTERM") from None


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition, failing in the end."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)
