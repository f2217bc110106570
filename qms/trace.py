"""Walk back from a result that was delivered to what the quality record knows of the release that made it.

The node knows what ran: version, digest of the sources, networks, packages. The record, read in a folder, knows what
was tested, locked and approved. Each link says where the two agree, or by name where they do not.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker

from qms import locks, soup
from qms.evidence import Evidence, read_all
from qms.load import Records, load
from qms.signatures import Approval, content_hash, context_hash, read_chain, required, valid_approvals
from qms.sources import ROOMS, sources

_SHOWN = 3


@dataclass(frozen=True)
class Link:
    """One step of the walk.

    Attributes
    ----------
    name
        What it leads to.
    lines
        What is known, a line each.
    broken
        Why it does not hold; "" if it does.
    """

    name: str
    lines: tuple[str, ...]
    broken: str = ""


@dataclass(frozen=True)
class Ran:
    """What made a result, as the node's audit log says.

    Attributes
    ----------
    version, sources, commit
        Of the release; `sources` as `digest` gives it.
    packages
        Versions of the installed distributions by their normalised names.
    model, model_version, networks
        The model, and the SHA-256 of each network by name.
    """

    version: str
    sources: str
    commit: str
    packages: Mapping[str, str]
    model: str
    model_version: str
    networks: Mapping[str, str]


def digest(files: Mapping[str, str]) -> str:
    """Return one SHA-256 over the product's code, as the node makes it of what is installed.

    Parameters
    ----------
    files
        SHA-256 by path, as `qms.sources.sources` and `Evidence.sources` have them. The Python files of the product and
        the manifests of its models count, tests and documents do not.
    """
    lines = [f"{path} {sha}\n" for path, sha in files.items() if _is_code(path)]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _is_code(path: str) -> bool:
    room, _, rest = path.partition("/")
    return room in ROOMS and (path.endswith(".py") or (room == "models" and rest.endswith(".toml")))


def walk(root: Path, ran: Ran, today: dt.date | None = None) -> list[Link]:
    """Return the links from a release into the quality record.

    Parameters
    ----------
    root
        The folder of the project with the record.
    ran
        What made the result.
    today
        The day on which approvals must be valid; by default the current one.
    """
    day = today or dt.datetime.now(dt.UTC).date()
    steps: Mapping[str, Callable[[], Link]] = {
        "record": lambda: _record(root, ran),
        "test run": lambda: _runs(root, ran),
        "weights": lambda: _weights(root, ran),
        "lock": lambda: _lock(root, ran),
        "SBOM": lambda: _sbom(root, ran),
        "approvals": lambda: _approvals(root, day),
    }
    return [_tried(name, step) for name, step in steps.items()]


def _tried(name: str, step: Callable[[], Link]) -> Link:
    """Name a link that cannot even be looked at: a file that is missing or cannot be read."""
    try:
        return step()
    except (OSError, ValueError, RuntimeError) as error:
        return Link(name, (), f"it cannot be read: {error}")


def _record(root: Path, ran: Ran) -> Link:
    here = digest(sources(root))
    lines = (f"sources {here}",)
    if here == ran.sources:
        return Link("record", lines)
    return Link("record", lines, f"the code beside this record is not that of the release ({ran.sources})")


def _runs(root: Path, ran: Ran) -> Link:
    evidence, findings = read_all(root)
    same = [run for run in evidence if digest(run.sources) == ran.sources]
    lines = [_shown(run) for run in same]
    if findings:
        return Link("test run", tuple(lines), str(findings[0]))
    if not same:
        return Link("test run", (), f"none of {len(evidence)} runs in qms/evidence is of the release's sources")
    failed = [run.run for run in same if run.exit_status or any(test.outcome == "failed" for test in run.tests)]
    if failed:
        return Link("test run", tuple(lines), f"it failed: {', '.join(failed)}")
    other = [run.commit for run in same if ran.commit and run.commit and run.commit != ran.commit]
    if other:
        lines.append(f"(the same sources; the run was of commit {other[0]}, the node of {ran.commit})")
    return Link("test run", tuple(lines))


def _shown(run: Evidence) -> str:
    passed = Counter(test.outcome for test in run.tests)["passed"]
    by = "DEMO key" if run.demo else f"key {run.public_key}"
    changed = " with changes" if run.changed else ""
    commit = f", commit {run.commit}{changed}" if run.commit else ""
    return (
        f"{run.run}, {run.finished:%Y-%m-%d %H:%M} UTC: {passed} of {len(run.tests)} passed{commit}, signed with a {by}"
    )


def _weights(root: Path, ran: Ran) -> Link:
    lines = tuple(f"{ran.model} {ran.model_version} {name} sha256 {sha}" for name, sha in sorted(ran.networks.items()))
    manifests = soup.read_manifests(root)
    found = [manifest for manifest in manifests.values() if manifest.get("name") == ran.model]
    if not found:
        return Link("weights", lines, f"the record has no model {ran.model}")
    manifest = found[0]
    if manifest.get("version") != ran.model_version:
        text = f"the record has version {manifest.get('version')} of {ran.model}, and {ran.model_version} ran"
        return Link("weights", lines, text)
    known = {name: network.get("sha256", "") for name, network in manifest.get("networks", {}).items()}
    for name, sha in sorted(ran.networks.items()):
        if known.get(name) != sha:
            return Link("weights", lines, f"the network {name} that ran is not the one of the record")
    return Link("weights", lines)


def _accelerator(ran: Ran) -> str:
    return "gpu" if "onnxruntime-gpu" in ran.packages else "cpu"


def _lock(root: Path, ran: Ran) -> Link:
    name = _accelerator(ran)
    path = root / locks.LOCKS[name]
    pins = [pin for pin in locks.read(root) if pin.lock == name and (not pin.marker or Marker(pin.marker).evaluate())]
    differ = [
        f"{pin.name} {pin.version} is locked, {ran.packages.get(pin.name, 'none')} ran"
        for pin in pins
        if ran.packages.get(pin.name) != pin.version
    ]
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = (f"{locks.LOCKS[name].as_posix()} sha256 {sha}: {len(pins)} packages",)
    return Link("lock", lines, _some(differ))


def _sbom(root: Path, ran: Ran) -> Link:
    try:
        from qms import sbom  # noqa: PLC0415  its library is a tool, and no part of an installed node
    except ImportError as error:
        return Link("SBOM", (), f"it cannot be made here: {error.name} is not installed")
    accelerator: sbom.Accelerator = "gpu" if _accelerator(ran) == "gpu" else "cpu"
    text = sbom.build(root, accelerator)
    return Link("SBOM", (f"CycloneDX, {accelerator}: sha256 {hashlib.sha256(text.encode()).hexdigest()}",))


def _approvals(root: Path, today: dt.date) -> Link:
    records = load(root)
    approvals, findings = read_chain(root)
    if findings:
        return Link("approvals", (), str(findings[0]))
    if records.approval_policy is None:
        return Link("approvals", (), "the record has no approval policy")
    wanted = [(item.id, role) for item, role in required(records)]
    valid = valid_approvals(approvals, records.approval_policy, today)
    stale = sorted(f"{item} ({role})" for (item, role), approval in valid.items() if _is_stale(records, approval))
    missing = [f"{item} ({role})" for item, role in wanted if (item, role) not in valid]
    lines = [f"{len(wanted) - len(missing)} of {len(wanted)} required approvals, {len(approvals)} in the chain"]
    signed_for_nobody = sum(approval.demo for approval in valid.values())
    if signed_for_nobody:
        lines.append(f"{signed_for_nobody} are signed with a DEMO key, which is nobody's")
    if missing:
        return Link("approvals", tuple(lines), f"not approved: {_some(missing)}")
    return Link("approvals", tuple(lines), f"changed since: {_some(stale)}" if stale else "")


def _is_stale(records: Records, approval: Approval) -> bool:
    item = records.items.get(approval.item)
    return item is None or content_hash(item) != approval.content or (context_hash(records, item) != approval.context)


def _some(texts: Iterable[str]) -> str:
    found = list(texts)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
