from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from scipy.ndimage import correlate

from node.inference.engines import EngineKind, open_engine
from node.inference.errors import EngineFailedError, EngineUnavailableError
from tests.node.inference.overlay.models.rehearsal import TILE
from tests.node.inference.rehearsal import network, smooth_network, table_network

CPU = [EngineKind.ONNXRUNTIME, EngineKind.OPENVINO]


def _ignore(name: str) -> None: ...


def _batch(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (1, 1, *TILE)).astype(np.float32)


@pytest.mark.verifies("SRS-070", level="unit", technique="oracle")
@pytest.mark.parametrize("kind", CPU)
def test_a_network_is_computed_as_its_definition_says(kind: EngineKind) -> None:
    kernel = np.random.default_rng(5).normal(size=(1, 1, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "kernel"], ["probability"], pads=[1] * 6)
    engine = open_engine(kind, {"n": network([node], [1, 1, *TILE], {"kernel": kernel})}, 1, _ignore)
    batch = _batch()
    expected = correlate(batch[0, 0].astype(float), kernel[0, 0].astype(float), mode="constant")
    # 27 products of float32; with bfloat16 the error would be 0.1
    np.testing.assert_allclose(engine.run("n", batch)[0, 0], expected, atol=2e-5)


@pytest.mark.verifies("SRS-070", level="unit", technique="oracle")
def test_the_engines_agree() -> None:
    first, second = (open_engine(kind, {"smooth": smooth_network()}, 2, _ignore) for kind in CPU)
    np.testing.assert_allclose(first.run("smooth", _batch()), second.run("smooth", _batch()), atol=1e-6)


@pytest.mark.verifies("SRS-070", level="unit", technique="example")
@pytest.mark.parametrize("kind", CPU)
def test_a_result_is_not_overwritten_by_the_next_run(kind: EngineKind) -> None:
    engine = open_engine(kind, {"smooth": smooth_network()}, 1, _ignore)
    first = engine.run("smooth", _batch(1))
    kept = first.copy()
    second = engine.run("smooth", _batch(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.verifies("SRS-070", level="unit", technique="example")
@pytest.mark.parametrize("kind", CPU)
def test_networks_take_turns_and_survive_a_release(kind: EngineKind) -> None:
    engine = open_engine(kind, {"a": smooth_network(), "b": smooth_network()}, 1, _ignore)
    expected = engine.run("a", _batch())
    np.testing.assert_array_equal(engine.run("b", _batch()), expected)
    np.testing.assert_array_equal(engine.run("a", _batch()), expected)
    engine.release()
    engine.release()
    np.testing.assert_array_equal(engine.run("a", _batch()), expected)


@pytest.mark.verifies("SRS-070", level="unit", technique="boundary")
@pytest.mark.parametrize("kind", CPU)
def test_a_batch_that_is_not_contiguous_is_read_right(kind: EngineKind) -> None:
    engine = open_engine(kind, {"smooth": smooth_network()}, 1, _ignore)
    flipped = _batch()[..., ::-1]
    np.testing.assert_array_equal(engine.run("smooth", flipped), engine.run("smooth", flipped.copy()))


@pytest.mark.verifies("SRS-070", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("name", "batch", "said"),
    [
        ("nothing", np.zeros((1, 1, *TILE), np.float32), "no network 'nothing'"),
        ("smooth", np.zeros((1, 1, 8, 16, 15), np.float32), "not float32"),
        ("smooth", np.zeros((1, 1, *TILE), np.float64), "not float64"),
    ],
)
@pytest.mark.parametrize("kind", CPU)
def test_a_batch_that_does_not_fit_is_the_fault_of_the_caller(
    kind: EngineKind, name: str, batch: np.ndarray, said: str
) -> None:
    engine = open_engine(kind, {"smooth": smooth_network()}, 1, _ignore)
    with pytest.raises(ValueError, match=said):
        engine.run(name, batch)


@pytest.mark.verifies("SRS-074", level="unit", technique="fault-injection")
def test_a_run_that_breaks_is_the_fault_of_the_engine() -> None:
    engine = open_engine(EngineKind.ONNXRUNTIME, {"table": table_network()}, 1, _ignore)
    with pytest.raises(EngineFailedError, match="in network table"):
        engine.run("table", np.full((1, 1, 1, 1, 1), 99, np.float32))


@pytest.mark.verifies("SRS-070", level="unit", technique="bad-input")
@pytest.mark.parametrize("kind", CPU)
def test_a_network_of_free_size_is_not_taken(kind: EngineKind) -> None:
    node = helper.make_node("Sigmoid", ["image"], ["probability"])
    free = network([node], [1, 1, "slices", 16, 16], {})
    with pytest.raises(ValueError, match="fixed shape"):
        open_engine(kind, {"n": free}, 1, _ignore)


@pytest.mark.verifies("SRS-070", level="unit", technique="bad-input")
@pytest.mark.parametrize("kind", CPU)
def test_a_network_of_two_outputs_is_not_taken(kind: EngineKind) -> None:
    nodes = [helper.make_node("Sigmoid", ["image"], ["probability"]), helper.make_node("Neg", ["image"], ["b"])]
    with pytest.raises(ValueError, match="one output"):
        open_engine(kind, {"n": network(nodes, [1, 1, 2, 2, 2], {}, outputs=2)}, 1, _ignore)


@pytest.mark.verifies("SRS-078", level="unit", technique="example")
def test_every_network_is_announced_when_it_is_loaded() -> None:
    loaded: list[str] = []
    open_engine(EngineKind.ONNXRUNTIME, {"a": smooth_network(), "b": table_network()}, 0, loaded.append)
    assert loaded == ["a", "b"]


@pytest.mark.verifies("SRS-071", level="unit", technique="example")
def test_auto_is_openvino_and_without_it_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {"smooth": smooth_network()}
    assert open_engine(EngineKind.AUTO, networks, 1, _ignore).description.startswith("OpenVINO 20")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_engine(EngineKind.AUTO, networks, 1, _ignore).description == (
        f"ONNX Runtime {version('onnxruntime')}, CPU, float32"
    )


@pytest.mark.verifies("SRS-071", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [
        (EngineKind.OPENVINO, "openvino", "cpu"),
        (EngineKind.ONNXRUNTIME, "onnxruntime", "cpu"),
        (EngineKind.CUDA, "onnxruntime", "gpu"),
    ],
)
def test_an_engine_that_is_not_installed_says_what_to_install(
    kind: EngineKind, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineUnavailableError, match=rf"pip install overread\[{extra}\]"):
        open_engine(kind, {"smooth": smooth_network()}, 1, _ignore)


@pytest.mark.verifies("SRS-071", level="unit", technique="bad-input")
@pytest.mark.skipif("onnxruntime" not in packages_distributions()["onnxruntime"], reason="this one has CUDA")
def test_cuda_that_is_not_there_is_an_error_and_no_run_on_the_cpu() -> None:
    with pytest.raises(EngineUnavailableError, match="has no CUDA; install it with `make install ACCEL=gpu`"):
        open_engine(EngineKind.CUDA, {"smooth": smooth_network()}, 1, _ignore)


@pytest.mark.verifies("SRS-073", level="integration", technique="adversarial")
@pytest.mark.parametrize("kind", CPU)
def test_an_engine_reports_its_use_to_nobody(kind: EngineKind, tmp_path: Path) -> None:
    """A process of its own: no other test has loaded anything, and the makers' identifiers would appear in its home."""
    script = f"""
import sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event in ("socket.getaddrinfo", "socket.connect") else None)
from node.inference.engines import EngineKind, open_engine
from tests.node.inference.rehearsal import smooth_network
open_engine(EngineKind("{kind}"), {{"smooth": smooth_network()}}, 1, print)
print(asked)
"""
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "HOME": str(tmp_path)}
    witness = ("COVERAGE_", "OVERREAD_TEST_ID")  # for the evidence of what this test executed
    environment |= {name: value for name, value in os.environ.items() if name.startswith(witness)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert done.stdout.splitlines() == ["smooth", "[]"]
    assert list(tmp_path.iterdir()) == []
