"""Hold the list of SOUP against what is locked, what is installed, and what the models name.

Four comparisons, each of plain values: a package that nobody described, a description of what is not there, a version
that nobody looked at, and trained weights that are not the recorded ones all become findings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from qms.findings import Finding
from qms.items import Scope, Soup, Verdict
from qms.locks import SHIPPED_LOCKS, Pin

PRODUCT = "overread"

_LOCKED = {Scope.SHIPPED, Scope.TOOL}
_UNMANAGED = {PRODUCT, "pip"}  # the product itself, and the installer that every virtual environment begins with
_HASH = "sha256:"

Manifests = Mapping[str, Mapping[str, Any]]
"""The manifests of the models by path, as TOML gives them."""


def compare(soups: Iterable[Soup], locks: Iterable[Pin]) -> list[Finding]:
    """Compare the list of SOUP with the locks in both directions, and look whether its anomalies were evaluated.

    Parameters
    ----------
    soups
        All SOUP items, of every scope.
    locks
        All pins of all locks.

    Returns
    -------
    list of Finding
        `soup-missing`, `soup-not-in-lock`, `soup-version`, `soup-id`, `soup-unevaluated`, `soup-unacceptable`.
    """
    items = list(soups)
    versions, scopes = _locked(locks)
    by_name = {_name(soup): soup for soup in items if soup.scope in _LOCKED or soup.scope is Scope.BESIDE}
    findings = [
        Finding(
            f"SOUP-{name}", "soup-missing", f"{name} {', '.join(sorted(found))} is locked, and no SOUP item is about it"
        )
        for name, found in versions.items()
        if name not in by_name
    ]
    for soup in items:
        findings.extend(_compare_one(soup, versions, scopes))
        findings.extend(_evaluation(soup))
    return findings


def compare_environment(soups: Iterable[Soup], locks: Iterable[Pin], installed: Mapping[str, str]) -> list[Finding]:
    """Compare what is installed with the locks; what is named as installed beside them is excepted.

    Parameters
    ----------
    soups
        All SOUP items, of every scope.
    locks
        All pins of all locks.
    installed
        Version by name: `installed_packages()` of the environment to judge.

    Returns
    -------
    list of Finding
        `soup-installed`, for a package that no lock holds, or another version than the locks hold.
    """
    versions, _ = _locked(locks)
    beside = {_name(soup): set(soup.versions) for soup in soups if soup.scope is Scope.BESIDE}
    findings = []
    for name, version in sorted(installed.items()):
        normalised = canonicalize_name(name)
        if normalised in _UNMANAGED:
            continue
        allowed = versions.get(normalised, set()) | beside.get(normalised, set())
        # A local label, as in torch 2.13.0+cpu, names a build of the same version (PEP 440).
        if version in allowed or version.partition("+")[0] in beside.get(normalised, set()):
            continue
        text = (
            f"{normalised} {version} is installed; {', '.join(sorted(allowed))} is locked or named"
            if allowed
            else f"{normalised} {version} is installed, in no lock, and not named as installed beside the locks"
        )
        findings.append(Finding(f"SOUP-{normalised}", "soup-installed", text))
    return findings


def compare_weights(soups: Iterable[Soup], manifests: Manifests) -> list[Finding]:
    """Compare the SOUP items of trained weights with the manifests of the models, in both directions.

    An item lists the version and every hash: of the file as its makers give it and of the file that runs, or of the
    package that carries them.

    Parameters
    ----------
    soups
        All SOUP items, of every scope.
    manifests
        The models' manifests by path, as `read_manifests` returns them.

    Returns
    -------
    list of Finding
        `soup-weights`.
    """
    wanted = {name: (found, path) for path, manifest in manifests.items() for name, found in _weights(manifest)}
    recorded = {soup.name: soup for soup in soups if soup.scope is Scope.WEIGHTS}
    findings = []
    for name, (found, path) in wanted.items():
        soup = recorded.get(name)
        if soup is None:
            identifier = f"SOUP-{canonicalize_name(name.replace('/', '-'))}"
            findings.append(Finding(identifier, "soup-weights", f"{path} names {name}, and no SOUP item is about it"))
            continue
        findings.extend(
            Finding(soup.id, "soup-weights", f"{name}: {value} stands in {path} and not in the record")
            for value in sorted(found - set(soup.versions))
        )
        findings.extend(
            Finding(soup.id, "soup-weights", f"{name}: {value} stands in the record and not in {path}")
            for value in sorted(set(soup.versions) - found)
        )
    findings.extend(
        Finding(soup.id, "soup-weights", f"no model's manifest names {name}")
        for name, soup in recorded.items()
        if name not in wanted
    )
    return findings


def unevaluated(soups: Iterable[Soup]) -> list[Finding]:
    """Name the SOUP items whose published anomalies nobody evaluated. A release may not have any.

    Parameters
    ----------
    soups
        All SOUP items, of every scope.

    Returns
    -------
    list of Finding
        `soup-not-evaluated`, with the reason that the record gives.
    """
    return [
        Finding(soup.id, "soup-not-evaluated", f"{soup.name} {', '.join(_versions(soup))}: {soup.anomalies.text}")
        for soup in soups
        if soup.anomalies is not None and soup.anomalies.verdict is Verdict.NOT_EVALUATED
    ]


def installed_packages() -> dict[str, str]:
    """Return the version of every package of the running environment by its normalised name."""
    return {canonicalize_name(found.metadata["Name"]): found.version for found in distributions()}


def read_manifests(root: Path) -> Manifests:
    """Read the manifests of the models below a project's folder, as plain TOML.

    Parameters
    ----------
    root
        The project's folder.

    Returns
    -------
    dict
        By path below the folder.

    Raises
    ------
    tomllib.TOMLDecodeError, OSError
        If a manifest cannot be read.
    """
    return {
        path.relative_to(root).as_posix(): tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted((root / "models").glob("*/manifest.toml"))
    }


def _locked(locks: Iterable[Pin]) -> tuple[dict[str, set[str]], dict[str, Scope]]:
    """Return the locked versions and the scope by name."""
    versions: dict[str, set[str]] = {}
    scopes: dict[str, Scope] = {}
    for pin in locks:
        versions.setdefault(pin.name, set()).add(pin.version)
        if pin.lock in SHIPPED_LOCKS:
            scopes[pin.name] = Scope.SHIPPED
        else:
            scopes.setdefault(pin.name, Scope.TOOL)
    return versions, scopes


def _compare_one(soup: Soup, versions: Mapping[str, set[str]], scopes: Mapping[str, Scope]) -> Iterator[Finding]:
    name = _name(soup)
    if soup.scope in _LOCKED | {Scope.BESIDE} and soup.id != f"SOUP-{name}":
        yield Finding(soup.id, "soup-id", f"an item about {soup.name} has to be SOUP-{name}")
    if soup.scope is Scope.BESIDE and name in versions:
        yield Finding(soup.id, "soup-not-in-lock", f"{name} is locked, and the record says that it is beside the locks")
    if soup.scope not in _LOCKED:
        return
    if name not in versions:
        yield Finding(soup.id, "soup-not-in-lock", f"{name} is in no lock")
        return
    if soup.scope is not scopes[name]:
        yield Finding(
            soup.id, "soup-not-in-lock", f"by the locks {name} is of scope {scopes[name]}, the record says {soup.scope}"
        )
    if set(soup.versions) != versions[name]:
        recorded, locked = (", ".join(sorted(found)) for found in (soup.versions, versions[name]))
        yield Finding(soup.id, "soup-version", f"the record is about {recorded}, locked is {locked}")


def _evaluation(soup: Soup) -> Iterator[Finding]:
    anomalies = soup.anomalies
    if anomalies is None:
        yield Finding(soup.id, "soup-unevaluated", "the record does not say whether its anomalies were evaluated")
        return
    if {version.strip() for version in anomalies.version.split(",")} != set(_versions(soup)):
        yield Finding(
            soup.id,
            "soup-unevaluated",
            f"anomalies were evaluated for {anomalies.version}, the record is about {', '.join(_versions(soup))}",
        )
    if anomalies.verdict is Verdict.UNACCEPTABLE:
        yield Finding(soup.id, "soup-unacceptable", f"a known anomaly is unacceptable: {anomalies.text}")
    if anomalies.verdict in (Verdict.NO_EFFECT, Verdict.CONTROLLED) and not anomalies.sources:
        yield Finding(soup.id, "soup-unevaluated", f"the verdict {anomalies.verdict} names no source")


def _weights(manifest: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """Yield, of everything trained in a manifest, its name with version and hashes."""
    version = str(manifest["version"])
    for name, network in manifest["networks"].items():
        hashes = [network["sha256"]] + ([network["trained"]["sha256"]] if "trained" in network else [])
        yield f"{manifest['name']}/{name}", {version, *(_HASH + value for value in hashes)}
    if "package" in manifest:
        package = manifest["package"]
        name, wheel_version = package["wheel"].split("-")[:2]
        yield canonicalize_name(name), {wheel_version, _HASH + package["sha256"]}


def _name(soup: Soup) -> str:
    return canonicalize_name(soup.name)


def _versions(soup: Soup) -> Sequence[str]:
    """Return the versions proper; the record of trained weights lists hashes beside them."""
    return [version for version in soup.versions if not version.startswith(_HASH)]
