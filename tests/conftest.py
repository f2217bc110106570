"""Fixtures that every test may use: real studies, converted weights."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime

pytest_plugins = ["pytester"]  # for the tests of the plugins of qms

StudyFinder = Callable[[str], Path]


def _missing(what: str) -> None:
    """Skip on a user's machine; fail in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def study() -> StudyFinder:
    """Return a function that unpacks a real study once and gives its folder (``ct/``, perhaps ``labels.nii.gz``)."""

    def find(name: str) -> Path:
        folder = os.environ.get("OVERREAD_TEST_DATA", "")
        archive = Path(folder) / f"{name}.tar.xz"
        if not folder or not archive.exists():
            _missing(f"real study {name} not found: set OVERREAD_TEST_DATA to the folder of its archive")
        stamp = f"{archive.stat().st_size}-{archive.stat().st_mtime_ns}-{archive}"
        cache = Path(tempfile.gettempdir()) / f"overread-test-data-{os.getuid()}"
        target = cache / f"{name}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
        if not target.exists():
            cache.mkdir(mode=0o700, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=cache))
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")
            try:
                (part / name).rename(target)
            except OSError:  # another test process was faster
                if not target.exists():
                    raise
            shutil.rmtree(part, ignore_errors=True)
        return target

    return find


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """Return the folder of the converted networks."""
    from models.weights import default_directory  # noqa: PLC0415  only tests that need weights import it

    folder: Path = default_directory()
    if not (folder / "ct_liver_lesions" / "liver.onnx").exists():
        _missing("the converted networks are missing: run `make install`")
    return folder
