"""What the node calls: keeps one worker process with the networks warm, and a fresh one after a hang or a crash.

A step of a workflow cannot stop native code that hangs; a process can be killed. So the networks run in a process of
their own, its sign of life is the progress of the pipeline itself (a heartbeat thread would beat on while a network
hangs), and whoever gives it a job gets a result, a coded refusal, or an error that says whether to try again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from models.manifest import Manifest
from models.weights import WeightsError
from node.dicom.findings import ModelIdentity
from node.dicom.reasons import Reason, Refused
from node.inference.engines import EngineKind
from node.inference.errors import (
    EngineUnavailableError,
    InferenceError,
    ServiceStoppedError,
    StorageError,
    WorkerCrashedError,
    WorkerHungError,
    WorkerLostError,
)
from node.inference.messages import Answer, Done, Fault, Job, Progress, Ready, Refusal, Setup
from node.inference.process import WorkerProcess, worker_environment

_log = structlog.get_logger(__name__)

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class SegmentationResult:
    """A segmented volume.

    Attributes
    ----------
    labels_key
        Key of the `LabelMap` in the store.
    seconds
        Time each step took, in seconds.
    facts
        Numbers that the pipeline found worth keeping, by name.
    identity
        Model, weights and engine that made it, as the reports must name them.
    """

    labels_key: str
    seconds: dict[str, float]
    facts: dict[str, float]
    identity: ModelIdentity


class InferenceService:
    """A model, ready to segment. Safe to use from several threads; one job runs at a time, the others wait.

    Parameters
    ----------
    store_root
        Folder of the artefact store that holds the volumes and takes the label maps.
    weights_dir
        Folder of the converted networks.
    model
        The model's manifest.
    engine
        ``auto``, ``openvino``, ``onnxruntime`` or ``cuda``: see `EngineKind`.
    threads
        CPU threads; 0: one for each CPU that the process may use.
    stall_seconds
        Seconds without progress in a job after which the worker counts as hung.
    hard_limit_seconds
        Longest time one job may take, progress or not.
    load_seconds
        Longest time that loading the networks may take.
    environment
        Variables of this process, of which the worker gets the few that it needs.
    """

    def __init__(
        self,
        *,
        store_root: Path,
        weights_dir: Path,
        model: Manifest,
        engine: EngineKind | str = EngineKind.AUTO,
        threads: int = 0,
        stall_seconds: float = 300.0,
        hard_limit_seconds: float = 3600.0,
        load_seconds: float = 300.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._setup = Setup(
            store_root=store_root.absolute(),
            weights_dir=weights_dir.absolute(),
            model=model,
            engine=EngineKind(engine),
            threads=threads,
        )
        self._stall_s = stall_seconds
        self._hard_limit_s = hard_limit_seconds
        self._load_s = load_seconds
        self._environment = worker_environment(os.environ if environment is None else environment)
        self._turn = threading.Lock()  # one job at a time
        self._state = threading.Lock()  # guards the next two against `stop`
        self._stopped = False
        self._worker: WorkerProcess | None = None
        self._loaded = False
        self._identity: ModelIdentity | None = None
        # A worker ends with the thread that started it (PR_SET_PDEATHSIG): this one lives as long as the service.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="inference-starter")

    def start(self) -> None:
        """Start the worker and return once the networks are loaded.

        Raises
        ------
        EngineUnavailableError
            If the engine is not installed or has no device.
        models.weights.WeightsError
            If a network is missing or is not the one that the manifest names.
        InferenceError
            If the worker cannot start for another reason.
        """
        with self._turn:
            self._ready_worker(_ignore)

    @property
    def identity(self) -> ModelIdentity:
        """Model, weights and engine, as the reports must name them. Known once the service has started."""
        if self._identity is None:
            raise InferenceError("the inference service has not started")
        return self._identity

    @property
    def min_lesion_ml(self) -> float:
        """Volume in ml below which this model's lesions are noise, by its manifest."""
        return self._setup.model.smallest_lesion_ml

    @property
    def pid(self) -> int | None:
        """Process ID of the worker, if one runs."""
        worker = self._worker
        return worker.pid if worker is not None and worker.running else None

    def segment(self, volume_key: str, on_progress: OnProgress | None = None) -> SegmentationResult:
        """Segment a volume; wait for other jobs first.

        Parameters
        ----------
        volume_key
            Key of a `Volume` in the store.
        on_progress
            Called in this thread for every part that is done. If it raises, the job is given up.

        Raises
        ------
        Refused
            If the model cannot work on this volume (``inference-failed``).
        WorkerLostError
            If the worker hung or died. A fresh one is on its way: trying again a few times makes sense.
        StorageError
            If the store failed. Trying again later makes sense.
        ServiceStoppedError
            If the service is stopped, or was during this job.
        EngineUnavailableError, models.weights.WeightsError, InferenceError
            If a fresh worker could not start.
        """
        tell = on_progress or _ignore
        with self._turn:
            worker = self._ready_worker(tell)
            try:
                worker.send(Job(volume_key=volume_key))
                answer = self._await(worker, tell, self._stall_s, self._hard_limit_s)
            except BaseException as error:
                self._replace(worker, error)
                raise
            if isinstance(answer, Done) and answer.volume_key == volume_key:
                return SegmentationResult(answer.labels_key, answer.seconds, answer.facts, self.identity)
            failure = _error(answer)
            if isinstance(failure, WorkerLostError):
                self._replace(worker, failure)
            raise failure

    def stop(self) -> None:
        """End the worker, with the job that it is at. The service cannot be started again."""
        with self._state:
            self._stopped = True
            worker = self._worker
        if not self._turn.acquire(blocking=False):
            if worker is not None:
                worker.kill()  # the job's thread notices and lets go of its turn
            self._turn.acquire()
        try:
            if self._worker is not None:
                self._worker.close()
                self._worker = None
        finally:
            self._turn.release()
        self._starter.shutdown()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> WorkerProcess:
        """Start a worker; it loads the networks in its own time."""
        with self._state:
            if self._stopped:
                raise ServiceStoppedError("the inference service is stopped")
            try:
                worker = self._starter.submit(WorkerProcess, self._environment).result()
            except OSError as error:  # no memory or no process left
                raise WorkerCrashedError(f"the inference process cannot be started: {error.strerror}") from error
            self._worker, self._loaded = worker, False
        worker.send(self._setup)
        return worker

    def _ready_worker(self, tell: OnProgress) -> WorkerProcess:
        """Return a worker that has loaded the networks, a fresh one if need be."""
        worker = self._worker
        if worker is not None and self._loaded and not worker.running:  # killed while it waited
            self._lose(worker, WorkerCrashedError("the inference process ended between two jobs"))
            worker = None
        worker = worker or self._launch()
        if self._loaded:
            return worker
        try:
            ready = self._await(worker, tell, self._load_s, self._load_s)
        except BaseException as error:
            self._lose(worker, error)
            raise
        if not isinstance(ready, Ready):
            failure = _error(ready)
            self._lose(worker, failure)  # not replaced unasked: it would fail again, for ever
            raise failure
        self._identity, self._loaded = ready.identity, True
        _log.info(
            "inference.ready",
            pid=worker.pid,
            model=ready.identity.name,
            version=ready.identity.version,
            engine=ready.identity.parameters["engine"],
            confinement=ready.confinement,
        )
        return worker

    def _await(self, worker: WorkerProcess, tell: OnProgress, stall_s: float, limit_s: float) -> Answer:
        """Pass the progress on until something else is said."""
        end = time.monotonic() + limit_s
        while (left := end - time.monotonic()) > 0:
            answer = worker.receive(min(stall_s, left))
            if answer is None and left > stall_s:
                raise WorkerHungError(f"the inference process gave no sign of life for {stall_s:g} s")
            if isinstance(answer, Progress):
                tell(answer)
            elif answer is not None:
                return answer
        raise WorkerHungError(f"the inference process took longer than {limit_s:g} s")

    def _lose(self, worker: WorkerProcess, error: BaseException) -> None:
        """End a worker that is not to be trusted any more."""
        worker.kill()
        worker.close()
        self._worker = None
        if self._stopped:
            raise ServiceStoppedError("the inference service was stopped") from error
        if isinstance(error, WorkerLostError):
            _log.error("inference.worker-lost", pid=worker.pid, error=type(error).__name__, text=str(error))

    def _replace(self, worker: WorkerProcess, error: BaseException) -> None:
        """End a worker and start another, which loads while the caller makes up its mind about trying again."""
        self._lose(worker, error)
        self._launch()


def _error(answer: Answer) -> Exception:
    """Return the exception that an answer other than success stands for, and log where it came from."""
    match answer:
        case Refusal(text=text, traceback=traceback):
            _log.warning("inference.refused", text=text, traceback=traceback)
            return Refused(Reason.INFERENCE_FAILED, text)
        case Fault(at=at, text=text, traceback=traceback):
            _log.error("inference.failed", at=at, text=text, traceback=traceback)
            kinds: dict[str, type[Exception]] = {
                "engine-unavailable": EngineUnavailableError,
                "weights": WeightsError,
                "start": InferenceError,
                "engine": WorkerCrashedError,
                "storage": StorageError,
            }
            return kinds[at](text)
        case _:
            return WorkerCrashedError("the inference process answered what it was not asked")


def _ignore(_: Progress) -> None:
    """Take progress that nobody asked for."""
