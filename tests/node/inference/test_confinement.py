from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from node.inference import WorkerHungError
from tests.node.inference.overlay.models.rehearsal import Command
from tests.node.inference.rehearsal import Rehearsal


def test_a_worker_has_none_of_the_secrets_of_its_node(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERREAD_MASTER_KEY", "not for the worker")
    monkeypatch.setenv("PGPASSWORD", "nor this")
    with rehearsal.service() as service:
        assert service.pid is not None
        worker = psutil.Process(service.pid)
        environment = worker.environ()
        assert worker.cwd() == "/"
        assert "not for the worker" not in " ".join(worker.cmdline())
    assert "not for the worker" not in environment.values()
    allowed = {"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH"}
    assert {name for name in environment if not name.startswith(("CUDA_", "NVIDIA_", "OMP_"))} <= allowed


@pytest.mark.skipif(sys.platform != "linux", reason="what the kernel of Linux offers")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_worker_reaches_no_network_and_no_file_of_its_node(rehearsal: Rehearsal, tmp_path: Path, engine: str) -> None:
    with (tmp_path / "vault").open("w") as vault:
        os.set_inheritable(vault.fileno(), True)  # what a careless library would do
        with rehearsal.service(engine=engine) as service:
            facts = service.segment(rehearsal.volume(Command.LOOK_AROUND)).facts
            assert service.pid is not None
            open_files = [file.path for file in psutil.Process(service.pid).open_files()]
    assert open_files == []
    assert facts["errno_of_ipv4"] == errno.EACCES
    assert facts["errno_of_ipv6"] == errno.EACCES
    assert facts["unix_sockets"] == 1
    assert facts["largest_core"] == 0
    assert facts["oom_score_adj"] > int(Path("/proc/self/oom_score_adj").read_text())


def test_the_log_says_what_was_given_up_and_names_no_study(rehearsal: Rehearsal) -> None:
    with capture_logs() as logs, rehearsal.service(stall_seconds=1.0) as service:
        key = rehearsal.volume(Command.HANG)
        with pytest.raises(WorkerHungError):
            service.segment(key)
    assert [line["event"] for line in logs] == ["inference.ready", "inference.worker-lost"]
    assert logs[0]["confinement"] == ("no-core-dump", "dies-with-parent", "no-network", "killed-first")
    assert key not in str(logs)
