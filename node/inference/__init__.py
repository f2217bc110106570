"""A resident worker process: volumes in, label maps out.

`service` is what the node uses: it keeps one `worker` process, with the networks warm, and kills and replaces it when
it hangs or dies. `engines` run a network on a CPU or a GPU. The worker gets store keys, pixels and geometry; it is
given no identity, no secret and no network connection.
"""

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
from node.inference.messages import Progress
from node.inference.service import InferenceService, SegmentationResult

__all__ = [
    "EngineKind",
    "EngineUnavailableError",
    "InferenceError",
    "InferenceService",
    "Progress",
    "SegmentationResult",
    "ServiceStoppedError",
    "StorageError",
    "WorkerCrashedError",
    "WorkerHungError",
    "WorkerLostError",
]
