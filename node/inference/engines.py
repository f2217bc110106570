"""What runs a network: OpenVINO or ONNX Runtime on the CPU, ONNX Runtime on a CUDA GPU. Always in float32.

OpenVINO is about 1.5 to 2 times faster on a CPU than ONNX Runtime's own kernels. Both would quietly do less than asked
if they were let: OpenVINO computes in bfloat16 where the CPU has it, CUDA convolves in TF32, and ONNX Runtime falls
back to the CPU when the GPU cannot be used. Each of these is switched off here, and what cannot be had is an error.

Both also report their use to their makers over the internet, from the moment of their import, unless they are kept from
it. A hospital's node does not: import them through this module only.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.inference.errors import EngineFailedError, EngineUnavailableError

Float = NDArray[np.float32]

_INSTALL_CPU = "install it with `pip install overread[cpu]`"
_INSTALL_GPU = (
    "install it with `make install ACCEL=gpu`, or `pip install overread[gpu]` in an environment without overread[cpu]"
)


class EngineKind(StrEnum):
    """What runs the networks.

    ``auto`` is OpenVINO where it is installed, else ONNX Runtime, both on the CPU. A GPU is used only where it is asked
    for by name: results are to be reproduced on what the site chose, not on what happened to be found.
    """

    AUTO = "auto"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    CUDA = "cuda"


@dataclass(frozen=True)
class Network:
    """One network, loaded and ready.

    Attributes
    ----------
    shape
        Of the only batch that it takes.
    infer
        Runs it. The result is the caller's own.
    release
        Gives the memory of intermediate results back until the next run.
    """

    shape: tuple[int, ...]
    infer: Callable[[Float], Float]
    release: Callable[[], None]


class Engine:
    """The networks of a model, loaded into one engine.

    Parameters
    ----------
    description
        Engine, version, device and precision, as the reports name them.
    networks
        By name.
    """

    def __init__(self, description: str, networks: Mapping[str, Network]) -> None:
        self.description = description
        self._networks = dict(networks)
        self._warm: str | None = None

    def run(self, network: str, batch: Float) -> Float:
        """Run a network on one batch.

        Parameters
        ----------
        network
            Its name in the model's manifest.
        batch
            Exactly the shape that the network was converted with: a free size costs 1.6 times the time.

        Returns
        -------
        ndarray
            The network's only output, float32.

        Raises
        ------
        ValueError
            If there is no such network or the batch has another shape or type: the pipeline is wrong.
        EngineFailedError
            If the engine broke. It may not be used any more: after some faults of a GPU every later run fails too.
        """
        if network not in self._networks:
            raise ValueError(f"the model has no network {network!r}")
        loaded = self._networks[network]
        if batch.shape != loaded.shape or batch.dtype != np.float32:
            raise ValueError(f"{network} takes float32 {loaded.shape}, not {batch.dtype} {batch.shape}")
        if self._warm not in (None, network):  # one network's intermediate results at a time: up to 3 GB
            self.release()
        self._warm = network
        try:
            return loaded.infer(batch)
        except Exception as error:
            raise EngineFailedError(
                f"{self.description} failed in network {network}: {type(error).__name__}"
            ) from error

    def release(self) -> None:
        """Give back the memory that is only needed while a network runs; the next run takes it again in 0.1 s."""
        if self._warm is not None:
            self._networks[self._warm].release()
            self._warm = None


def open_engine(kind: EngineKind, networks: Mapping[str, bytes], threads: int, loaded: Callable[[str], None]) -> Engine:
    """Load networks into an engine.

    Parameters
    ----------
    kind
        Which engine.
    networks
        ONNX files by name, one input of fixed shape and one output each.
    threads
        CPU threads; 0: one for each CPU that this process may use.
    loaded
        Called with each network's name once it is loaded.

    Raises
    ------
    EngineUnavailableError
        If the engine is not installed or has no device.
    ValueError
        If a network is not what this module can run.
    """
    threads = threads or len(os.sched_getaffinity(0))
    if kind is EngineKind.AUTO:
        kind = EngineKind.OPENVINO if find_spec("openvino") else EngineKind.ONNXRUNTIME
    open_one, description = _OPENERS[kind](threads)
    opened = {}
    for name, data in networks.items():
        opened[name] = open_one(data)
        loaded(name)
    return Engine(description, opened)


Opener = tuple[Callable[[bytes], Network], str]


def _openvino(threads: int) -> Opener:
    # `import openvino` sends an event and writes into the home folder. Without this package it does neither: it carries
    # a stub for that case. The package's own switches are a file in the home folder and pretending to be a CI job.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None makes its import fail, by definition
    try:
        import openvino  # noqa: PLC0415  the extra may not be installed
    except ImportError as error:
        raise EngineUnavailableError(f"OpenVINO is not installed; {_INSTALL_CPU}") from error
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }

    def open_one(data: bytes) -> Network:
        model = core.read_model(io.BytesIO(data))
        if len(model.inputs) != 1 or len(model.outputs) != 1 or not model.inputs[0].partial_shape.is_static:
            raise ValueError("a network must have one input of fixed shape and one output")
        compiled = core.compile_model(model, "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.f32:
            raise EngineUnavailableError("OpenVINO does not compute in float32 on this CPU; use engine onnxruntime")
        request = compiled.create_infer_request()

        def infer(batch: Float) -> Float:
            result: Float = request.infer([batch], share_inputs=True)[0]
            return result

        return Network(tuple(model.inputs[0].shape), infer, compiled.release_memory)

    return open_one, f"OpenVINO {openvino.__version__.split('-')[0]}, CPU, float32"


def _onnxruntime(threads: int) -> Opener:
    runtime = _import_onnxruntime(_INSTALL_CPU)
    options = _session_options(runtime, threads)
    return (
        lambda data: _session(runtime, data, options, "CPUExecutionProvider", {}),
        f"ONNX Runtime {runtime.__version__}, CPU, float32",
    )


def _cuda(threads: int) -> Opener:
    runtime = _import_onnxruntime(_INSTALL_GPU)
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise EngineUnavailableError(f"this installation of ONNX Runtime has no CUDA; {_INSTALL_GPU}")
    runtime.preload_dlls()  # CUDA and cuDNN from their Python packages, where they are installed as such
    options = _session_options(runtime, threads)
    options.use_deterministic_compute = True
    # TF32 keeps 10 bits of the mantissa. An exhaustive search chooses kernels by timing: other results on another day.
    settings = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}

    def open_one(data: bytes) -> Network:
        try:
            return _session(runtime, data, options, "CUDAExecutionProvider", settings)
        except EngineUnavailableError:
            raise
        except Exception as error:  # no device, driver too old, not enough memory: the runtime has a class for each
            raise EngineUnavailableError(f"CUDA cannot be used: {error}") from error

    return open_one, f"ONNX Runtime {runtime.__version__}, CUDA, float32"


_OPENERS: Mapping[EngineKind, Callable[[int], Opener]] = {
    EngineKind.OPENVINO: _openvino,
    EngineKind.ONNXRUNTIME: _onnxruntime,
    EngineKind.CUDA: _cuda,
}


def _import_onnxruntime(install: str) -> Any:
    # From 1.29 on, also on Linux; read when the library is loaded (its docs/Privacy.md). Its Python function comes too
    # late for the first events.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime  # noqa: PLC0415  the extra may not be installed
    except ImportError as error:
        raise EngineUnavailableError(f"ONNX Runtime is not installed; {install}") from error
    return onnxruntime


def _session_options(runtime: Any, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Arena and pattern keep the peak of the largest network for ever: 8 and 4 GB instead of 3, for no time gained.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors
    return options


def _session(runtime: Any, data: bytes, options: Any, provider: str, settings: Mapping[str, str]) -> Network:
    # Even so the runtime goes on without a provider whose libraries cannot be loaded, hence the look at what it took.
    session = runtime.InferenceSession(data, options, providers=[(provider, settings)], enable_fallback=False)
    if session.get_providers()[0] != provider:
        raise EngineUnavailableError(
            f"{provider} was asked for and cannot be used: check the GPU, its driver, and the CUDA and cuDNN libraries "
            "(`pip install onnxruntime-gpu[cuda,cudnn]` brings them)"
        )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1 or not all(isinstance(size, int) for size in inputs[0].shape):
        raise ValueError("a network must have one input of fixed shape and one output")
    name = inputs[0].name

    def infer(batch: Float) -> Float:
        result: Float = session.run(None, {name: batch})[0]
        return result

    return Network(tuple(inputs[0].shape), infer, lambda: None)
