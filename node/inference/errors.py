"""What can go wrong with the engine or its process, apart from a study that is refused.

The classes say what a caller can do: nothing before someone mends the installation, or try again.
"""

from __future__ import annotations


class InferenceError(Exception):
    """Base of everything below. The text holds no identity: the worker never has one."""


class EngineUnavailableError(InferenceError):
    """The engine that was asked for is not installed or finds no device. The text says what to install."""


class EngineFailedError(InferenceError):
    """The engine broke while it ran a network: out of memory, lost device. Its process is not to be trusted now."""


class WorkerLostError(InferenceError):
    """The worker process is gone and a fresh one takes its place: the same job may be tried again."""


class WorkerHungError(WorkerLostError):
    """The worker made no progress for too long, or took too long altogether, and was killed."""


class WorkerCrashedError(WorkerLostError):
    """The worker ended by itself: killed for memory, a fault in native code, a broken device."""


class StorageError(InferenceError):
    """The store could not be read or written (disk full, artefact missing). Neither worker nor study is at fault."""


class ServiceStoppedError(InferenceError):
    """The service was stopped, perhaps in the middle of this job. The job is neither done nor refused."""
