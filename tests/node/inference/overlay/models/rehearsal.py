"""A pipeline for tests: a small real network over tiles, and faults on command in the worker's own process.

The command is the value of the volume's first voxel, so that one warm worker can be told to work and then to hang.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import time
from enum import IntEnum
from pathlib import Path

import numpy as np

from models.interface import Segmentation

TILE = (8, 16, 16)


class Command(IntEnum):
    WORK = 0
    HANG = 1
    CRAWL = 2
    BE_KILLED = 3
    FAULT = 4
    RAISE = 5
    EXHAUST_MEMORY = 6
    BREAK_ENGINE = 7
    WRONG_SIZE = 8
    LOOK_AROUND = 9


def segment(hu, affine, run, progress, manifest):
    """Threshold a network's answer, tile by tile along the slices, after doing as told."""
    started = time.perf_counter()
    tiles = len(hu) // TILE[0]
    labels = np.zeros(hu.shape, np.uint8)
    facts = {}
    progress("tiles", 0, tiles)
    for tile in range(tiles):
        if tile == 1:
            facts = _obey(Command(int(hu[0, 0, 0])), run, progress)
        slab = slice(tile * TILE[0], (tile + 1) * TILE[0])
        batch = hu[slab][None, None].astype(np.float32) / 1000
        labels[slab] = run("smooth", batch)[0, 0] > manifest.settings["threshold"]
        progress("tiles", tile + 1, tiles)
    if Command(int(hu[0, 0, 0])) is Command.WRONG_SIZE:
        labels = labels[1:]
    return Segmentation(labels, {"tiles": time.perf_counter() - started}, {"slices": float(len(hu)), **facts})


def _obey(command, run, progress):
    match command:
        case Command.HANG:
            time.sleep(600)
        case Command.CRAWL:
            while True:
                time.sleep(0.05)
                progress("tiles", 1, 3)
        case Command.BE_KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        case Command.FAULT:
            ctypes.string_at(0)
        case Command.RAISE:
            raise ArithmeticError("a volume that the pipeline cannot work on")
        case Command.EXHAUST_MEMORY:
            np.ones(1 << 62, np.uint8)
        case Command.BREAK_ENGINE:
            run("table", np.full((1, 1, 1, 1, 1), 99, np.float32))
        case Command.LOOK_AROUND:
            return _surroundings()
    return {}


def _surroundings():
    """What a pipeline could reach from where it runs."""
    return {
        "errno_of_ipv4": _connect(socket.AF_INET),
        "errno_of_ipv6": _connect(socket.AF_INET6),
        "unix_sockets": float(_connect(socket.AF_UNIX) == 0),
        "largest_core": float(resource.getrlimit(resource.RLIMIT_CORE)[0]),
        "oom_score_adj": float(Path("/proc/self/oom_score_adj").read_text()),
    }


def _connect(family):
    try:
        with socket.socket(family):
            return 0.0
    except OSError as error:
        return float(error.errno)
