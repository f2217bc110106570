"""Processes that the demonstration starts, and that never outlive it.

A demonstration that leaves a server behind on a hospital's workstation has failed, however it ended. Each child runs in
a session of its own, so that Ctrl-C reaches this process only and the children are stopped in order; and the kernel
ends it if this process dies without stopping it (Linux: PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1


class Child:
    """A running child process.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File that takes its output.
    environment
        Its environment; this process's own by default.
    grace_s
        Seconds between asking it to end and ending it.

    Notes
    -----
    The kernel sends the death signal when the *thread* that started the child ends: start children in the main thread.
    """

    def __init__(
        self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None, grace_s: float = 15.0
    ) -> None:
        self._grace_s = grace_s
        # A helper process and no preexec_fn, which may deadlock in a process that has threads.
        wrapped = [sys.executable, "-I", __file__, str(os.getpid()), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                wrapped,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit status, negative if a signal ended it, or None while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        # Looked at but not reaped: as long as it is not, its process id cannot belong to a stranger.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def stop(self) -> None:
        """Ask it to end, and end it if it does not, with whatever it started. Returns when all are gone."""
        if self._process.returncode is not None:
            return
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_s
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a TCP port that is free on the loopback interface now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _become(parent: int, command: Sequence[str]) -> None:
    """Ask the kernel for a signal at the parent's death, then become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel was asked
            sys.exit(1)
    os.execvp(command[0], list(command))  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
