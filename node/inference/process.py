"""The worker as the node sees it: one child process and the socket to it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from node.inference.errors import WorkerCrashedError
from node.inference.messages import ANSWER, Answer

_LARGEST_ANSWER = 1 << 20
_GRACE_S = 5.0
# Everything else stays with the node, its keys and passwords first of all.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "TZ", "LANG")
_PASSED_ON_FAMILIES = ("LC_", "CUDA_", "NVIDIA_", "OMP_")


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the few variables that a worker needs: where libraries lie, locale, GPU.

    Parameters
    ----------
    environment
        The node's own.
    """
    passed_on = {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_FAMILIES)
    }
    # The worker imports from where this process does, installed or not.
    passed_on["PYTHONPATH"] = os.pathsep.join(os.path.realpath(path) for path in sys.path if path)
    return passed_on


class WorkerProcess:
    """A worker process. Not for several threads at a time, but for `kill` and `pid`.

    Create it in a thread that lives as long as the worker shall: the kernel ends the worker with the *thread* that
    started it.

    Parameters
    ----------
    environment
        Its environment variables, all of them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                # -P: nothing that lies in the current folder is imported.
                [sys.executable, "-P", "-m", "node.inference.worker", str(descriptor), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # native libraries print; nothing of it may mix with what a command answers
                pass_fds=(descriptor,),
                env=dict(environment),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the node, which then stops its worker in order
            )
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, message: BaseModel) -> None:
        """Say something to the worker.

        Raises
        ------
        WorkerCrashedError
            If it is gone.
        """
        try:
            self._connection.send_bytes(message.model_dump_json().encode())
        except OSError as error:
            raise self._crashed() from error

    def receive(self, timeout_s: float) -> Answer | None:
        """Return what the worker says next, or None if it says nothing in time.

        Parameters
        ----------
        timeout_s
            Longest wait in seconds.

        Raises
        ------
        WorkerCrashedError
            If it is gone, or said what no worker says.
        """
        try:
            if not self._connection.poll(timeout_s):
                return None
            return ANSWER.validate_json(self._connection.recv_bytes(_LARGEST_ANSWER))
        except (EOFError, OSError) as error:
            raise self._crashed() from error
        except ValidationError as error:
            raise WorkerCrashedError("the inference process gave an answer that cannot be read") from error

    def kill(self) -> None:
        """End it at once, with whatever it is doing. Safe from any thread, and more than once."""
        self._process.kill()

    def close(self) -> None:
        """End it: by closing the conversation, or, if it does not follow in a few seconds, by force."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._process.kill()
        self._process.wait()

    def _crashed(self) -> WorkerCrashedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        status = self._process.poll()
        if status is None:
            how = "closed its connection"
        elif status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
            how += " (by the kernel, for want of memory?)" if status == -signal.SIGKILL else ""
        else:
            how = f"ended with status {status}"
        lived = time.monotonic() - self._started
        return WorkerCrashedError(f"the inference process {how} after {lived:.0f} s")
