"""A tiny real network, for tests that need a model and not its judgement.

It smooths a coarse grid, calls liver what lies in a range of HU, and lesion what lies in its lower part and inside it.
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
LIVER_HU, LESION_HU = (20, 180), 90

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
    """Return ONNX of: smooth; liver is what lies in the range; lesion is what is low and has liver all round."""
    low, middle, high = ((hu - LOWEST_HU) / (HIGHEST_HU - LOWEST_HU) for hu in (LIVER_HU[0], LESION_HU, LIVER_HU[1]))
    steep = 100.0
    constants = {
        "rise": np.full((1, 1, 1, 1, 1), steep, np.float32),
        "fall": np.full((1, 1, 1, 1, 1), -steep, np.float32),
        "from_low": np.array([-steep * low], np.float32),
        "to_middle": np.array([steep * middle], np.float32),
        "to_high": np.array([steep * high], np.float32),
        "one": np.array(1, np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["smooth"], kernel_shape=[3, 3, 3], pads=[1] * 6),
        helper.make_node("Conv", ["smooth", "rise", "from_low"], ["above_low"]),
        helper.make_node("Conv", ["smooth", "fall", "to_high"], ["below_high"]),
        helper.make_node("Conv", ["smooth", "fall", "to_middle"], ["below_middle"]),
        helper.make_node("Sigmoid", ["above_low"], ["is_above_low"]),
        helper.make_node("Sigmoid", ["below_high"], ["is_below_high"]),
        helper.make_node("Sigmoid", ["below_middle"], ["is_below_middle"]),
        helper.make_node("Mul", ["is_above_low", "is_below_high"], ["liver"]),
        # The rim of the liver is half fat, and so as low as a lesion.
        helper.make_node("Sub", ["one", "liver"], ["other"]),
        helper.make_node("MaxPool", ["other"], ["other_near"], kernel_shape=[3, 3, 3], pads=[1] * 6),
        helper.make_node("Sub", ["one", "other_near"], ["inside"]),
        helper.make_node("Mul", ["inside", "is_below_middle"], ["lesion"]),
        helper.make_node("Concat", ["liver", "lesion"], ["probability"], axis=1),
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
