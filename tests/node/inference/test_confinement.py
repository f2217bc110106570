from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from node.inference import WorkerHungError
from tests.node.inference.overlay.models.rehearsal import Command
from tests.node.inference.rehearsal import Rehearsal


@pytest.mark.verifies("SRS-073", level="integration", technique="adversarial")
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


@pytest.mark.verifies("SRS-073", level="integration", technique="adversarial")
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


@pytest.mark.verifies("SRS-073", level="integration", technique="fault-injection")
def test_the_log_says_what_was_given_up_and_names_no_study(rehearsal: Rehearsal) -> None:
    with capture_logs() as logs, rehearsal.service(stall_seconds=1.0) as service:
        key = rehearsal.volume(Command.HANG)
        with pytest.raises(WorkerHungError):
            service.segment(key)
    assert [line["event"] for line in logs] == ["inference.ready", "inference.worker-lost"]
    assert logs[0]["confinement"] == ("no-core-dump", "dies-with-parent", "no-network", "killed-first")
    assert key not in str(logs)


_CONFINED = """
import errno, json, os, resource, socket, sys
from node.inference.confinement import confine
achieved = confine(os.getppid() if sys.argv[1] == "parent" else 1)
def errno_of(family):
    try:
        socket.socket(family).close()
    except OSError as error:
        return error.errno
    return 0
print(json.dumps([achieved, [errno_of(f) for f in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)],
                  resource.getrlimit(resource.RLIMIT_CORE)]))
"""


@pytest.mark.verifies("SRS-073", level="unit", technique="adversarial")
@pytest.mark.skipif(sys.platform != "linux", reason="what the kernel of Linux offers")
def test_a_process_that_was_confined_opens_no_network_socket() -> None:
    done = subprocess.run([sys.executable, "-c", _CONFINED, "parent"], capture_output=True, text=True, check=True)
    achieved, errors, core = json.loads(done.stdout)
    assert achieved == ["no-core-dump", "dies-with-parent", "no-network", "killed-first"]
    assert errors == [errno.EACCES, errno.EACCES, 0]
    assert core == [0, 0]


@pytest.mark.verifies("SRS-073", level="unit", technique="boundary")
@pytest.mark.skipif(sys.platform != "linux", reason="what the kernel of Linux offers")
def test_a_process_whose_parent_is_gone_does_not_begin() -> None:
    done = subprocess.run([sys.executable, "-c", _CONFINED, "other"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
