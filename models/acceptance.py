"""Whether a model's weights were accepted under the change plan, as the node asks before it loads them.

An acceptance names the model by everything that changes its results: the hashes of its networks and its settings. It is
signed. A node in the release profile loads nothing without one from a key that its site trusts; in development it says
that there is none.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.manifest import Manifest


class NotAcceptedError(Exception):
    """The weights were not accepted under the change plan, or not by someone whom the site trusts."""


class Acceptance(BaseModel):
    """The signed word that a model passed the criteria of the change plan.

    Attributes
    ----------
    model, version
        Of the manifest.
    identity
        `identity_of` the manifest.
    plan_sha256, results_sha256
        The plan that was applied, and the results that it was applied to.
    evaluated
        When.
    demo, public_key, signature
        Whether the key is a demonstration key, which is nobody's; the Ed25519 key and the signature, base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Literal["accept"] = "accept"
    model: str
    version: str
    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    plan_sha256: str
    results_sha256: str
    evaluated: dt.datetime
    demo: bool
    public_key: str
    signature: str = ""

    def signed(self, key: Ed25519PrivateKey) -> Acceptance:
        """Return the acceptance with its signature."""
        return self.model_copy(update={"signature": base64.b64encode(key.sign(self._body())).decode()})

    def is_genuine(self) -> bool:
        """Return whether the signature is that of the key it names."""
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public_key))
            public.verify(base64.b64decode(self.signature), self._body())
        except (InvalidSignature, ValueError):
            return False
        return True

    def _body(self) -> bytes:
        return _canonical(self.model_dump(mode="json", exclude={"signature"}))


def identity_of(manifest: Manifest) -> str:
    """Return the SHA-256 over everything in a manifest that changes results: networks, pipeline, settings, labels."""
    what = manifest.model_dump(
        mode="json", include={"name", "version", "pipeline", "settings", "smallest_lesion_ml", "labels"}
    )
    return hashlib.sha256(_canonical({**what, "networks": manifest.weights_sha256})).hexdigest()


def check_accepted(manifest: Manifest, file: Path | None, trusted_keys: Collection[str]) -> None:
    """Check that a model was accepted by someone whom the site trusts.

    Parameters
    ----------
    manifest
        The model about to be loaded.
    file
        The acceptance, as `overread pccp evaluate` wrote it; None if the site has none.
    trusted_keys
        Public keys, base64, of those who may accept.

    Raises
    ------
    NotAcceptedError
        If there is no acceptance, it is not of this model, its signature does not hold, its key is a demonstration key
        or not trusted. The message says which.
    """
    name = f"model {manifest.name} {manifest.version}"
    if file is None:
        raise NotAcceptedError(f"{name} was not accepted under the change plan: no acceptance is named")
    try:
        acceptance = Acceptance.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise NotAcceptedError(f"{name}: {file} is no acceptance ({type(error).__name__})") from error
    if acceptance.identity != identity_of(manifest):
        raise NotAcceptedError(f"{name}: {file} accepts other weights or settings")
    if not acceptance.is_genuine():
        raise NotAcceptedError(f"{name}: the signature of {file} does not hold")
    if acceptance.demo:
        raise NotAcceptedError(f"{name}: {file} is signed with a DEMO key, which is nobody's")
    if acceptance.public_key not in trusted_keys:
        raise NotAcceptedError(f"{name}: {file} is signed with a key that is not trusted here")


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
