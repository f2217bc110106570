"""Controls of settings and installation: node.config, Makefile, docker."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from models import acceptance
from node import config
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-140", "a wrong setting is refused without its line")
def lines_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_line_of", always(None))


@switches_off("SRS-196", "any model is loaded, whoever accepted it or nobody")
def anything_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, acceptance.check_accepted, always(None))


@switches_off("SRS-150", "packages are installed without a look at their hashes")
def no_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    original = subprocess.run

    def run(command: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(command, list) and command[0] == "make":
            makefile = Path(options["cwd"], "Makefile").read_text(encoding="utf-8")
            return original([*command, "-f", "-"], input=makefile.replace("--require-hashes ", ""), **options)
        return original(command, *arguments, **options)

    monkeypatch.setattr(subprocess, "run", run)


@switches_off("SRS-151", "the image runs as root, and the example listens on every network")
def exposed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.read_text

    def read_text(self: Path, *arguments: Any, **options: Any) -> str:
        text = original(self, *arguments, **options)
        if self.name == "Dockerfile":
            return text.replace("USER 10001\n", "")
        return text.replace("127.0.0.1:", "") if self.name == "compose.yaml" else text

    monkeypatch.setattr(Path, "read_text", read_text)
