"""Log lines: one event with codes, counts and pseudonyms; never an identity.

Third-party loggers are kept at warnings: pynetdicom and pydicom would write names and identifiers at lower levels.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

_QUIET = ("pydicom", "pynetdicom", "highdicom", "dbos", "sqlalchemy", "PIL", "py.warnings")


def configure_logs(style: Literal["console", "json"], level: str) -> None:
    """Set up logging of this process, to standard error.

    Parameters
    ----------
    style
        ``json`` for one JSON object a line.
    level
        The least that is logged: debug, info, warning, error.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[_without_foreign_text, renderer],
        )
    )
    logging.captureWarnings(capture=True)  # Python's own warnings go to stderr otherwise, and pydicom's quote values
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_foreign_text(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Drop what libraries wrote: their warnings may quote attribute values. Their name and level remain."""
    record = event.get("_record")
    if record is not None and record.name.startswith(_QUIET):
        event["event"] = f"{record.name}: message withheld"
        event.pop("exc_info", None)
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event
