"""The worker process: ``python -m node.inference.worker DESCRIPTOR PARENT``.

DESCRIPTOR is the number of an inherited socket, PARENT the process ID of the node. The worker loads the networks once
and then answers one job after the other until the socket ends. What it has to say goes through that socket; its
standard error is left to the native libraries.
"""

from __future__ import annotations

import faulthandler
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from models.manifest import Manifest, ManifestError
from models.weights import WeightsError, verify
from node.dicom.findings import ModelIdentity
from node.dicom.volume import LabelMap, Volume
from node.inference.confinement import confine
from node.inference.engines import Engine, open_engine
from node.inference.errors import EngineFailedError, EngineUnavailableError, StorageError
from node.inference.messages import Answer, Done, Fault, Job, Progress, Ready, Refusal, Setup
from node.store import ArtefactMissingError, Store

Say = Callable[[Answer], None]


class Reader:
    """One model in one engine: volumes in, label maps out.

    Parameters
    ----------
    setup
        What to load.
    say
        Takes the progress of loading and, later, of each job.

    Raises
    ------
    EngineUnavailableError
        If the engine cannot be had.
    models.weights.WeightsError
        If a network is missing or is not the one that the manifest names.
    """

    def __init__(self, setup: Setup, say: Say) -> None:
        self._store = Store(setup.store_root)
        self._say = say
        self._segment = setup.model.segmenter()
        # The very bytes that were hashed are loaded, whatever happens to the files in between.
        networks = verify(setup.weights_dir, setup.model)
        names = list(networks)
        self._tell("load_networks", 0, len(names))
        self._engine: Engine = open_engine(
            setup.engine,
            networks,
            setup.threads,
            lambda name: self._tell("load_networks", names.index(name) + 1, len(names)),
        )
        self.identity = _identity(setup.model, self._engine)

    def read(self, volume_key: str) -> Done:
        """Segment one volume.

        Raises
        ------
        StorageError
            If the store fails.
        EngineFailedError
            If the engine does; the process ought to end then.
        Exception
            Whatever the pipeline raises at a volume it cannot work on.
        """
        started = time.perf_counter()
        volume = Volume.from_bytes(self._get(volume_key))
        loaded = time.perf_counter()
        try:
            segmentation = self._segment(volume.hu, volume.anatomy.affine(), self._engine.run, self._tell)
        finally:
            self._engine.release()
        labels = segmentation.labels
        if labels.shape != volume.hu.shape or labels.dtype != np.uint8:
            raise ValueError(
                f"the pipeline made {labels.dtype} labels of {labels.shape} for a {volume.hu.shape} volume"
            )
        segmented = time.perf_counter()
        key = self._put(LabelMap(labels, volume.geometry).to_bytes())
        stored = time.perf_counter()
        return Done(
            volume_key=volume_key,
            labels_key=key,
            seconds={"read_volume": loaded - started, **segmentation.seconds, "store_labels": stored - segmented},
            facts=segmentation.facts,
        )

    def _tell(self, step: str, done: int, total: int) -> None:
        self._say(Progress(step=step, done=done, total=total))

    def _get(self, key: str) -> bytes:
        try:
            return self._store.get(key)
        except (ArtefactMissingError, OSError, ValueError) as error:
            raise StorageError(f"the volume cannot be read from the store: {error}") from error

    def _put(self, data: bytes) -> str:
        try:
            return self._store.put(data)
        except OSError as error:
            raise StorageError(f"the label map cannot be written to the store: {error.strerror}") from error


def answer(reader: Reader, job: Job) -> Answer:
    """Do a job and say how it ended, whatever happened.

    Parameters
    ----------
    reader
        The loaded model.
    job
        What to do.
    """
    try:
        return reader.read(job.volume_key)
    except StorageError as error:
        return Fault(at="storage", text=str(error), traceback=traceback.format_exc())
    except (EngineFailedError, MemoryError) as error:
        return Fault(at="engine", text=str(error) or "out of memory", traceback=traceback.format_exc())
    except Exception as error:  # noqa: BLE001  the next study must run; the traceback goes to the node's log
        return Refusal(
            text=f"the model could not work on this series ({type(error).__name__})",
            traceback=traceback.format_exc(),
        )


def serve(connection: Connection, confinement: tuple[str, ...]) -> int:
    """Load what the first message says and answer jobs until the other side closes the connection.

    Parameters
    ----------
    connection
        To the node.
    confinement
        What the process gave up, to be reported.

    Returns
    -------
    int
        Exit status: 0 if the node ended the conversation, 1 if the worker could not start.
    """

    def say(message: Answer) -> None:
        connection.send_bytes(message.model_dump_json().encode())

    try:
        setup = Setup.model_validate_json(connection.recv_bytes())
        reader = _start(setup, say)
        if isinstance(reader, Fault):
            say(reader)
            return 1
        say(Ready(identity=reader.identity, confinement=confinement))
        while True:
            say(answer(reader, Job.model_validate_json(connection.recv_bytes())))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0  # the node has gone


def _start(setup: Setup, say: Say) -> Reader | Fault:
    try:
        return Reader(setup, say)
    except EngineUnavailableError as error:
        return Fault(at="engine-unavailable", text=str(error))
    except WeightsError as error:
        return Fault(at="weights", text=str(error))
    except ManifestError as error:
        return Fault(at="start", text=str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001  the node shall say why it does not start, not only that it does not
        return Fault(
            at="start", text=f"the model cannot be loaded ({type(error).__name__})", traceback=traceback.format_exc()
        )


def _identity(model: Manifest, engine: Engine) -> ModelIdentity:
    return ModelIdentity(
        name=model.name,
        version=model.version,
        manufacturer=model.manufacturer,
        weights_sha256=model.weights_sha256,
        parameters={**model.parameters, "engine": engine.description},
    )


def main(arguments: list[str]) -> int:
    """Confine this process, then serve."""
    faulthandler.enable()
    confinement = confine(int(arguments[1]))
    with Connection(int(arguments[0])) as connection:
        return serve(connection, confinement)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
