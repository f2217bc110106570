"""From trained files to ONNX: the same bytes everywhere, and nothing but what the manifest names."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.ct_liver_lesions.convert import convert
from models.manifest import load
from tests.models.formula_weights import formula_hdf5, kernels

#: Of what the converter makes of `formula_hdf5`. If these change, so do the hashes in the manifest.
GOLDEN = {
    "liver": "63c4192cba8150936c05cd0f887bc8280f3bc61eef18fc3155d7fdbc80bc20ff",
    "lesion": "66cc01d2be5a2b2be93c9e20ba2e20c658275227107d5a4020347a9f8145b5b3",
}


@pytest.mark.verifies("SRS-063", level="unit", technique="example")
@pytest.mark.parametrize("network", ["liver", "lesion"])
def test_the_same_weights_make_the_same_bytes_on_every_machine(network: str) -> None:
    converted = convert(network, formula_hdf5(kernels(network)))
    assert hashlib.sha256(converted).hexdigest() == GOLDEN[network]


@pytest.mark.verifies("SRS-063", level="unit", technique="example")
def test_another_process_with_other_hash_seeds_makes_the_same_bytes() -> None:
    code = (
        "import hashlib; from models.ct_liver_lesions.convert import convert\n"
        "from tests.models.formula_weights import formula_hdf5, kernels\n"
        "print(hashlib.sha256(convert('lesion', formula_hdf5(kernels('lesion')))).hexdigest())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "12345", "PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == GOLDEN["lesion"]


@pytest.mark.verifies("SRS-063", level="unit", technique="consistency")
@pytest.mark.parametrize("network", ["liver", "lesion"])
def test_shapes_are_fixed_and_those_of_the_manifest(network: str) -> None:
    model = onnx.load_from_string(convert(network, formula_hdf5(kernels(network))))
    told = load("ct_liver_lesions").networks[network]
    for value, shape in ((model.graph.input[0], told.input_shape), (model.graph.output[0], told.output_shape)):
        assert tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim) == shape
    assert len(model.graph.input) == len(model.graph.output) == 1
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output[0]
    assert tuple(axis.dim_value for axis in inferred.type.tensor_type.shape.dim) == told.output_shape


@pytest.mark.verifies("SRS-063", level="unit", technique="oracle")
def test_kernels_are_turned_and_nothing_else() -> None:
    model = onnx.load_from_string(convert("liver", formula_hdf5(kernels("liver"))))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shape = kernels("liver")[1]
    values = (np.arange(int(np.prod(shape)), dtype=np.int64) * (40503 + 2) >> 4) % 256 - 128
    keras = (values / 256).astype(np.float32).reshape(shape)
    # Keras: x, y, z, in, out. Ours: out, in, slice (z), row (y), column (x).
    assert constants["kernel_2"][7, 3, 2, 1, 0] == keras[0, 1, 2, 3, 7]
    assert np.array_equal(constants["kernel_2"], np.moveaxis(keras, [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]))


@pytest.mark.verifies("SRS-063", level="unit", technique="example")
def test_no_two_means_follow_each_other_that_an_engine_could_merge() -> None:
    """OpenVINO sums over all axes at once if it can, in one float32: probabilities were off by 0.1."""
    model = onnx.load_from_string(convert("lesion", formula_hdf5(kernels("lesion"))))
    made_by = {node.output[0]: node.op_type for node in model.graph.node}
    means = [node for node in model.graph.node if node.op_type == "ReduceMean"]
    assert means
    assert all(made_by[node.input[0]] != "ReduceMean" for node in means)
    assert all(len(next(a.ints for a in node.attribute if a.name == "axes")) == 1 for node in means)


@pytest.mark.verifies("SRS-063", level="unit", technique="bad-input")
def test_a_kernel_of_another_shape_is_refused() -> None:
    shapes = kernels("liver")
    shapes[3] = (*shapes[3][:3], shapes[3][3] + 1, shapes[3][4])
    with pytest.raises(ValueError, match="convolution 4"):
        convert("liver", formula_hdf5(shapes))


@pytest.mark.verifies("SRS-063", level="unit", technique="bad-input")
def test_a_trained_network_with_more_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="15 of 16"):
        convert("liver", formula_hdf5([*kernels("liver"), (1, 1, 1, 1, 1)]))
