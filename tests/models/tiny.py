"""A tiny real network, for tests that need a model and not its judgement.

It smooths a coarse grid and calls liver what lies in a range of HU, lesion what lies in its lower part.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (20, 32, 32)
LOWEST_HU, HIGHEST_HU = -200, 300
#: HU between which the tiny network draws a liver, and below which it calls it lesion.
LIVER_HU, LESION_HU = (20, 180), 75

_MANIFEST = """\
name = "tiny"
version = "1"
manufacturer = "Overread's tests"
origin = "a threshold written as a network"
licence = "Apache-2.0"
intended_input = "volumes that tests draw"
training_data = "none"
pipeline = "models.simple:segment"
smallest_lesion_ml = 0.05

[settings]
lowest_hu = {lowest}
highest_hu = {highest}
threshold = 0.5

[[labels]]
value = 1
meaning = "liver parenchyma"

[[labels]]
value = 2
meaning = "lesion inside the liver"

[networks.tiny]
file = "tiny.onnx"
sha256 = "{sha256}"
input_shape = [1, 1, {size}]
output_shape = [1, 2, {size}]
"""


def write_tiny_model(weights_dir: Path) -> Path:
    """Write manifest and network of the model ``tiny``.

    Parameters
    ----------
    weights_dir
        Where the model's folder is made; the weights directory to name to a node.

    Returns
    -------
    Path
        The model's folder, for `models.manifest.load`.
    """
    folder = weights_dir / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    network = _network()
    (folder / "tiny.onnx").write_bytes(network)
    text = _MANIFEST.format(
        lowest=LOWEST_HU,
        highest=HIGHEST_HU,
        sha256=hashlib.sha256(network).hexdigest(),
        size=", ".join(map(str, SIZE)),
    )
    (folder / "manifest.toml").write_text(text, encoding="utf-8")
    return folder


def _network() -> bytes:
    """Return ONNX of: smooth, then sigmoid(steep (x - low)) * sigmoid(steep (high - x)) a channel."""
    low, middle, high = ((hu - LOWEST_HU) / (HIGHEST_HU - LOWEST_HU) for hu in (LIVER_HU[0], LESION_HU, LIVER_HU[1]))
    steep = 100.0
    constants = {
        "rise": np.full((2, 1, 1, 1, 1), steep, np.float32),
        "rise_from": np.full(2, -steep * low, np.float32),
        "fall": np.full((2, 1, 1, 1, 1), -steep, np.float32),
        "fall_from": np.array([steep * high, steep * middle], np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["smooth"], kernel_shape=[3, 3, 3], pads=[1] * 6),
        helper.make_node("Conv", ["smooth", "rise", "rise_from"], ["above"]),
        helper.make_node("Conv", ["smooth", "fall", "fall_from"], ["below"]),
        helper.make_node("Sigmoid", ["above"], ["is_above"]),
        helper.make_node("Sigmoid", ["below"], ["is_below"]),
        helper.make_node("Mul", ["is_above", "is_below"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, *SIZE))],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, (1, 2, *SIZE))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised
