from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from structlog.testing import capture_logs

from models.weights import WeightsError
from node.dicom.reasons import Reason, Refused
from node.dicom.volume import Volume
from node.inference import (
    EngineUnavailableError,
    InferenceError,
    StorageError,
    WorkerCrashedError,
    WorkerHungError,
)
from node.inference.engines import EngineKind, open_engine
from tests.node.inference.overlay.models.rehearsal import TILE, Command
from tests.node.inference.rehearsal import GRID, SHAPE, THRESHOLD, Rehearsal, gone, smooth_network

# ---- a good day


@pytest.mark.verifies("SRS-078", "SRS-135", level="integration", technique="oracle")
def test_the_label_map_is_what_the_networks_say_on_the_grid_of_the_source(rehearsal: Rehearsal) -> None:
    key = rehearsal.volume(seed=4)
    hu = Volume.from_bytes(rehearsal.store.get(key)).hu
    engine = open_engine(EngineKind.ONNXRUNTIME, {"smooth": smooth_network()}, 1, lambda _: None)
    slabs = hu.reshape(3, 1, 1, *TILE).astype(np.float32) / 1000
    expected = np.concatenate([engine.run("smooth", slab[None][0])[0, 0] > THRESHOLD for slab in slabs])
    with rehearsal.service() as service:
        result = service.segment(key)
    labels = rehearsal.labels(result.labels_key)
    assert labels.geometry == GRID
    assert 0 < labels.labels.sum() < labels.labels.size
    np.testing.assert_array_equal(labels.labels, expected)


@pytest.mark.verifies("SRS-078", level="integration", technique="example")
def test_one_warm_process_does_one_job_after_the_other(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        results = [service.segment(rehearsal.volume(seed=seed)) for seed in (1, 2, 1)]
        assert service.pid == pid
    assert pid is not None
    assert pid != os.getpid()
    assert gone(pid)
    assert results[0].labels_key == results[2].labels_key != results[1].labels_key


@pytest.mark.verifies("SRS-078", level="integration", technique="example")
def test_progress_comes_for_every_tile_while_the_job_runs(rehearsal: Rehearsal) -> None:
    seen: list[tuple[str, int, int]] = []
    with rehearsal.service() as service:
        service.segment(rehearsal.volume(), lambda at: seen.append((at.step, at.done, at.total)))
    assert seen == [("tiles", 0, 3), ("tiles", 1, 3), ("tiles", 2, 3), ("tiles", 3, 3)]


@pytest.mark.verifies("SRS-078", level="integration", technique="example")
def test_the_time_of_every_step_and_the_facts_come_with_the_result(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        result = service.segment(rehearsal.volume())
    assert set(result.seconds) == {"read_volume", "tiles", "store_labels"}
    assert all(0 < seconds < 60 for seconds in result.seconds.values())
    assert result.facts == {"slices": SHAPE[0]}


@pytest.mark.verifies("SRS-078", level="integration", technique="example")
def test_the_service_names_model_weights_and_engine_as_reports_must(rehearsal: Rehearsal) -> None:
    with rehearsal.service(engine="openvino") as service:
        result = service.segment(rehearsal.volume())
    assert service.identity == result.identity
    assert (result.identity.name, result.identity.version) == ("rehearsal", "1")
    assert result.identity.weights_sha256 == rehearsal.manifest.weights_sha256
    engine = result.identity.parameters.pop("engine")
    assert engine.startswith("OpenVINO 20")
    assert engine.endswith(", CPU, float32")
    assert result.identity.parameters == {"threshold": "0.5", "smallest_lesion_ml": "0.1"}
    assert service.min_lesion_ml == rehearsal.manifest.smallest_lesion_ml


@pytest.mark.verifies("SRS-078", level="integration", technique="oracle")
def test_both_engines_draw_the_same(rehearsal: Rehearsal) -> None:
    maps = []
    for engine in ("onnxruntime", "openvino"):
        with rehearsal.service(engine=engine) as service:
            maps.append(rehearsal.labels(service.segment(rehearsal.volume()).labels_key).labels)
    assert (maps[0] != maps[1]).sum() <= 0.001 * (maps[0] > 0).sum()


@pytest.mark.verifies("SRS-078", level="integration", technique="example")
def test_callers_in_several_threads_are_served_one_by_one(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        keys = [rehearsal.volume(seed=seed) for seed in range(4)]
        alone = [service.segment(key).labels_key for key in keys]
        together: dict[str, str] = {}
        threads = [
            threading.Thread(target=lambda key=key: together.update({key: service.segment(key).labels_key}))
            for key in keys
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [together[key] for key in keys] == alone


@pytest.mark.verifies("SRS-079", level="integration", technique="example")
def test_the_worker_outlives_the_thread_that_started_the_service(rehearsal: Rehearsal) -> None:
    # The kernel sends a child's death signal when the *thread* that started it ends.
    service = rehearsal.service()
    thread = threading.Thread(target=service.start)
    thread.start()
    thread.join(60)
    pid = service.pid
    service.segment(rehearsal.volume())
    assert service.pid == pid
    service.stop()


# ---- a volume that cannot be worked on


@pytest.mark.verifies("SRS-076", level="integration", technique="fault-injection")
@pytest.mark.parametrize(("command", "kind"), [(Command.RAISE, "ArithmeticError"), (Command.WRONG_SIZE, "ValueError")])
def test_a_volume_that_the_pipeline_cannot_work_on_is_refused_and_the_worker_stays(
    rehearsal: Rehearsal, command: Command, kind: str
) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        with capture_logs() as logs, pytest.raises(Refused) as refused:
            service.segment(rehearsal.volume(command))
        service.segment(rehearsal.volume())
        assert service.pid == pid
    assert refused.value.reason is Reason.INFERENCE_FAILED
    assert kind in refused.value.text
    assert kind in logs[0]["traceback"]


@pytest.mark.verifies("SRS-076", "SRS-135", level="integration", technique="bad-input")
def test_what_is_no_volume_is_refused_and_the_worker_stays(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        for data in (b"", b"no volume", b"PK\x05\x06" + 18 * b"\0"):
            with pytest.raises(Refused, match=Reason.INFERENCE_FAILED.value):
                service.segment(rehearsal.store.put(data))
        service.segment(rehearsal.volume())
        assert service.pid == pid


# ---- a store that fails


@pytest.mark.verifies("SRS-076", level="integration", technique="bad-input")
@pytest.mark.parametrize("key", ["sha256:" + 64 * "0", "../../etc/passwd", ""])
def test_an_artefact_that_is_not_there_is_not_the_fault_of_the_study(rehearsal: Rehearsal, key: str) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        with pytest.raises(StorageError):
            service.segment(key)
        service.segment(rehearsal.volume())
        assert service.pid == pid


@pytest.mark.verifies("SRS-076", "SRS-133", level="integration", technique="fault-injection")
def test_a_damaged_artefact_is_not_read(rehearsal: Rehearsal) -> None:
    key = rehearsal.volume()
    path = rehearsal.store.path(key)
    path.write_bytes(path.read_bytes() + b"damage")
    with rehearsal.service() as service, pytest.raises(StorageError, match="damaged"):
        service.segment(key)


@pytest.mark.verifies("SRS-076", level="integration", technique="fault-injection")
def test_a_label_map_that_cannot_be_stored_is_not_the_fault_of_the_study(rehearsal: Rehearsal) -> None:
    key = rehearsal.volume()
    with rehearsal.service() as service:
        expected = service.segment(key).labels_key
        path = rehearsal.store.path(expected)
        path.unlink()
        path.parent.rmdir()
        path.parent.write_text("a file where the folder must be")
        with pytest.raises(StorageError, match="label map cannot be written"):
            service.segment(key)
        path.parent.unlink()
        assert service.segment(key).labels_key == expected


# ---- a start that must fail


@pytest.mark.verifies("SRS-066", level="integration", technique="adversarial")
def test_a_network_of_another_hash_is_refused(rehearsal: Rehearsal) -> None:
    service = rehearsal.service()
    rehearsal.file.write_bytes(smooth_network()[:-1] + b"\0")
    with pytest.raises(WeightsError, match="has SHA-256"):
        service.start()
    assert service.pid is None
    rehearsal.file.write_bytes(smooth_network())
    service.start()
    service.stop()


@pytest.mark.verifies("SRS-066", level="integration", technique="bad-input")
def test_a_missing_network_is_refused(rehearsal: Rehearsal) -> None:
    rehearsal.file.unlink()
    with pytest.raises(WeightsError, match=r"smooth\.onnx"):
        rehearsal.service().start()


@pytest.mark.verifies("SRS-066", level="integration", technique="adversarial")
def test_a_network_that_was_changed_meanwhile_is_not_taken_by_a_fresh_worker(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        rehearsal.file.write_bytes(smooth_network()[:-1] + b"\0")
        with pytest.raises(WorkerCrashedError):
            service.segment(rehearsal.volume(Command.BE_KILLED))
        for _ in range(2):
            with pytest.raises(WeightsError):
                service.segment(rehearsal.volume())
        rehearsal.file.write_bytes(smooth_network())
        service.segment(rehearsal.volume())


@pytest.mark.verifies("SRS-071", level="integration", technique="bad-input")
def test_a_network_that_no_engine_reads_is_named(rehearsal: Rehearsal) -> None:
    rehearsal.networks["smooth"] = b"no network, but of the right hash"
    rehearsal.file.write_bytes(rehearsal.networks["smooth"])
    with capture_logs() as logs, pytest.raises(InferenceError, match="the model cannot be loaded"):
        rehearsal.service().start()
    assert "Traceback" in logs[0]["traceback"]


@pytest.mark.verifies("SRS-071", level="integration", technique="bad-input")
def test_a_pipeline_that_is_not_there_is_named(rehearsal: Rehearsal) -> None:
    service = rehearsal.service(model=rehearsal.manifest.model_copy(update={"pipeline": "models.nowhere:segment"}))
    with pytest.raises(InferenceError, match=r"there is no models\.nowhere:segment"):
        service.start()


@pytest.mark.verifies("SRS-071", level="integration", technique="bad-input")
def test_cuda_that_is_not_there_keeps_the_service_from_starting(rehearsal: Rehearsal) -> None:
    service = rehearsal.service(engine="cuda")
    with pytest.raises(EngineUnavailableError, match=r"overread\[gpu\]|check the GPU|CUDA cannot be used"):
        service.start()


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
def test_a_load_that_takes_too_long_is_given_up(rehearsal: Rehearsal) -> None:
    service = rehearsal.service(load_seconds=0.01)
    with pytest.raises(WorkerHungError):
        service.start()
    assert service.pid is None
