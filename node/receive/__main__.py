"""Receivers as a program: ``python -m node.receive SETTINGS [--processes N]``.

SETTINGS is a `ReceiverSettings` as JSON. It receives until its standard input ends or SIGTERM comes: the end of that
pipe is also how a receiver process notices that the process that started it is gone.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from contextlib import AbstractContextManager
from typing import Any

import structlog
from pynetdicom import _config

from node.net import codes_only
from node.receive.inbox import Inbox
from node.receive.process import ReceiverProcesses, ReceiverSettings
from node.receive.server import Receiver, serve

log = structlog.get_logger("node.receive")


def _set_up_process(log_format: str) -> None:
    """Set what is only to be had process-wide, in a process that does nothing else.

    The unrestricted storage service takes objects of private and unknown storage classes too. It is a documented
    setting of pynetdicom, in spite of the module's name.
    """
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    console = log_format == "console"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False) if console else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    codes_only()


def _receive(settings: ReceiverSettings, processes: int, listener: int | None) -> AbstractContextManager[Any]:
    """Start what was asked for: processes that receive, or the receiver of such a process."""
    if processes:
        return ReceiverProcesses(settings, processes)
    receiver: Receiver = serve(
        Inbox(settings.root, settings.low_water_bytes),
        **settings.association,
        listener=None if listener is None else socket.socket(fileno=listener),
    )
    log.info("receiver.ready", pid=os.getpid(), ae_title=settings.ae_title, port=receiver.port)
    return receiver


def main(arguments: list[str] | None = None) -> int:
    """Receive until standard input ends or SIGTERM comes."""
    parser = argparse.ArgumentParser(prog="python -m node.receive", description="Receive DICOM objects into an inbox.")
    parser.add_argument("settings", type=ReceiverSettings.model_validate_json, help="ReceiverSettings as JSON")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--processes", type=int, default=0, help="receive in this many processes, each kept running")
    what.add_argument("--listener", type=int, help="number of an inherited listening socket")
    asked = parser.parse_args(arguments)
    _set_up_process(asked.settings.log_format)

    def end(*_: Any) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    if asked.listener is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our parent decides when we end
    with _receive(asked.settings, asked.processes, asked.listener):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    log.info("receiver.ended", pid=os.getpid())
    return 0


if __name__ == "__main__":
    sys.exit(main())
