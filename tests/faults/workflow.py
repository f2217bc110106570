"""Controls of the work flow and of what it keeps: workflow, durable, registrar, serve, ledger, store, logs."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from sqlalchemy import update

from node import durable, logs, registrar, serve, workflow
from node.ledger import Ledger, ResultState, StudyStatus
from node.ledger.tables import results
from node.store import Store
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-120", "a study that fails ends without a state and a reason")
def endings_unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow.Workflow, "_named_ending", lambda *_: contextlib.suppress(Exception))


@switches_off("SRS-121", "a node that starts again does not know the work that it left")
def work_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    original = durable.dbos_config
    starts = iter(range(1, 1000))

    def forgetful(config: Any) -> Any:
        return {**original(config), "executor_id": f"overread-{next(starts)}"}

    replace_everywhere(monkeypatch, original, forgetful)


@switches_off("SRS-123", "a study is read at once, while its images still arrive")
def no_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Ledger.quiet_studies
    monkeypatch.setattr(Ledger, "quiet_studies", lambda self, _: original(self, -1e9))


@switches_off("SRS-126", "the status leaves out reasons, images and results")
def status_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StudyStatus, "as_text", lambda self: f"study      {self.study}\nstate      {self.state.value}")


@switches_off("SRS-129", "the node's own results open their study again")
def own_results_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Ledger, "set_aside_instance", lambda self, name, _, study="": self.register({name: study or "study"})
    )


@switches_off("SRS-130", "results of an earlier reading stay owed")
def never_superseded(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Ledger.owe

    def owe(self: Ledger, *arguments: Any) -> None:
        original(self, *arguments)
        with self._engine.begin() as connection:
            connection.execute(
                update(results).where(results.c.state == ResultState.SUPERSEDED).values(state=ResultState.OWED)
            )

    monkeypatch.setattr(Ledger, "owe", owe)


@switches_off("SRS-131", "the text of an error is kept in the record of its step")
def texts_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    original = durable._encode

    def wordy(value: object) -> dict[str, str]:
        return {"$error": repr(value)} if type(value) in {ValueError, KeyError, RuntimeError} else original(value)

    monkeypatch.setattr(durable, "_encode", wordy)


@switches_off("SRS-133", "bytes that changed on the disk are returned as if they were those that were put")
def any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "get", lambda self, key: self.path(key).read_bytes())


@switches_off("SRS-137", "an object under a used UID is read like any other")
def conflicts_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar, "is_conflict", always(False))


@switches_off("SRS-138", "two nodes may work on one data folder")
def no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_sole_user", lambda _: contextlib.nullcontext())


@switches_off("SRS-148", "what libraries write is logged with its text")
def foreign_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def passed_on(logger: object, method: str, event: Any) -> Any:
        event.pop("_record", None)
        event.pop("_from_structlog", None)
        return event

    monkeypatch.setattr(logs, "_without_foreign_text", passed_on)
