"""A node that kills itself with SIGKILL at a named moment. The product runs as it is; only the ledger is watched.

``before:STEP``: the step before is recorded, this one has not begun. ``within:STEP``: the long step has told progress.
``after:STEP``: the step has done all its work, and nothing of that is recorded as done.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from node.config import load_config
from node.ledger import Ledger
from node.logs import configure_logs
from node.serve import serve


def die_at(moment: str) -> None:
    """Arrange the end of this process."""
    when, _, step = moment.partition(":")
    progress, took = Ledger.progress, Ledger.took

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watched_progress(self: Ledger, study: str, name: str, done: int = 0, total: int = 0) -> None:
        if (when == "before" and name == step) or (when == "within" and name.startswith(f"{step}: ") and done):
            die()
        progress(self, study, name, done, total)

    def watched_took(self: Ledger, study: str, seconds: Mapping[str, float]) -> None:
        if when == "after" and step in seconds:
            die()
        took(self, study, seconds)

    Ledger.progress = watched_progress  # type: ignore[method-assign]
    Ledger.took = watched_took  # type: ignore[method-assign]


if __name__ == "__main__":
    die_at(sys.argv[1])
    configure_logs("json", "info")
    serve(load_config(Path(sys.argv[2])))
