"""Receivers as processes of their own, kept running.

pynetdicom is bound by the interpreter's lock, so several processes receive on one port. They share one listening
socket, opened here: while a receiver that died is started again, its peers' connections wait in the socket's queue
instead of being refused, and no stranger can join in on the port.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from node.net import AETitle
from node.net.peers import LARGE_PDU, Seconds
from node.receive.inbox import Inbox

log = structlog.get_logger(__name__)

_BACKLOG = 128
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 30.0
_SETTLED_S = 60.0  # a receiver that lived this long did not die of its settings


class ReceiverSettings(BaseModel):
    """What a receiver needs to know. `node.receive.server.serve` explains the association's settings.

    Attributes
    ----------
    root
        The inbox's folder.
    low_water_bytes
        Free bytes below which nothing is accepted (0xA700).
    log_format
        Of the receiver's own log on standard error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    low_water_bytes: Annotated[int, Field(ge=0)] = 5 << 30
    ae_title: AETitle = "OVERREAD"
    host: str = "0.0.0.0"  # noqa: S104  a DICOM node is there to be reached; who may associate is `calling_ae_titles`
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    calling_ae_titles: tuple[AETitle, ...] = ()
    require_called_ae_title: bool = False
    maximum_associations: Annotated[int, Field(ge=1)] = 64
    association_timeout_s: Seconds = 30.0
    network_timeout_s: Seconds = 60.0
    maximum_pdu: Annotated[int, Field(ge=4096)] = LARGE_PDU
    log_format: Literal["json", "console"] = "json"

    @property
    def association(self) -> dict[str, Any]:
        """The keyword arguments of `serve`."""
        return self.model_dump(exclude={"root", "low_water_bytes", "log_format"})


class ReceiverProcesses:
    """Receivers on one port, each started again when it dies. They end with this process, however it ends.

    Parameters
    ----------
    settings
        What they receive, and where to.
    processes
        How many. 2 to 4: one process handles about as much as one core.

    Raises
    ------
    OSError
        If the address cannot be listened on.
    """

    def __init__(self, settings: ReceiverSettings, processes: int = 2) -> None:
        Inbox(settings.root, settings.low_water_bytes).tidy()
        self._settings = settings
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._listener = socket.create_server((settings.host, settings.port), backlog=_BACKLOG)
        self._port = int(self._listener.getsockname()[1])
        self._keepers = [
            threading.Thread(target=self._keep, args=(slot,), name=f"receiver-{slot}", daemon=True)
            for slot in range(processes)
        ]
        for keeper in self._keepers:
            keeper.start()

    @property
    def port(self) -> int:
        """The port that they listen on."""
        return self._port

    @property
    def pids(self) -> tuple[int, ...]:
        """The process IDs of those that run now."""
        with self._lock:
            return tuple(process.pid for process in self._running.values() if process.poll() is None)

    def stop(self, grace_s: float = 15.0) -> None:
        """End them: associations may end first, then what is left is killed.

        Parameters
        ----------
        grace_s
            Seconds until they are killed.
        """
        self._stopping.set()
        self._listener.close()
        with self._lock:
            running = list(self._running.values())
        for process in running:
            _let_go(process)
        end = time.monotonic() + grace_s
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("receiver.killed", pid=process.pid)
                process.kill()
        for keeper in self._keepers:
            keeper.join()

    def __enter__(self) -> ReceiverProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _keep(self, slot: int) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._lock:  # so that `stop` sees every process that was started
                if self._stopping.is_set():
                    return
                process = self._running[slot] = self._start()
            started = time.monotonic()
            status = process.wait()
            _let_go(process)
            if self._stopping.is_set():
                return
            lived_s = time.monotonic() - started
            pause_s = _FIRST_PAUSE_S if lived_s > _SETTLED_S else min(2 * pause_s, _LONGEST_PAUSE_S)
            log.error("receiver.died", pid=process.pid, status=status, lived_s=round(lived_s, 1), again_in_s=pause_s)
            self._stopping.wait(pause_s)

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        # The receiver ends when this pipe does, and the kernel closes it even if this process is killed.
        return subprocess.Popen(
            [sys.executable, "-m", "node.receive", self._settings.model_dump_json(), f"--listener={descriptor}"],
            stdin=subprocess.PIPE,
            pass_fds=(descriptor,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe that keeps a receiver going."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
