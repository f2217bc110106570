"""A small model for tests: real ONNX networks made on the spot, and a service that runs them under test commands."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.manifest import Manifest
from node.dicom.geometry import Geometry
from node.dicom.volume import LabelMap, Volume
from node.inference import InferenceService
from node.store import Store
from tests.node.inference.overlay.models.rehearsal import TILE, Command

OVERLAY = Path(__file__).parent / "overlay"
THRESHOLD = 0.5
SHAPE = (3 * TILE[0], TILE[1], TILE[2])


def smooth_network() -> bytes:
    """Two convolutions with a nonlinearity between, seeded: close enough to a U-Net to see how engines differ."""
    random = np.random.default_rng(7)
    first = (random.normal(size=(4, 1, 3, 3, 3)) / 5).astype(np.float32)
    second = (random.normal(size=(1, 4, 3, 3, 3)) / 5).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["a"], pads=[1] * 6),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.01),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1] * 6),
        helper.make_node("Sigmoid", ["c"], ["probability"]),
    ]
    return network(nodes, [1, 1, *TILE], {"first": first, "second": second})


def table_network() -> bytes:
    """Looks its input up in a table of four entries: an index beyond it breaks the run, not the loading."""
    nodes = [
        helper.make_node("Cast", ["image"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["probability"]),
    ]
    return network(nodes, [1, 1, 1, 1, 1], {"table": np.arange(4, dtype=np.float32)})


def network(nodes: list[Any], shape: list[Any], constants: dict[str, NDArray[Any]], outputs: int = 1) -> bytes:
    """Return an ONNX network with one input ``image``; its first output is ``probability``."""
    names = ["probability", "b", "c"][:outputs]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model).SerializeToString()


@dataclass
class Rehearsal:
    """The folder of a test model and its store."""

    root: Path

    def __post_init__(self) -> None:
        self.store = Store(self.root / "store")
        self.networks = {"smooth": smooth_network(), "table": table_network()}
        folder = self.root / "weights" / "rehearsal"
        folder.mkdir(parents=True)
        for name, data in self.networks.items():
            (folder / f"{name}.onnx").write_bytes(data)
        self.file = folder / "smooth.onnx"

    @property
    def manifest(self) -> Manifest:
        return Manifest.model_validate(
            {
                "name": "rehearsal",
                "version": "1",
                "manufacturer": "Overread tests",
                "origin": "made for this test",
                "licence": "Apache-2.0",
                "intended_input": "synthetic volumes",
                "training_data": "none",
                "pipeline": "models.rehearsal:segment",
                "settings": {"threshold": THRESHOLD},
                "smallest_lesion_ml": 0.1,
                "labels": [{"value": 1, "meaning": "above the threshold"}],
                "networks": {
                    name: {
                        "file": f"{name}.onnx",
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "input_shape": [1, 1, *TILE],
                        "output_shape": [1, 1, *TILE],
                    }
                    for name, data in self.networks.items()
                },
            }
        )

    def service(self, **settings: Any) -> InferenceService:
        settings = {"model": self.manifest, "engine": "onnxruntime", "threads": 1, "stall_seconds": 60.0, **settings}
        return InferenceService(store_root=self.root / "store", weights_dir=self.root / "weights", **settings)

    def volume(self, command: Command = Command.WORK, seed: int = 1) -> str:
        """Put a volume of noise into the store whose first voxel carries a command, and return its key."""
        hu = np.random.default_rng(seed).normal(0, 800, SHAPE).astype(np.int16)
        hu[0, 0, 0] = command
        return self.store.put(Volume(hu, GRID, GRID).to_bytes())

    def labels(self, key: str) -> LabelMap:
        return LabelMap.from_bytes(self.store.get(key))


GRID = Geometry(
    shape=SHAPE,
    origin=(-10.0, -20.0, 30.0),
    spacing=(3.0, 0.7, 0.8),
    axes=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
