"""Turn the notes of a test run and what coverage.py measured into signed evidence.

``python -m qms.seal test`` first puts together what the processes of the run measured. A process that was killed while
it wrote leaves a damaged file (coverage.py writes without a journal); it is left out, and said: ``coverage combine``
gives up then.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coverage import CoverageData
from coverage.exceptions import CoverageException, NoDataError

from qms import plugin
from qms.evidence import (
    EVIDENCE,
    Environment,
    Evidence,
    EvidenceKeyError,
    TestRecord,
    public_key_of,
    signing_key,
    write,
)
from qms.hollow import hollow
from qms.plugin import CHILD
from qms.sources import Unit, sources, units


def seal(root: Path, run: str, data_file: Path) -> Path:
    """Write the evidence of a run and return its file.

    Parameters
    ----------
    root
        The project's folder.
    run
        Name of the run, as given to ``pytest --evidence``.
    data_file
        What coverage.py measured, combined.

    Raises
    ------
    FileNotFoundError
        If there are no notes of such a run.
    EvidenceKeyError
        If the key from the environment is unusable.
    """
    notes_file = root / EVIDENCE / f"{run}.run.json"
    notes = json.loads(notes_file.read_text(encoding="utf-8"))
    known = units(root)
    names = tuple(known)
    executed = _executed(root, data_file, known, {name: index for index, name in enumerate(names)})
    tests = tuple(_record(root, seen, executed) for seen in notes.pop("tests"))
    key, demo = signing_key()
    evidence = Evidence(
        **notes,
        commit=_git(root, "rev-parse", "HEAD"),
        changed=bool(_git(root, "status", "--porcelain")),
        environment=environment(),
        sources=sources(root),
        units=names,
        tests=tests,
        demo=demo,
        public_key=public_key_of(key),
    )
    path = write(root, evidence.signed(key))
    notes_file.unlink()
    return path


def combine(data_file: Path) -> list[Path]:
    """Put together what the processes of a run measured, as ``coverage combine`` does, and return the damaged files.

    Parameters
    ----------
    data_file
        Where it goes. The processes' files lie beside it, with more to their names; whole ones are removed.
    """
    combined = CoverageData(str(data_file))
    damaged = []
    for path in sorted(data_file.parent.glob(f"{data_file.name}.*")):
        measured = CoverageData(str(path))
        try:
            measured.read()
            if not (_is_whole(path) and all(measured.measured_files())):
                raise NoDataError("cut off")
            CoverageData(no_disk=True).update(measured)
        except (CoverageException, sqlite3.Error):
            damaged.append(path.rename(path.with_name(f"damaged-{path.name.lstrip('.')}")))
            continue
        combined.update(measured)
        path.unlink()
    combined.write()
    return damaged


def _is_whole(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def environment() -> Environment:
    """Return what is known of the machine and the packages here, without its name or its user."""
    found = importlib.metadata.distributions()
    packages = {dist.metadata["Name"]: dist.version for dist in found if dist.metadata["Name"]}
    return Environment(
        python=platform.python_version(),
        system=platform.platform(),
        machine=platform.machine(),
        processors=os.cpu_count() or 1,
        packages=dict(sorted(packages.items())),
    )


def _executed(root: Path, data_file: Path, known: Mapping[str, Unit], index: Mapping[str, int]) -> dict[str, set[int]]:
    """Return which units' functions were executed in each context."""
    data = CoverageData(str(data_file))
    data.read()
    paths = {str((root / unit.path).resolve()): unit for unit in known.values()}
    executed: dict[str, set[int]] = defaultdict(set)
    for measured in data.measured_files():
        unit = paths.get(str(Path(measured).resolve()))
        if unit is None:
            continue
        for line, contexts in data.contexts_by_lineno(measured).items():
            if line in unit.lines:
                for context in contexts:
                    test, in_child, _ = context.partition(CHILD)
                    if in_child or unit.name != plugin.__name__:  # the witness itself runs in every test
                        executed[test].add(index[unit.name])
    return executed


def _record(root: Path, seen: dict[str, Any], executed: Mapping[str, set[int]]) -> TestRecord:
    contexts = seen.pop("contexts")
    ran = set().union(*(executed.get(context, set()) for context in contexts))
    path, _, name = seen["id"].partition("::")
    return TestRecord(**seen, units=tuple(sorted(ran)), hollow=hollow(root, path, name.partition("[")[0]))


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Seal the run that is named on the command line, in the current directory."""
    parser = argparse.ArgumentParser(prog="python -m qms.seal", description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--data-file", type=Path, default=Path(os.environ.get("COVERAGE_FILE", ".coverage")))
    options = parser.parse_args(arguments)
    for damaged in combine(options.data_file):
        print(f"left out, damaged: {damaged.name}", file=sys.stderr)  # noqa: T201  a command
    try:
        path = seal(Path.cwd(), options.run, options.data_file)
    except EvidenceKeyError as error:
        print(f"no evidence: {error}", file=sys.stderr)  # noqa: T201  a command
        return 1
    except FileNotFoundError as error:
        print(f"no evidence: {error.filename} is missing: the run did not end", file=sys.stderr)  # noqa: T201
        return 1
    print(f"evidence: {path.relative_to(Path.cwd())}")  # noqa: T201  a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
