"""Read and write the ledger. Only `node.workflow` (and the registrar it starts) writes; everything else asks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, bindparam, create_engine, event, func, select, update
from sqlalchemy.dialects.sqlite import insert

from node.dicom.reasons import Note, Reason
from node.ledger.states import InstanceState, ResultState, StudyState
from node.ledger.status import InstanceCount, ResultStatus, StudyStatus
from node.ledger.tables import instances, metadata, readings, results, studies

_CHUNK = 500  # SQLite's limit on variables is 999 in old builds


class Ledger:
    """What happened to every instance, study and result.

    Parameters
    ----------
    path
        SQLite file; made if need be. WAL, and every commit on disk before the call returns.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine: Engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _durable)
        metadata.create_all(self._engine)

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    # ---- instances

    def known(self, names: Sequence[str]) -> set[str]:
        """Return those of the inbox names that are already registered."""
        found: set[str] = set()
        with self._engine.connect() as connection:
            for start in range(0, len(names), _CHUNK):
                chunk = names[start : start + _CHUNK]
                found.update(connection.scalars(select(instances.c.name).where(instances.c.name.in_(chunk))))
        return found

    def register(self, arrived: Mapping[str, str]) -> None:
        """Record new instances as waiting, and that their studies grew.

        Parameters
        ----------
        arrived
            Inbox name to pseudonymous study UID.
        """
        now = time.time()
        rows = [
            {"name": n, "study": s, "state": InstanceState.WAITING, "registered_at": now} for n, s in arrived.items()
        ]
        grown = [
            {"study": s, "state": StudyState.GATHERING, "first_arrival": now, "last_arrival": now, "updated_at": now}
            for s in set(arrived.values())
        ]
        with self._engine.begin() as connection:
            for start in range(0, len(rows), _CHUNK):
                connection.execute(insert(instances).on_conflict_do_nothing(), rows[start : start + _CHUNK])
            if grown:
                statement = insert(studies)
                # A study under way keeps its state: the running reading ends first, then the quiet time starts it anew.
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["study"], set_={"last_arrival": now, "updated_at": now}
                    ),
                    grown,
                )

    def touch(self, names: Iterable[str]) -> None:
        """Record that the studies of these instances are still being sent: their quiet time starts again."""
        now = time.time()
        with self._engine.begin() as connection:
            for name in names:
                study = select(instances.c.study).where(instances.c.name == name).scalar_subquery()
                connection.execute(
                    update(studies)
                    .where(studies.c.study == study, studies.c.state == StudyState.GATHERING)
                    .values(last_arrival=now)
                )

    def quarantine_instance(self, name: str, note: Note, study: str = "") -> None:
        """Record an instance that cannot be used, with its reason."""
        self._put_instance(name, study, InstanceState.QUARANTINED, note)

    def set_aside_instance(self, name: str, note: Note, study: str = "") -> None:
        """Record an instance that needs no reading (for example the node's own result), without opening its study."""
        self._put_instance(name, study, InstanceState.SET_ASIDE, note)

    def _put_instance(self, name: str, study: str, state: InstanceState, note: Note) -> None:
        row = {"state": state, "reason": note.reason.value, "text": note.text, "study": study}
        with self._engine.begin() as connection:
            connection.execute(
                insert(instances)
                .values(name=name, registered_at=time.time(), **row)
                .on_conflict_do_update(index_elements=["name"], set_=row)
            )

    def instances_of(self, study: str) -> list[str]:
        """Return the inbox names of a study's usable instances, sorted."""
        statement = (
            select(instances.c.name)
            .where(instances.c.study == study, instances.c.state != InstanceState.QUARANTINED)
            .where(instances.c.reason != Reason.OWN_RESULT)
            .order_by(instances.c.name)
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(statement))

    def settle(self, used: Iterable[str], set_aside: Mapping[str, Note]) -> None:
        """Record which instances a reading is made from, and why the others were set aside."""
        rows = [{"key": name, "state": InstanceState.IN_RESULT, "reason": "", "text": ""} for name in used]
        rows += [
            {"key": name, "state": InstanceState.SET_ASIDE, "reason": note.reason.value, "text": note.text}
            for name, note in set_aside.items()
        ]
        statement = update(instances).where(instances.c.name == bindparam("key"))
        with self._engine.begin() as connection:
            if rows:
                connection.execute(statement, rows)

    # ---- studies

    def quiet_studies(self, quiet_seconds: float) -> list[str]:
        """Return the studies that grew since their last reading began, and that have been quiet long enough."""
        statement = select(studies.c.study).where(
            studies.c.last_arrival > studies.c.began_at,
            studies.c.last_arrival <= time.time() - quiet_seconds,
            studies.c.state.not_in([StudyState.READING, StudyState.REPORTING]),
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(statement))

    def begin(self, study: str, snapshot: str, last_arrival: float) -> int:
        """Record that a reading begins with this snapshot of a study's instances; return the number of the attempt."""
        with self._engine.begin() as connection:
            attempt = int(connection.scalar(select(studies.c.attempt).where(studies.c.study == study)) or 0) + 1
            connection.execute(
                update(studies)
                .where(studies.c.study == study)
                .values(
                    snapshot=snapshot,
                    began_at=last_arrival,
                    attempt=attempt,
                    seconds={},
                    **{**_fresh(StudyState.READING), "step": "queued"},
                )
            )
        return attempt

    def begun(self) -> list[tuple[str, int, str]]:
        """Return study, attempt and snapshot of every reading that began and has no end recorded."""
        statement = select(studies.c.study, studies.c.attempt, studies.c.snapshot).where(
            studies.c.state.in_([StudyState.READING, StudyState.REPORTING])
        )
        with self._engine.connect() as connection:
            return [(row.study, row.attempt, row.snapshot) for row in connection.execute(statement)]

    def reopen(self, study: str) -> bool:
        """Let a study that was refused, quarantined or failed be read again; return False if there is none such."""
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(studies)
                .where(
                    studies.c.study == study,
                    studies.c.state.in_([StudyState.REFUSED, StudyState.QUARANTINED, StudyState.FAILED]),
                )
                .values(began_at=0.0, **_fresh(StudyState.GATHERING))
            )
        return changed.rowcount == 1

    def last_arrival(self, study: str) -> float:
        """Return when the study last grew, in seconds since the epoch."""
        with self._engine.connect() as connection:
            return float(connection.scalar(select(studies.c.last_arrival).where(studies.c.study == study)) or 0.0)

    def advance(self, study: str, state: StudyState, note: Note | None = None) -> None:
        """Record a study's new state."""
        with self._engine.begin() as connection:
            connection.execute(update(studies).where(studies.c.study == study).values(**_fresh(state, note)))

    def progress(self, study: str, step: str, done: int = 0, total: int = 0) -> None:
        """Record what is being done for a study now."""
        with self._engine.begin() as connection:
            connection.execute(
                update(studies)
                .where(studies.c.study == study)
                .values(step=step, done=done, total=total, updated_at=time.time())
            )

    def took(self, study: str, seconds: Mapping[str, float]) -> None:
        """Record how long steps took, in seconds."""
        with self._engine.begin() as connection:
            before = connection.scalar(select(studies.c.seconds).where(studies.c.study == study)) or {}
            connection.execute(
                update(studies).where(studies.c.study == study).values(seconds={**before, **dict(seconds)})
            )

    # ---- readings and results

    def add_reading(self, reading_uid: str, patient: str, study: str, key: str, chosen: str) -> None:
        """Record a reading. The first record of a reading stands: a retried step changes nothing."""
        with self._engine.begin() as connection:
            connection.execute(
                insert(readings)
                .values(
                    reading_uid=reading_uid, patient=patient, study=study, key=key, chosen=chosen, made_at=time.time()
                )
                .on_conflict_do_nothing()
            )

    def reading(self, reading_uid: str) -> tuple[str, float]:
        """Return the store key of a reading, and when it was made (seconds since the epoch).

        Raises
        ------
        KeyError
            If there is no such reading.
        """
        with self._engine.connect() as connection:
            row = connection.execute(
                select(readings.c.key, readings.c.made_at).where(readings.c.reading_uid == reading_uid)
            ).one_or_none()
        if row is None:
            raise KeyError(reading_uid)
        return row.key, row.made_at

    def latest_reading(self, study: str) -> str:
        """Return the store key of a study's last reading.

        Raises
        ------
        KeyError
            If the study has not been read.
        """
        statement = select(readings.c.key).where(readings.c.study == study).order_by(readings.c.made_at.desc()).limit(1)
        with self._engine.connect() as connection:
            found: str | None = connection.scalar(statement)
        if found is None:
            raise KeyError(study)
        return found

    def chosen(self, reading_uid: str) -> str:
        """Return the store key of the inbox names that a reading was made from.

        Raises
        ------
        KeyError
            If there is no such reading.
        """
        with self._engine.connect() as connection:
            found: str | None = connection.scalar(
                select(readings.c.chosen).where(readings.c.reading_uid == reading_uid)
            )
        if found is None:
            raise KeyError(reading_uid)
        return found

    def owe(self, reading_uid: str, study: str, keys: Mapping[str, str], destinations: Iterable[str]) -> None:
        """Record that these objects (kind to outbox key) are owed, and that earlier results of the study are not."""
        now = time.time()
        with self._engine.begin() as connection:
            connection.execute(
                update(results)
                .where(results.c.study == study, results.c.reading_uid != reading_uid)
                .values(state=ResultState.SUPERSEDED, updated_at=now)
            )
            for destination in destinations:
                for kind, key in keys.items():
                    connection.execute(
                        insert(results)
                        .values(
                            reading_uid=reading_uid,
                            kind=kind,
                            destination=destination,
                            study=study,
                            key=key,
                            state=ResultState.OWED,
                            updated_at=now,
                        )
                        .on_conflict_do_nothing()
                    )

    def owed(self, reading_uid: str, destination: str) -> dict[str, str]:
        """Return what is still owed of a reading to a destination: kind to outbox key."""
        statement = select(results.c.kind, results.c.key).where(
            results.c.reading_uid == reading_uid,
            results.c.destination == destination,
            results.c.state == ResultState.OWED,
        )
        with self._engine.connect() as connection:
            return {row.kind: row.key for row in connection.execute(statement)}

    def attempted(self, reading_uid: str, destination: str, kind: str, state: ResultState, text: str) -> None:
        """Record one attempt to deliver one result."""
        with self._engine.begin() as connection:
            connection.execute(
                update(results)
                .where(
                    results.c.reading_uid == reading_uid,
                    results.c.destination == destination,
                    results.c.kind == kind,
                )
                .values(state=state, text=text, attempts=results.c.attempts + 1, updated_at=time.time())
            )

    def result_states(self, reading_uid: str) -> list[ResultState]:
        """Return the state of every result of a reading at every destination."""
        with self._engine.connect() as connection:
            rows = connection.scalars(select(results.c.state).where(results.c.reading_uid == reading_uid))
            return [ResultState(state) for state in rows]

    def results(self) -> list[tuple[str, str, str, str]]:
        """Return kind, reading, study and outbox key of every result that was made, once each."""
        statement = select(results.c.kind, results.c.reading_uid, results.c.study, results.c.key).distinct()
        with self._engine.connect() as connection:
            return [(row.kind, row.reading_uid, row.study, row.key) for row in connection.execute(statement)]

    # ---- what people ask

    def status(self, study: str) -> StudyStatus | None:
        """Return everything known of a study, None if it never came."""
        counts = (
            select(
                instances.c.state, instances.c.reason, func.min(instances.c.text).label("text"), func.count().label("n")
            )
            .where(instances.c.study == study)
            .group_by(instances.c.state, instances.c.reason)
            .order_by(instances.c.state, instances.c.reason)
        )
        sent = select(results).where(results.c.study == study).order_by(results.c.updated_at, results.c.kind)
        with self._engine.connect() as connection:
            row = connection.execute(select(studies).where(studies.c.study == study)).one_or_none()
            if row is None:
                return None
            by_state = connection.execute(counts).all()
            delivered = connection.execute(sent).all()
        return StudyStatus(
            study=study,
            state=StudyState(row.state),
            reason=row.reason,
            text=row.text,
            step=row.step,
            done=row.done,
            total=row.total,
            quiet_for=max(0.0, time.time() - row.last_arrival),
            seconds=row.seconds,
            instances=tuple(
                InstanceCount(state=InstanceState(c.state), reason=c.reason, text=c.text, count=c.n) for c in by_state
            ),
            results=tuple(
                ResultStatus(
                    kind=r.kind,
                    destination=r.destination,
                    state=ResultState(r.state),
                    attempts=r.attempts,
                    text=r.text,
                )
                for r in delivered
            ),
        )


def _fresh(state: StudyState, note: Note | None = None) -> dict[str, Any]:
    """Return a study's columns on entering a state."""
    return {
        "state": state,
        "reason": note.reason.value if note else "",
        "text": note.text if note else "",
        "step": "",
        "done": 0,
        "total": 0,
        "updated_at": time.time(),
    }


def _durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
