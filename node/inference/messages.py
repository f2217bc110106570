"""What node and worker say to each other: JSON objects, one a message, over a private socket pair.

Only keys, paths, counts and reasons pass. JSON and not pickle, so that a worker that went wrong can hand the node no
code to run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.manifest import Manifest
from node.dicom.findings import ModelIdentity
from node.inference.engines import EngineKind


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setup(_Message):
    """First message to a worker: what to load.

    Attributes
    ----------
    store_root
        Folder of the artefact store.
    weights_dir
        Folder of the converted networks.
    model
        The model's manifest.
    engine
        What runs the networks.
    threads
        CPU threads; 0: one for each CPU that the process may use.
    """

    store_root: Path
    weights_dir: Path
    model: Manifest
    engine: EngineKind
    threads: int = Field(ge=0)


class Job(_Message):
    """A volume to segment, by its key in the store."""

    volume_key: str


class Progress(_Message):
    """How far loading or a job has come: the worker's sign of life.

    Attributes
    ----------
    step
        What is being done.
    done, total
        Parts of this step (for example tiles) that are done, of how many.
    """

    kind: Literal["progress"] = "progress"
    step: str
    done: int
    total: int


class Ready(_Message):
    """The networks are loaded.

    Attributes
    ----------
    identity
        Model, weights and engine as the reports must name them.
    confinement
        What the process gave up, for the log.
    """

    kind: Literal["ready"] = "ready"
    identity: ModelIdentity
    confinement: tuple[str, ...]


class Done(_Message):
    """A label map lies in the store.

    Attributes
    ----------
    volume_key
        The volume that it belongs to: an answer is never taken for that to another job.
    labels_key
        Its key.
    seconds
        Time each step took, in seconds.
    facts
        Numbers that the pipeline found worth keeping.
    """

    kind: Literal["done"] = "done"
    volume_key: str
    labels_key: str
    seconds: dict[str, float]
    facts: dict[str, float]


class Refusal(_Message):
    """The volume cannot be segmented; the worker is well."""

    kind: Literal["refusal"] = "refusal"
    text: str
    traceback: str


class Fault(_Message):
    """Something other than the volume is at fault.

    Attributes
    ----------
    at
        ``engine-unavailable``, ``weights`` and ``start``: the worker cannot start and ends. ``engine``: an engine or
        the memory gave up during a job, so that the worker is to be replaced. ``storage``: the store failed.
    text
        One sentence for the administrator.
    traceback
        Where it came from, for the log. It holds no identity and no voxel.
    """

    kind: Literal["fault"] = "fault"
    at: Literal["engine-unavailable", "weights", "start", "engine", "storage"]
    text: str
    traceback: str = ""


Answer = Annotated[Progress | Ready | Done | Refusal | Fault, Field(discriminator="kind")]
ANSWER: TypeAdapter[Progress | Ready | Done | Refusal | Fault] = TypeAdapter(Answer)
