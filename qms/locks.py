"""Read the lock files: what may be installed, by name, version, marker and hash.

`uv pip compile --universal --generate-hashes` writes them. A line that this module does not understand is an error: a
package that is overlooked here would be missing in the list of SOUP and in the SBOM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

LOCKS: Mapping[str, Path] = {name: Path(f"requirements/{name}.lock") for name in ("cpu", "gpu", "dev")}
"""The locks of the project by name. What cpu or gpu holds is shipped, what only dev holds is a tool."""

SHIPPED_LOCKS = ("cpu", "gpu")

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[A-Za-z0-9._,\s-]*\])?=="
    r"(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?(?:\s*(?P<more>\\))?"
)
_HASH = re.compile(r"\s+--hash=(?P<hash>sha256:[0-9a-f]{64})(?:\s*(?P<more>\\))?")
_VIA = re.compile(r"\s*#\s+(?:via(?:\s+|$))?(?P<requirer>[^\s].*)?")


class LockError(ValueError):
    """A lock file that cannot be read. The text names file and line."""


@dataclass(frozen=True, order=True)
class Pin:
    """One package as one lock pins it.

    Attributes
    ----------
    name
        Normalised (PEP 503).
    version
        Exactly this one.
    marker
        The environments that it is for (PEP 508); empty: all. A name can stand twice in a lock with different markers.
    hashes
        `sha256:...` of every file that may be installed: one for each platform and Python, and the source.
    required_by
        The names of the packages that ask for it; `overread` is this project.
    lock
        The lock that it stands in: `cpu`, `gpu` or `dev`.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    required_by: tuple[str, ...]
    lock: str


def read(root: Path) -> tuple[Pin, ...]:
    """Read all locks below a project's folder.

    Parameters
    ----------
    root
        The project's folder.

    Returns
    -------
    tuple of Pin
        In the order of the locks and of their lines.

    Raises
    ------
    LockError
        If a lock is missing or has a line that cannot be understood.
    """
    pins: list[Pin] = []
    for lock, path in LOCKS.items():
        try:
            text = (root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LockError(f"{path.as_posix()}: cannot be read ({type(error).__name__})") from error
        pins.extend(parse(text, lock, path.as_posix()))
    return tuple(pins)


def parse(text: str, lock: str, shown: str) -> tuple[Pin, ...]:
    """Parse the text of one lock.

    Parameters
    ----------
    text
        What the file holds.
    lock
        Name of the lock, for `Pin.lock`.
    shown
        Name of the file, for error messages.

    Returns
    -------
    tuple of Pin
        In the order of the lines.

    Raises
    ------
    LockError
        If a line cannot be understood, a package has no hash, or a package stands twice for the same environments.
    """
    pins: dict[tuple[str, str], Pin] = {}
    for number, lines in _entries(text, shown):
        pin = _pin(lines, lock, f"{shown}:{number}")
        if (pin.name, pin.marker) in pins:
            raise LockError(f"{shown}:{number}: {pin.name} stands twice for the same environments")
        pins[pin.name, pin.marker] = pin
    if not pins:
        raise LockError(f"{shown}: no package stands in it")
    return tuple(pins.values())


def _entries(text: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each package's lines (pin, hashes, comments) with the number of the first."""
    begun: tuple[int, list[str]] | None = None
    continued = False
    for number, line in enumerate(text.splitlines(), 1):
        pin, hashed = _PIN.fullmatch(line), _HASH.fullmatch(line)
        if bool(hashed) is not continued:
            what = "a hash was expected" if continued else "a hash that belongs to no package"
            raise LockError(f"{shown}:{number}: {what}: {line.strip()[:60]!r}")
        if not pin and not hashed and line.strip() and not line.lstrip().startswith("#"):
            raise LockError(f"{shown}:{number}: neither a package, a hash nor a comment: {line.strip()[:60]!r}")
        if pin:
            if begun:
                yield begun
            begun = (number, [])
        if begun:
            begun[1].append(line)
        match = pin or hashed
        continued = bool(match and match["more"])
    if continued:
        raise LockError(f"{shown}: ends in the middle of a package")
    if begun:
        yield begun


def _pin(lines: list[str], lock: str, place: str) -> Pin:
    first = _PIN.fullmatch(lines[0])
    if first is None:
        raise LockError(f"{place}: not a package")
    marker = first["marker"] or ""
    try:
        Version(first["version"])
        if marker:
            Marker(marker)
    except (InvalidVersion, InvalidMarker) as error:
        raise LockError(f"{place}: {type(error).__name__}: {first['version']} {marker}".rstrip()) from error
    hashes = tuple(match["hash"] for match in map(_HASH.fullmatch, lines) if match)
    if not hashes:
        raise LockError(f"{place}: {first['name']} has no hash: pip could install anything under this name")
    return Pin(canonicalize_name(first["name"]), first["version"], marker, hashes, tuple(_requirers(lines)), lock)


def _requirers(lines: list[str]) -> Iterator[str]:
    """Yield who asks for a package, from the comments below it; constraint files (-c) ask for nothing."""
    for line in lines:
        match = _VIA.fullmatch(line)
        requirer = match["requirer"] if match else None
        if requirer is None or requirer.startswith("-c "):
            continue
        # `-r requirements/build.in` is a file of this project, as is `overread (pyproject.toml)`.
        yield "overread" if requirer.startswith("-r ") else canonicalize_name(requirer.split()[0])
