"""The change record: what git says, without who: people's addresses have no place in what is handed on."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Change:
    """One commit: its hash, its day, its subject."""

    commit: str
    day: str
    subject: str


def changes(root: Path, most: int = 1000) -> tuple[Change, ...]:
    """Return the last changes of a project, newest first; none if it is no work tree of git.

    Parameters
    ----------
    root
        The project's folder. A folder inside another project's work tree is not one.
    most
        How many.
    """
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return ()
    done = subprocess.run(
        [git, "-C", str(root), "log", f"--max-count={most}", f"--format=%H{_SEPARATOR}%cs{_SEPARATOR}%s"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.split(_SEPARATOR, 2) for line in done.stdout.splitlines()) if done.returncode == 0 else ()
    return tuple(Change(*row) for row in rows)
