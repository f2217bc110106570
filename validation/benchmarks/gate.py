"""How long the gate takes for a large record, beside the bare reading of the same files.

    python -m validation.benchmarks.gate [--requirements 500]

Run it in a project's folder that holds evidence (``make test``). The project's record is copied, and its requirements
are multiplied, each with the marks of its tests, until there are so many. The peer is what cannot be left out: PyYAML
and Python's own parser over the very same files. The limit is 10 s, and a ratio of 1.

Prints a line an outcome, then all of it as JSON.
"""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

_COPIED = ("node", "models", "validation", "qms", "tests", "requirements", "docs", "docker")
_FIRST_COPY = 300
"""Identifiers of copies begin here: no requirement of a project has them."""


def enlarge(root: Path, folder: Path, wanted: int) -> int:
    """Copy a project and multiply its active requirements; return how many there are then.

    Parameters
    ----------
    root, folder
        The project, and where its copy goes.
    wanted
        At least so many requirements.
    """
    for name in _COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in root.glob("*.*"):
        if path.is_file():
            shutil.copy(path, folder)
    rows: list[dict[str, Any]] = []
    for path in sorted((folder / "qms/records/requirements").glob("*.yaml")):
        rows += yaml.safe_load(path.read_text(encoding="utf-8"))
    active = [row for row in rows if row.get("status", "active") == "active"]
    copies = [
        {**active[number % len(active)], "id": f"SRS-{_FIRST_COPY + number:03}"}
        for number in range(max(0, min(wanted - len(rows), 1000 - _FIRST_COPY)))
    ]
    text = yaml.safe_dump(copies, sort_keys=False, allow_unicode=True)
    (folder / "qms/records/requirements/copies.yaml").write_text(text, encoding="utf-8")
    return len(rows) + len(copies)


def read_bare(folder: Path) -> int:
    """Read all records and parse all code of a project, with nothing around it; return how many files."""
    records = sorted((folder / "qms/records").rglob("*.yaml"))
    code = [path for name in ("node", "models", "validation", "qms", "tests") for path in (folder / name).rglob("*.py")]
    for path in records:
        yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  safe
    for path in code:
        ast.parse(path.read_bytes())
    return len(records) + len(code)


def run_gate(folder: Path) -> int:
    """Run the gate as a user does, and return how many lines it prints: the copies have no tests, and it says so."""
    command = [str(Path(sys.executable).parent / "overread"), "qms", "gate"]  # and not a module of the copy
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return len(done.stdout.splitlines())


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Run the comparison in the current directory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requirements", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overread-gate-") as name:
        folder = Path(name)
        count = enlarge(Path.cwd(), folder, options.requirements)
        gate = min(seconds(lambda: run_gate(folder)) for _ in range(3))
        bare = min(seconds(lambda: read_bare(folder)) for _ in range(3))
    found = {"requirements": count, "gate_s": round(gate, 2), "bare_s": round(bare, 2), "ratio": round(gate / bare, 2)}
    print(f"{count} requirements: gate {gate:.2f} s, bare reading {bare:.2f} s, ratio {gate / bare:.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
