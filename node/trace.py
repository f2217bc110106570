"""Walk back from a result that was delivered, to everything in this node that it rests on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.audit import Event, HeadUnreadableError, Record, read_head, result_uid, verify
from node.audit.trail import plain
from node.auditing import existing_log, head_file
from node.config import Config
from node.dicom.findings import Reading
from node.ledger import Ledger, ResultState
from node.receive import Inbox
from node.store import ArtefactMissingError, Store
from qms.trace import Link, Ran

_BEFORE_IT_LEAVES = (
    (Event.RESULT_MADE, ""),
    (Event.RESULT_CHECKED, "content"),
    (Event.RESULT_REIDENTIFIED, ""),
    (Event.RESULT_CHECKED, "bytes"),
    (Event.RESULT_OWED, ""),
)
"""What must stand in the log before the result left, each with its stage."""

_ANSWERS = {
    ResultState.DELIVERED: Event.RESULT_SENT,
    ResultState.WARNED: Event.RESULT_WARNED,
    ResultState.REFUSED: Event.RESULT_REFUSED,
}


@dataclass(frozen=True)
class Trace:
    """The node's half of the walk.

    Attributes
    ----------
    links
        One a step.
    release
        What made the result, for the quality record's half.
    """

    links: tuple[Link, ...]
    release: Ran


@dataclass(frozen=True)
class _Ground:
    """Where the walk goes: the node's rooms, opened to read, and the records that are about the result."""

    ledger: Ledger
    store: Store
    outbox: Store
    inbox: Inbox
    uid: str
    kind: str
    reading_uid: str
    study: str
    about: list[Record] = field(default_factory=list)
    """Of this result, in order."""
    readings: list[Record] = field(default_factory=list)
    """``reading-made`` of its reading."""
    starts: list[Record] = field(default_factory=list)
    """``node-started`` of the release that made the reading."""


def trace(config: Config, uid: str) -> Trace | None:
    """Walk back from a result.

    Parameters
    ----------
    config
        The node's settings.
    uid
        SOP Instance UID of a SEG or SR, as the PACS has it.

    Returns
    -------
    Trace or None
        None if neither the audit log nor the outbox knows such a result.

    Raises
    ------
    node.config.ConfigError
        If no node has run with these settings.
    """
    log = existing_log(config)
    data = config.node.data_dir
    about = [record for record in _records(log.path) if record.facts.get("result") == uid]
    ledger = Ledger(data / "ledger.sqlite")
    try:
        found = _found_in_log(about) or _found_in_outbox(ledger, Store(data / "outbox"), uid)
        if found is None:
            return None
        kind, reading_uid, study = found
        made = [r for r in _records(log.path) if r.event == Event.READING_MADE and r.facts["reading"] == reading_uid]
        release = made[-1].facts["sources"] if made else ""
        starts = [r for r in _records(log.path) if r.event == Event.NODE_STARTED and r.facts["sources"] == release]
        ground = _Ground(
            ledger=ledger,
            store=Store(data / "store"),
            outbox=Store(data / "outbox"),
            inbox=Inbox(data / "inbox", 0),
            uid=uid,
            kind=kind,
            reading_uid=reading_uid,
            study=study,
            about=about,
            readings=made,
            starts=starts,
        )
        steps: dict[str, Callable[[_Ground], Link]] = {
            "result": _result,
            "reading": _reading,
            "images": _images,
            "release": _release,
            "steps": _steps,
            "delivery": _delivery,
        }
        links = [_audit(config), *(_tried(name, step, ground) for name, step in steps.items())]
        return Trace(tuple(links), _ran(ground))
    finally:
        ledger.close()


def _records(path: Path) -> Iterator[Record]:
    """Yield the records that can be read; what cannot is named by the link to the audit log."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                record = Record.parse(line.rstrip(b"\n"))
                if record.holds:
                    yield record


def _found_in_log(about: list[Record]) -> tuple[str, str, str] | None:
    if not about:
        return None
    facts = about[-1].facts
    return facts["kind"], facts["reading"], facts["study"]


def _found_in_outbox(ledger: Ledger, outbox: Store, uid: str) -> tuple[str, str, str] | None:
    """Find a result that the log does not know any more, by the files that were to leave."""
    for kind, reading_uid, study, key in ledger.results():
        with contextlib.suppress(OSError):
            if result_uid(outbox.path(key)) == uid:
                return kind, reading_uid, study
    return None


def _tried(name: str, step: Callable[[_Ground], Link], ground: _Ground) -> Link:
    try:
        return step(ground)
    except KeyError as error:  # also a missing artefact
        what = "a file of it is missing or damaged" if isinstance(error, ArtefactMissingError) else "it is missing"
        return Link(name, (), what)
    except OSError as error:
        return Link(name, (), f"it cannot be read ({type(error).__name__})")


def _audit(config: Config) -> Link:
    log, kept = existing_log(config), head_file(config)
    try:
        head = read_head(kept)
        verdict = verify(log, head)
    except (OSError, HeadUnreadableError) as error:
        return Link("audit log", (), f"it cannot be checked ({type(error).__name__})")
    lines = (f"{verdict.records} records", f"head {verdict.last.number} sha256 {verdict.last.hash}")
    if verdict.breaks:
        return Link("audit log", lines, str(verdict.breaks[0]))
    return Link("audit log", lines, "" if head else "its head is missing: a cut end could not be seen")


def _result(ground: _Ground) -> Link:
    """Find the file that left: it is there, and it is the one that was put down."""
    keys = {record.facts["key"] for record in ground.about if record.event == Event.RESULT_REIDENTIFIED}
    known = {
        key for kind, reading, _, key in ground.ledger.results() if (kind, reading) == (ground.kind, ground.reading_uid)
    }
    lines = (f"{ground.kind} {ground.uid}", *sorted(known))
    if not known:
        return Link("result", lines, "the ledger knows nobody that it was made for")
    for key in known:
        ground.outbox.get(key)
        if result_uid(ground.outbox.path(key)) != ground.uid:
            return Link("result", lines, "the file in the outbox has another SOP Instance UID")
    if not known <= keys:
        return Link("result", lines, "the audit log does not know the file that was made to leave")
    return Link("result", lines)


def _reading(ground: _Ground) -> Link:
    """Compare what the model saw, as it lies in the store, with what was put down when it was made."""
    key, _ = ground.ledger.reading(ground.reading_uid)
    reading = Reading.model_validate_json(ground.store.get(key))
    for artefact in (reading.volume_key, reading.labels_key, reading.lesions_key, reading.headers_key):
        ground.store.get(artefact)
    model = reading.model
    lines = (
        f"{reading.reading_uid}: {len(reading.lesions)} lesions",
        f"model {model.name} {model.version} on {model.parameters.get('engine', 'unknown')}",
        *(f"network {name} sha256 {sha}" for name, sha in sorted(model.weights_sha256.items())),
    )
    if not ground.readings:
        return Link("reading", lines, "the audit log does not say that it was made")
    facts = ground.readings[-1].facts
    said = {
        "networks": model.weights_sha256,
        "model": model.name,
        "version": plain(model.version),
        "volume": reading.volume_key,
        "labels": reading.labels_key,
        "lesions": len(reading.lesions),
        "study": reading.study_uid,
    }
    differ = sorted(name for name, value in said.items() if facts[name] != value)
    return Link("reading", lines, f"the audit log says otherwise of: {', '.join(differ)}" if differ else "")


def _images(ground: _Ground) -> Link:
    """Count the images that it was read from: as many as were put down, all still in the inbox."""
    names: list[str] = json.loads(ground.store.get(ground.ledger.chosen(ground.reading_uid)))
    missing = sum(not ground.inbox.path(name).exists() for name in names)
    lines = (f"study {ground.study}: {len(names)} images",)
    if missing:
        return Link("images", lines, f"{missing} of {len(names)} are no longer in the inbox")
    counts = {record.facts["images"] for record in ground.readings}
    if counts and counts != {len(names)}:
        return Link("images", lines, f"the audit log says that there were {sorted(counts)}")
    return Link("images", lines)


def _release(ground: _Ground) -> Link:
    if not ground.readings:
        return Link("release", (), "the audit log does not say which release made the reading")
    made = ground.readings[-1]
    starts = [record for record in ground.starts if record.number < made.number]
    if not starts:
        return Link("release", (f"sources {made.facts['sources']}",), "no start of this release is in the audit log")
    facts = starts[-1].facts
    lines = (
        f"overread {facts['version']}, Python {facts['python']}, {len(facts['packages'])} packages",
        f"sources {facts['sources']}",
        f"commit {facts['commit'] or 'not known: it ran from an installation'}",
        f"started {starts[-1].time}, record {starts[-1].number}",
    )
    return Link("release", lines)


def _steps(ground: _Ground) -> Link:
    """List everything that was put down of this result, in its order."""
    lines = tuple(_shown(record) for record in ground.about)
    before: list[Record] = []
    for record in ground.about:
        if record.event in _ANSWERS.values():
            break
        before.append(record)
    said = {(record.event, record.facts.get("stage", "")) for record in before}
    missing = [
        f"{event}{f' ({stage})' * bool(stage)}" for event, stage in _BEFORE_IT_LEAVES if (event, stage) not in said
    ]
    return Link("steps", lines, f"the audit log lacks, before it left: {', '.join(missing)}" if missing else "")


def _shown(record: Record) -> str:
    more = [str(record.facts[name]) for name in ("stage", "destination", "code", "vault_key") if name in record.facts]
    return f"{record.number:>6} {record.time} {record.event} {' '.join(more)}".rstrip()


def _delivery(ground: _Ground) -> Link:
    """Tell who has it by the ledger, and whether the audit log says the same."""
    status = ground.ledger.status(ground.study)
    results = [one for one in (status.results if status else ()) if one.kind == ground.kind]
    states = {one.destination: one.state for one in results if one.state is not ResultState.SUPERSEDED}
    said = {(record.event, record.facts.get("destination")) for record in ground.about}
    lines = tuple(f"{destination}: {state.value}" for destination, state in sorted(states.items()))
    for destination, state in sorted(states.items()):
        event = _ANSWERS.get(state, Event.RESULT_OWED)
        if (event, destination) not in said:
            return Link(
                "delivery", lines, f"{destination}: {state.value} by the ledger, and no {event} in the audit log"
            )
    return Link("delivery", lines)


def _ran(ground: _Ground) -> Ran:
    made = ground.readings[-1].facts if ground.readings else {}
    start = ground.starts[-1].facts if ground.starts else {}
    return Ran(
        version=start.get("version", ""),
        sources=made.get("sources", ""),
        commit=start.get("commit", ""),
        packages=start.get("packages", {}),
        model=made.get("model", ""),
        model_version=made.get("version", ""),
        networks=made.get("networks", {}),
    )
