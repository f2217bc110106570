"""Write the software bill of materials, in CycloneDX 1.6: `python -m qms.sbom --accel cpu --out FILE`.

Names, versions and hashes come from the lock, licences and makers from the list of SOUP, the networks from the models'
manifests. A locked package that the list does not describe is an error: an SBOM without its licence would look complete
and not be. The same tree gives the same bytes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.spdx import is_supported_id
from packageurl import PackageURL

from qms import locks, soup
from qms.items import Scope, Soup
from qms.load import load

Accelerator = Literal["cpu", "gpu"]

_RUNNING: Mapping[Accelerator, frozenset[str]] = {
    "cpu": frozenset({"SOUP-cpython", "SOUP-sqlite", "SOUP-glibc", "SOUP-linux", "SOUP-debian"}),
    "gpu": frozenset({"SOUP-cpython", "SOUP-sqlite", "SOUP-glibc", "SOUP-linux", "SOUP-debian", "SOUP-nvidia-driver"}),
}
"""The system items that a running node stands on. The others build or test it, or are its peers: scope `excluded`."""

_SYSTEM_TYPES = {
    "SOUP-debian": ComponentType.OPERATING_SYSTEM,
    "SOUP-linux": ComponentType.OPERATING_SYSTEM,
    "SOUP-cpython": ComponentType.PLATFORM,
    "SOUP-nvidia-driver": ComponentType.DEVICE_DRIVER,
    "SOUP-sqlite": ComponentType.LIBRARY,
    "SOUP-glibc": ComponentType.LIBRARY,
}


class SbomError(RuntimeError):
    """What the bill would be made of is missing or does not fit together. The text says what, in one line."""


@dataclass(frozen=True)
class _Sources:
    """What a bill is made of."""

    project: Mapping[str, Any]
    pins: tuple[locks.Pin, ...]
    soups: tuple[Soup, ...]
    manifests: soup.Manifests
    commit: str
    time: dt.datetime


def write(root: Path, accel: Accelerator, path: Path) -> None:
    """Write the bill of materials of a tree into a file.

    Parameters
    ----------
    root
        The project's folder.
    accel
        Which of the two locks: `cpu` or `gpu`.
    path
        The file to write; its folder is made if need be.

    Raises
    ------
    SbomError
        If a record, a manifest or the time is missing.
    LockError
        If a lock cannot be read.
    """
    text = build(root, accel)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def build(root: Path, accel: Accelerator) -> str:
    """Return the bill of materials of a tree as CycloneDX 1.6 JSON.

    Parameters
    ----------
    root
        The project's folder.
    accel
        Which of the two locks: `cpu` or `gpu`.

    Returns
    -------
    str
        JSON. Its time is that of `SOURCE_DATE_EPOCH` or of the commit, its serial number is derived from its content.

    Raises
    ------
    SbomError
        If a record, a manifest or the time is missing.
    LockError
        If a lock cannot be read.
    """
    sources = _sources(root, accel)
    bom = Bom(serial_number=uuid.UUID(int=0))
    bom.metadata.timestamp = sources.time
    product = _product(sources, accel)
    bom.metadata.component = product
    packages = [(pin, _package(pin, sources.soups)) for pin in sources.pins]
    systems = _systems(sources.soups, accel)
    networks = list(_networks(sources))
    bom.components = [*(component for _, component in packages), *systems, *networks]
    running = [component for component in systems if component.scope is ComponentScope.REQUIRED]
    asked = [component for pin, component in packages if soup.PRODUCT in pin.required_by]
    bom.register_dependency(product, [*asked, *running, *networks])
    for pin, component in packages:
        bom.register_dependency(component, [needed for other, needed in packages if pin.name in other.required_by])
    content = _json(bom)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(content.encode()).hexdigest())
    return _json(bom)


def main(argv: Sequence[str]) -> int:
    """Write a bill of materials, as a command.

    Parameters
    ----------
    argv
        `--accel cpu|gpu --out FILE [--root FOLDER]`.

    Returns
    -------
    int
        The exit status: 1 if it could not be made; the reason is on the standard error stream.
    """
    parser = argparse.ArgumentParser(prog="python -m qms.sbom", description="Write the SBOM in CycloneDX 1.6.")
    parser.add_argument("--accel", choices=("cpu", "gpu"), default="cpu", help="the lock that it is made of")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder; by default the current one")
    arguments = parser.parse_args(argv)
    try:
        write(arguments.root, arguments.accel, arguments.out)
    except (SbomError, locks.LockError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _sources(root: Path, accel: Accelerator) -> _Sources:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        manifests = soup.read_manifests(root)
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise SbomError(f"pyproject.toml or a model's manifest cannot be read: {error}") from error
    records = load(root)
    soups = tuple(records.of(Soup))
    if not soups:
        raise SbomError("no SOUP items in qms/records")
    pins = tuple(pin for pin in locks.read(root) if pin.lock == accel)
    commit = _git(root, "rev-parse", "HEAD")
    return _Sources(project, pins, soups, manifests, commit, _time(root))


def _time(root: Path) -> dt.datetime:
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or _git(root, "log", "-1", "--format=%ct")
    if not seconds.isdecimal():
        raise SbomError("neither SOURCE_DATE_EPOCH nor a commit says which time the bill is of")
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)


def _git(root: Path, *arguments: str) -> str:
    """Return what git prints about the tree; nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)  # noqa: S607  whichever git the developer uses
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _product(sources: _Sources, accel: Accelerator) -> Component:
    project = sources.project
    return Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=f"{project['name']}@{project['version']}",
        description=project["description"],
        licenses=_licence(project["license"]),
        purl=PackageURL("pypi", name=project["name"], version=project["version"]),
        properties=[Property(name="overread:accelerator", value=accel), *_commit(sources.commit)],
    )


def _commit(commit: str) -> list[Property]:
    return [Property(name="overread:commit", value=commit)] if commit else []


def _package(pin: locks.Pin, soups: Iterable[Soup]) -> Component:
    item = next((found for found in soups if found.id == f"SOUP-{pin.name}"), None)
    if item is None:
        raise SbomError(f"SOUP-{pin.name}: locked, but no SOUP item says its licence and maker")
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        publisher=item.manufacturer,
        description=item.purpose,
        licenses=_licence(item.licence),
        hashes=_hashes(pin.hashes),
        scope=ComponentScope.OPTIONAL if pin.marker else ComponentScope.REQUIRED,
        properties=[*_evaluation(item), *([Property(name="overread:marker", value=pin.marker)] if pin.marker else [])],
    )


def _systems(soups: Iterable[Soup], accel: Accelerator) -> list[Component]:
    items = {item.id: item for item in soups if item.scope is Scope.SYSTEM}
    missing = sorted(_RUNNING[accel] - items.keys())
    if missing:
        raise SbomError(f"{missing[0]}: the node stands on it, and no SOUP item of scope system is about it")
    return [
        Component(
            name=item.name,
            version=version,
            type=_SYSTEM_TYPES.get(item.id, ComponentType.APPLICATION),
            bom_ref=f"{item.id}@{version}",
            publisher=item.manufacturer,
            description=item.purpose,
            licenses=_licence(item.licence),
            scope=ComponentScope.REQUIRED if item.id in _RUNNING[accel] else ComponentScope.EXCLUDED,
            properties=_evaluation(item),
        )
        for item in items.values()
        for version in item.versions
    ]


def _networks(sources: _Sources) -> Iterator[Component]:
    """Yield each network as it runs, descended from the file that its makers trained, and that from their package."""
    items = {item.name: item for item in sources.soups if item.scope is Scope.WEIGHTS}
    for path, manifest in sources.manifests.items():
        for name, network in manifest["networks"].items():
            item = items.get(f"{manifest['name']}/{name}")
            if item is None:
                raise SbomError(f"{path}: no SOUP item of scope weights is about {manifest['name']}/{name}")
            yield Component(
                name=item.name,
                version=manifest["version"],
                type=ComponentType.MACHINE_LEARNING_MODEL,
                bom_ref=f"{item.id}@{manifest['version']}",
                publisher=item.manufacturer,
                description=item.purpose,
                licenses=_licence(item.licence),
                hashes=_hashes([f"sha256:{network['sha256']}"]),
                scope=ComponentScope.REQUIRED,
                pedigree=Pedigree(ancestors=_ancestors(manifest, network)) if "trained" in network else None,
                properties=_evaluation(item),
            )


def _ancestors(manifest: Mapping[str, Any], network: Mapping[str, Any]) -> list[Component]:
    trained = network["trained"]
    found = [
        Component(
            name=trained["member"],
            version=manifest["version"],
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"sha256:{trained['sha256']}",
            hashes=_hashes([f"sha256:{trained['sha256']}"]),
        )
    ]
    if "package" in manifest:
        wheel, digest = manifest["package"]["wheel"], manifest["package"]["sha256"]
        name, version = wheel.split("-")[:2]
        found.append(
            Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"{network['file']}:sha256:{digest}",
                purl=PackageURL("pypi", name=name, version=version),
                hashes=_hashes([f"sha256:{digest}"]),
            )
        )
    return found


def _evaluation(item: Soup) -> list[Property]:
    verdict = item.anomalies.verdict.value if item.anomalies else "not-evaluated"
    return [Property(name="overread:soup", value=item.id), Property(name="overread:anomalies", value=verdict)]


def _licence(expression: str) -> list[DisjunctiveLicense | LicenseExpression]:
    return [
        DisjunctiveLicense(id=expression) if is_supported_id(expression) else LicenseExpression(expression),
    ]


def _hashes(values: Iterable[str]) -> list[HashType]:
    """Return every hash that the lock admits: one for each file under this name and version."""
    return [HashType(alg=HashAlgorithm.SHA_256, content=value.removeprefix("sha256:")) for value in values]


def _json(bom: Bom) -> str:
    text: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    return text + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
