"""From the package's HDF5 to ONNX, byte for byte the same on every machine.

The manifest names the SHA-256 of each ONNX file, so that a node refuses to start with anything else. That only works
if converting is deterministic: no arithmetic on the weights (a kernel is only transposed), no version of a library in
the file (opset, IR version and producer are ours), names by counting.

Why a mean is a chain of three: a channel of the first level has 5 million voxels, and engines sum them in one running
float32. With ONNX's InstanceNormalization the probabilities were off by up to 0.08 in ONNX Runtime and 0.28 in
OpenVINO. One axis at a time keeps every partial sum short. OpenVINO merges neighbouring ReduceMean again (off by 0.02),
so the middle one is written as a pooling over the whole axis: now both engines agree to 1e-5.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.ct_liver_lesions.architecture import EPSILON, LEAK, NETWORKS, Convolution, Size, UNet, forward

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class _Value:
    name: str
    channels: int
    size: Size


@dataclass
class _Writer:
    """The `Operations` that write ONNX nodes down."""

    weights: h5py.File
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    convolutions: int = 0

    def _add(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, name: str, array: NDArray[np.generic]) -> str:
        if name not in self.constants:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            little_endian = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
            self.constants[name] = helper.make_tensor(name, kind, array.shape, little_endian.tobytes(), raw=True)
        return name

    def convolve(self, x: _Value, layer: Convolution, *, padded: bool) -> _Value:
        self.convolutions += 1
        group = self.weights[f"conv3d_{self.convolutions}/conv3d_{self.convolutions}"]
        # Keras: (x, y, z, in, out). ONNX, with our order of the axes: (out, in, slice, row, column).
        kernel = np.asarray(group["kernel:0"]).transpose(4, 3, 2, 1, 0)
        expected = (layer.channels, x.channels, *layer.kernel)
        if kernel.shape != expected:
            raise ValueError(f"convolution {self.convolutions} has a kernel of {kernel.shape}, not {expected}")
        name = self._add(
            "Conv",
            [
                x.name,
                self._constant(f"kernel_{self.convolutions}", kernel),
                self._constant(f"bias_{self.convolutions}", np.asarray(group["bias:0"])),
            ],
            kernel_shape=layer.kernel,
            pads=[k // 2 if padded else 0 for k in layer.kernel] * 2,
        )
        lost = [0 if padded else k - 1 for k in layer.kernel]
        return _Value(name, layer.channels, _size(n - m for n, m in zip(x.size, lost, strict=True)))

    def _mean(self, name: str, size: Size) -> str:
        rows = size[1]
        name = self._add("ReduceMean", [name], axes=[4], keepdims=1)
        name = self._add("AveragePool", [name], kernel_shape=[1, rows, 1])
        return self._add("ReduceMean", [name], axes=[2], keepdims=1)

    def normalise(self, x: _Value) -> _Value:
        centred = self._add("Sub", [x.name, self._mean(x.name, x.size)])
        variance = self._mean(self._add("Mul", [centred, centred]), x.size)
        epsilon = self._constant("epsilon", np.array(EPSILON, np.float32))
        deviation = self._add("Add", [self._add("Sqrt", [variance]), epsilon])
        return _Value(self._add("Div", [centred, deviation]), x.channels, x.size)

    def leaky(self, x: _Value) -> _Value:
        return _Value(self._add("LeakyRelu", [x.name], alpha=LEAK), x.channels, x.size)

    def max_pool(self, x: _Value, factor: int) -> _Value:
        sides = [factor] * 3
        name = self._add("MaxPool", [x.name], kernel_shape=sides, strides=sides)
        return _Value(name, x.channels, _size(n // factor for n in x.size))

    def repeat(self, x: _Value, factor: int) -> _Value:
        scales = self._constant(f"repeat_{factor}", np.array([1, 1, factor, factor, factor], np.float32))
        name = self._add(
            "Resize",
            [x.name, "", scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return _Value(name, x.channels, _size(n * factor for n in x.size))

    def interpolate(self, x: _Value, factor: int) -> _Value:
        size = _size(factor * (n - 1) + 1 for n in x.size)
        shape = self._constant(_name("interpolate", size), np.array([1, x.channels, *size], np.int64))
        name = self._add(
            "Resize", [x.name, "", "", shape], mode="linear", coordinate_transformation_mode="align_corners"
        )
        return _Value(name, x.channels, size)

    def crop(self, x: _Value, size: Size) -> _Value:
        if x.size == size:
            return x
        margin = [(n - m) // 2 for n, m in zip(x.size, size, strict=True)]
        start = self._constant(_name("from", margin), np.array(margin, np.int64))
        stop = [a + n for a, n in zip(margin, size, strict=True)]
        end = self._constant(_name("to", stop), np.array(stop, np.int64))
        axes = self._constant("space", np.array([2, 3, 4], np.int64))
        return _Value(self._add("Slice", [x.name, start, end, axes]), x.channels, size)

    def concatenate(self, x: _Value, y: _Value) -> _Value:
        return _Value(self._add("Concat", [x.name, y.name], axis=1), x.channels + y.channels, x.size)

    def add(self, x: _Value, y: _Value) -> _Value:
        return _Value(self._add("Add", [x.name, y.name]), x.channels, x.size)

    def sigmoid(self, x: _Value) -> _Value:
        self.nodes.append(helper.make_node("Sigmoid", [x.name], ["probability"], name="probability"))
        return _Value("probability", x.channels, x.size)


def _size(numbers: Iterable[int]) -> Size:
    slices, rows, columns = numbers
    return slices, rows, columns


def _name(what: str, numbers: Iterable[int]) -> str:
    return "_".join([what, *map(str, numbers)])


def convert(network: str, hdf5: bytes) -> bytes:
    """Convert one trained network.

    Parameters
    ----------
    network
        ``liver`` or ``lesion``.
    hdf5
        Content of the package's file of Keras weights.

    Returns
    -------
    bytes
        The serialised ONNX model: input ``image`` and output ``probability``, float32, ``(1, 1, slice, row, column)``.
    """
    net: UNet = NETWORKS[network]
    with h5py.File(io.BytesIO(hdf5), "r") as weights:
        writer = _Writer(weights)
        result = forward(net, writer, _Value("image", 1, net.input_size))
        trained = sum(1 for name in weights if weights[name].keys() and name.startswith("conv3d_"))
    if result.size != net.output_size or writer.convolutions != trained:
        raise ValueError(f"{network}: {writer.convolutions} of {trained} convolutions used, output {result.size}")
    graph = helper.make_graph(
        writer.nodes,
        network,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, *net.input_size))],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, (1, 1, *net.output_size))],
        list(writer.constants.values()),
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="overread"
    )
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised
