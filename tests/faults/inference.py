"""Controls of the networks and of the process that runs them: models and node.inference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from models import weights
from models.ct_liver_lesions import preparation
from node.inference import engines, process, service
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-062", "faint pieces are outlined as lesions without being found")
def every_spot(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, preparation.found_pieces, lambda probability, *_: probability)


@switches_off("SRS-066", "any file is taken for the network that the manifest names")
def any_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "check", always(None))


@switches_off("SRS-070", "engines compute with the bits of bfloat16")
def few_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    original = engines.Engine.run

    def coarse(self: engines.Engine, network: str, batch: engines.Float) -> engines.Float:
        bits = original(self, network, batch).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)

    monkeypatch.setattr(engines.Engine, "run", coarse)


@switches_off("SRS-071", "where CUDA cannot be used, the CPU computes instead without a word")
def silent_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_cuda", engines._onnxruntime)
    monkeypatch.setitem(engines._OPENERS, engines.EngineKind.CUDA, engines._onnxruntime)  # type: ignore[arg-type]  # a dict


@switches_off("SRS-073", "the inference process gets the node's master key with its environment")
def key_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    original = process.worker_environment
    name = "OVERREAD_MASTER_KEY"

    def with_key(environment: Mapping[str, str]) -> dict[str, str]:
        return {**original(environment), **({name: environment[name]} if name in environment else {})}

    replace_everywhere(monkeypatch, original, with_key)


@switches_off("SRS-074", "an inference process that hangs or dies is kept")
def never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.InferenceService, "_replace", always(None))
