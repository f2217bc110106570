"""What the worker process gives up before it loads anything, so that its faults stay small.

Pixels of patients pass through native code of several libraries here. The process therefore dies with its parent, can
open no network connection (both engines would send usage data to their makers), leaves no core dump with voxels in it,
and is the one that the kernel kills first when memory is short: it can be restarted, the receivers cannot take back an
acknowledged image.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

# linux/prctl.h, linux/seccomp.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_SECCOMP_RET_ALLOW = 0x7FFF0000
_SECCOMP_RET_ERRNO = 0x00050000
# linux/audit.h and the number of socket(2) on each architecture
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
# linux/bpf_common.h: load a word of seccomp_data; jump if equal; return
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_SYSCALL, _OFFSET_ARCHITECTURE, _OFFSET_FIRST_ARGUMENT = 0, 4, 16

_EASIER_TO_KILL = 300  # added to oom_score_adj, whose scale ends at 1000


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def confine(parent: int) -> tuple[str, ...]:
    """Give up what a worker does not need. Call it before any thread is started.

    Parameters
    ----------
    parent
        Process ID of the process that started this one.

    Returns
    -------
    tuple of str
        What was achieved; on a system without one of these means, the rest.

    Raises
    ------
    SystemExit
        If the parent is gone already.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    achieved = ["no-core-dump"]
    if sys.platform != "linux":
        return tuple(achieved)
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0:
        achieved.append("dies-with-parent")
    if os.getppid() != parent:  # it died before the line above
        raise SystemExit(1)
    if _forbid_network(prctl):
        achieved.append("no-network")
    if _offer_to_be_killed():
        achieved.append("killed-first")
    return tuple(achieved)


def _forbid_network(prctl: Callable[..., int]) -> bool:
    """Let socket(2) fail with EACCES for IPv4 and IPv6; Unix sockets and inherited descriptors go on working."""
    if sys.byteorder != "little" or platform.machine() not in _ARCHITECTURES:
        return False
    architecture, socket_number = _ARCHITECTURES[platform.machine()]
    denied = _SECCOMP_RET_ERRNO | errno.EACCES
    lines = (
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, _OFFSET_SYSCALL),
        (_JUMP_IF_EQUAL, 0, 3, socket_number),
        (_LOAD, 0, 0, _OFFSET_FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 2, 0, socket.AF_INET),
        (_JUMP_IF_EQUAL, 1, 0, socket.AF_INET6),
        (_RETURN, 0, 0, _SECCOMP_RET_ALLOW),
        (_RETURN, 0, 0, denied),
    )
    instructions = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    program = _Program(len(lines), instructions)
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0) == 0


def _offer_to_be_killed() -> bool:
    score = Path("/proc/self/oom_score_adj")
    try:
        score.write_text(str(min(1000, int(score.read_text()) + _EASIER_TO_KILL)))
    except OSError:
        return False
    return True
