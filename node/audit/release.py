"""Which release runs: told by the very files that are installed, so that it can be compared with what was tested."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("node", "models", "validation", "qms")
"""The packages of the product, as in `qms.sources`; a test holds the two equal."""

_INSTALLED = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Release:
    """The software that is at work.

    Attributes
    ----------
    version
        Of the package ``overread``.
    sources
        As `digest_of_sources` tells it.
    commit
        Of the working copy that it runs from; "" where it was installed.
    python
        Version of Python.
    packages
        Version of every installed distribution, by its normalised name (PEP 503).
    """

    version: str
    sources: str
    commit: str
    python: str
    packages: Mapping[str, str]

    @classmethod
    def installed(cls, root: Path = _INSTALLED) -> Release:
        """Return the release that is installed below a folder (and runs, by default)."""
        found = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
        return cls(
            version=importlib.metadata.version("overread"),
            sources=digest_of_sources(root),
            commit=_commit(root),
            python=platform.python_version(),
            packages={re.sub(r"[-_.]+", "-", name).lower(): version for name, version in sorted(found.items())},
        )


def digest_of_sources(root: Path) -> str:
    """Return one SHA-256 over the product's code below a folder: over the sorted lines ``PATH SHA256``.

    Parameters
    ----------
    root
        The folder that holds the product's packages. Their Python files count, and the models' manifests, whose
        settings change results as code does.
    """
    files = {path for room in ROOMS for path in (root / room).rglob("*.py") if "__pycache__" not in path.parts}
    files.update((root / "models").glob("*/*.toml"))
    lines = [f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _commit(root: Path) -> str:
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607  whichever git there is
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if re.fullmatch(r"[0-9a-f]{40}\s*", done.stdout) else ""
