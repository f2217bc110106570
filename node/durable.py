"""Durable steps: how they are recorded, repeated and watched.

DBOS keeps what a step returned as JSON, with refusals as values of their own, and nothing pickled.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, Serializer

from node.config import Config
from node.dicom.reasons import Reason, Refused

_log = structlog.get_logger(__name__)

# Pinned: DBOS's default hashes the source, and any edit would strand the work that is under way. Raise it only when
# the steps of a workflow change their order or meaning, and drain before the update.
WORKFLOW_VERSION = "1"


class StepFailedError(RuntimeError):
    """An error that a step raised, as it was recorded: its type and place, no text that could hold an identity."""


class JsonSerializer(Serializer):
    """Plain JSON for arguments and results, with `Refused` and other errors as tagged objects."""

    def name(self) -> str:
        """Name that DBOS records beside each value."""
        return "overread_json"

    def serialize(self, data: Any) -> str:
        """Write a value.

        Raises
        ------
        TypeError
            If it holds anything but JSON values and errors: steps pass keys, not objects.
        """
        return json.dumps(data, default=_encode, separators=(",", ":"))

    def deserialize(cls, serialized_data: str) -> Any:  # noqa: N805  the base class names it so
        """Read a value."""
        return json.loads(serialized_data, object_hook=_decode)


def _encode(value: object) -> dict[str, str]:
    if isinstance(value, Refused):
        return {"$refused": value.reason.value, "text": value.text}
    if isinstance(value, BaseException):
        return {"$error": type(value).__name__}
    raise TypeError(f"a step passed a {type(value).__name__}; steps pass keys and plain values")


def _decode(value: dict[str, Any]) -> Any:
    if "$refused" in value:
        return Refused(Reason(value["$refused"]), value["text"])
    if "$error" in value:
        return StepFailedError(value["$error"])
    if value.keys() == {"args", "kwargs"}:
        return {"args": tuple(value["args"]), "kwargs": value["kwargs"]}  # DBOS joins the arguments to a tuple
    return value


def dbos_config(config: Config) -> DBOSConfig:
    """Return DBOS's settings for a single node: SQLite in the data folder, no network connection.

    The database is put into WAL mode here, which SQLite keeps in the file: 1.8 times the throughput of its default.
    """
    path = config.node.data_dir / "workflow.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return {
        "name": "overread",
        "system_database_url": f"sqlite:///{path}",
        "application_version": WORKFLOW_VERSION,
        "executor_id": "overread-0",
        "serializer": JsonSerializer(),
        "enable_otlp": False,
        "log_level": "WARNING",
    }


_Arguments = ParamSpec("_Arguments")
_Returned = TypeVar("_Returned")
_Method = Callable[Concatenate[Any, str, _Arguments], _Returned]


def step(method: _Method[_Arguments, _Returned]) -> _Method[_Arguments, _Returned]:
    """Make a method a durable step: what it returned or refused is recorded, and not done twice.

    Parameters
    ----------
    method
        Of an object whose ``rooms.ledger`` is the `node.ledger.Ledger`; its first argument is the study's pseudonym.
    """
    return DBOS.step(name=method.__name__)(_watched(method))


def step_retried_on(
    error: type[Exception],
) -> Callable[[_Method[_Arguments, _Returned]], _Method[_Arguments, _Returned]]:
    """Make a method a durable step that is tried three times where it raises this error."""

    def decorate(method: _Method[_Arguments, _Returned]) -> _Method[_Arguments, _Returned]:
        retried = DBOS.step(
            name=method.__name__,
            retries_allowed=True,
            max_attempts=3,
            interval_seconds=1.0,
            should_retry=lambda raised: isinstance(raised, error),
        )
        return retried(_watched(method))

    return decorate


def _watched(method: _Method[_Arguments, _Returned]) -> _Method[_Arguments, _Returned]:
    """Let the ledger show a step while it runs and how long it took; log its errors without their text."""
    name = method.__name__

    @wraps(method)
    def watched(self: Any, study: str, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Returned:
        self.rooms.ledger.progress(study, name)
        started = time.monotonic()
        try:
            result = method(self, study, *args, **kwargs)
        except Refused:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"{Path(frame.filename).stem}:{frame.lineno}" for frame in frames]
            _log.error("step.failed", study=study, step=name, error=type(error).__name__, at=places[-4:])
            raise
        seconds = round(time.monotonic() - started, 3)
        self.rooms.ledger.took(study, {name: seconds})
        _log.info("step.done", study=study, step=name, seconds=seconds)
        return result

    return watched
