"""Keep identities out of the logs of the DICOM libraries.

pynetdicom logs the SOP Instance UIDs of what it moves; its exceptions, and pydicom's warnings, quote values.
What is kept is where and how bad, never the text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import structlog
from pynetdicom import evt

log = structlog.get_logger(__name__)


class _CodesOnly(logging.Handler):
    """Hand a library's log record on as its place in the source, its level and the type of its exception."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        if error is None and isinstance(record.msg, BaseException):  # logger.exception(error), as pynetdicom does
            error = type(record.msg)
        log.log(
            record.levelno,
            "dicom.library",
            where=f"{record.module}:{record.lineno}",
            error=error.__name__ if error else None,
        )


def unlogged(event: Any) -> None:
    """Take pynetdicom's own handlers off an association: they write each PDU and message, with its UIDs, to the log.

    To be bound to `evt.EVT_CONN_OPEN`. The alternative, `_config.LOG_HANDLER_LEVEL`, would be process-wide.
    """
    for kind in (evt.EVT_DIMSE_RECV, evt.EVT_DIMSE_SENT, evt.EVT_PDU_RECV, evt.EVT_PDU_SENT):
        for handler, _ in list(event.assoc.get_handlers(kind)):
            if handler.__module__ == "pynetdicom._handlers":
                event.assoc.unbind(kind, handler)


def codes_only(loggers: Sequence[str] = ("pynetdicom", "pydicom", "py.warnings")) -> None:
    """Replace the text of these loggers' warnings and errors, and of Python's warnings, by codes in the whole process.

    For the entry point of a process, beside its other log settings.
    """
    logging.captureWarnings(capture=True)
    for name in loggers:
        logger = logging.getLogger(name)
        logger.handlers = [_CodesOnly()]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
