"""Electronic signatures on items of the record (21 CFR Part 11: 11.50, 11.70, 11.10 e).

An approval names one item as it read on the day (content hash) and what it rested on (context hash: the items that it
refers to, as they read). It carries the signer's printed name, role, meaning and time, is signed with Ed25519, and
holds the hash of the approval before it. So one changed word makes exactly its own approval stale and those of its
dependents suspect, and a removed or altered line breaks the chain. A cut tail shows against the head, kept elsewhere.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from qms.evidence import canonical, public_key_of
from qms.findings import Finding
from qms.items import ApprovalPolicy, Item, Problem, Requirement, Risk, Signer, UserRequirement
from qms.load import RECORDS, Records

APPROVALS = RECORDS / "approvals.jsonl"
GENESIS = "0" * 64
"""What the first approval has before it."""


class SignatureRefusedError(Exception):
    """The signer may not sign this, or not now."""


class Approval(BaseModel):
    """One signature, or the revocation of one.

    Attributes
    ----------
    number
        Its place in the chain, from 1.
    item
        Identifier of what was signed.
    content, context
        SHA-256 of the item and of the items that it refers to, as they read then.
    name, role, meaning
        Printed name, role and meaning of the signature (21 CFR 11.50).
    time
        When, in UTC.
    action
        ``approve``, or ``revoke`` for taking the last approval of this item and role back.
    public_key, demo
        The key that signed, and whether it is a demonstration key, which is nobody's.
    before
        Hash of the approval before.
    signature
        Over all of the above, base64.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    number: int
    item: str
    content: str
    context: str
    name: str
    role: str
    meaning: str
    time: dt.datetime
    action: Literal["approve", "revoke"] = "approve"
    public_key: str
    demo: bool
    before: str
    signature: str = ""

    def body(self) -> bytes:
        """Return what is signed."""
        return canonical(self.model_dump(mode="json", exclude={"signature"}))

    def digest(self) -> str:
        """Return the hash that the next approval holds."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    def is_genuine(self) -> bool:
        """Return whether the signature is that of the key it names."""
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public_key))
            public.verify(base64.b64decode(self.signature), self.body())
        except (InvalidSignature, ValueError):
            return False
        return True


def content_hash(item: Item) -> str:
    """Return the SHA-256 of an item as it reads."""
    return hashlib.sha256(canonical(item.model_dump(mode="json"))).hexdigest()


def context_hash(records: Records, item: Item) -> str:
    """Return the SHA-256 of the items that an item refers to, at any distance."""
    names = sorted(_dependencies(records, item))
    found: dict[str, str] = {name: content_hash(records.items[name]) for name in names if name in records.items}
    return hashlib.sha256(canonical(found)).hexdigest()


def _dependencies(records: Records, item: Item) -> set[str]:
    seen: set[str] = set()
    waiting = list(references(item))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name in records.items:
                waiting += references(records.items[name])
    return seen


def references(item: Item) -> tuple[str, ...]:
    """Return the identifiers that an item refers to."""
    if isinstance(item, UserRequirement):
        return item.intended_use
    if isinstance(item, Requirement):
        return item.user_requirements
    if isinstance(item, Risk):
        return (item.hazard, *(control.requirement for control in item.controls))
    if isinstance(item, Problem):
        return (*item.requirements, *item.risks)
    return ()


def read_chain(root: Path) -> tuple[list[Approval], list[Finding]]:
    """Read the approvals, with a finding for each that does not fit the chain.

    Approvals from the first broken one on are not used: nothing vouches for their order.
    """
    path = root / APPROVALS
    approvals: list[Approval] = []
    before = GENESIS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        place = f"{APPROVALS}:{number}"
        try:
            approval = Approval.model_validate_json(line)
        except ValidationError:
            return approvals, [Finding(f"approval {number}", "broken-chain", "it cannot be read", place)]
        if approval.number != number or approval.before != before:
            text = "it does not follow the one before: a line was changed, removed or moved"
            return approvals, [Finding(approval.item, "broken-chain", text, place)]
        if approvals and approval.time < approvals[-1].time:
            text = "it is dated before the one that it follows"
            return approvals, [Finding(approval.item, "broken-chain", text, place)]
        if not approval.is_genuine():
            return approvals, [Finding(approval.item, "forged-approval", "its signature does not hold", place)]
        approvals.append(approval)
        before = approval.digest()
    return approvals, []


def head(root: Path) -> str:
    """Return the hash of the last approval, to be kept elsewhere; `GENESIS` if there is none."""
    approvals, _ = read_chain(root)
    return approvals[-1].digest() if approvals else GENESIS


def check_head(root: Path, kept: str) -> list[Finding]:
    """Compare the chain with a head that was kept elsewhere: it must still be in the chain."""
    approvals, findings = read_chain(root)
    if findings or kept == GENESIS or any(approval.digest() == kept for approval in approvals):
        return findings
    return [
        Finding(str(APPROVALS), "cut-chain", "the head that was kept elsewhere is not in the chain: its end was cut")
    ]


def sign(
    root: Path,
    records: Records,
    identifier: str,
    signer: Signer,
    key: Ed25519PrivateKey,
    *,
    action: Literal["approve", "revoke"] = "approve",
    time: dt.datetime | None = None,
) -> Approval:
    """Sign an item, and append the approval to the chain.

    Parameters
    ----------
    root, records
        The project's folder and its records.
    identifier
        What is signed.
    signer, key
        Who signs, as the policy names them, and their private key.
    action, time
        To approve, or to take the last approval back; when, by default now.

    Raises
    ------
    SignatureRefusedError
        If there is no such item, the role does not sign such items, the key is not the signer's, the signer is
        expired or revoked, or the chain is broken.
    """
    item = records.items.get(identifier)
    policy = records.approval_policy
    now = time or dt.datetime.now(dt.UTC).replace(microsecond=0)
    if item is None or policy is None:
        raise SignatureRefusedError(f"{identifier}: no such item, or no approval policy")
    role = next((role for role in policy.roles if role.role == signer.role), None)
    if role is None or kind_of(item) not in role.kinds:
        raise SignatureRefusedError(f"{identifier}: the role {signer.role} does not sign items of this kind")
    if signer.public_key != public_key_of(key):
        raise SignatureRefusedError(f"the key is not that of {signer.name}")
    if not signer.is_valid(now.date()):
        raise SignatureRefusedError(f"{signer.name} may not sign on {now.date()}: revoked or expired")
    approvals, findings = read_chain(root)
    if findings:
        raise SignatureRefusedError(f"the chain of approvals is broken: {findings[0]}")
    approval = Approval(
        number=len(approvals) + 1,
        item=identifier,
        content=content_hash(item),
        context=context_hash(records, item),
        name=signer.name,
        role=signer.role,
        meaning=role.meaning,
        time=now,
        action=action,
        public_key=signer.public_key,
        demo=signer.demo,
        before=approvals[-1].digest() if approvals else GENESIS,
    )
    signed = approval.model_copy(update={"signature": base64.b64encode(key.sign(approval.body())).decode()})
    with (root / APPROVALS).open("a", encoding="utf-8") as file:
        file.write(signed.model_dump_json() + "\n")
    return signed


def kind_of(item: Item | type[Item]) -> str:
    """Return the kind of an item, as the approval policy names it: ``requirement``, ``risk``, ``user-requirement``."""
    name = item.__name__ if isinstance(item, type) else type(item).__name__
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.removeprefix("-")


def required(records: Records) -> Iterator[tuple[Item, str]]:
    """Yield each item with each role that has to approve it."""
    policy = records.approval_policy
    for item in records.items.values() if policy else ():
        for role in policy.roles if policy else ():
            if kind_of(item) in role.kinds:
                yield item, role.role


def valid_approvals(
    approvals: Iterable[Approval], policy: ApprovalPolicy, today: dt.date
) -> Mapping[tuple[str, str], Approval]:
    """Return the last approval of each item and role, unless it was taken back, expired, or by who may not sign."""
    found: dict[tuple[str, str], Approval] = {}
    for approval in approvals:
        if why_not(approval, policy, today):
            continue
        key = (approval.item, approval.role)
        found.pop(key, None)
        if approval.action == "approve" and (today - approval.time.date()).days <= policy.valid_days:
            found[key] = approval
    return found


def why_not(approval: Approval, policy: ApprovalPolicy, today: dt.date) -> str:
    """Say why an approval in the chain is nobody's who may give it; empty if it is.

    The policy decides, and not what the approval says of itself.
    """
    named = [s for s in policy.signers if (s.public_key, s.role) == (approval.public_key, approval.role)]
    meanings = [role.meaning for role in policy.roles if role.role == approval.role]
    if not named:
        return f"its key is not that of a {approval.role} in the policy"
    if approval.name != named[0].name or approval.meaning not in meanings:
        return "name or meaning are not those of the policy"
    if approval.demo != named[0].demo:
        return "it does not say truly whether its key is a DEMO key"
    if not named[0].is_valid(approval.time.date()):
        return f"{approval.name} might not sign on that day: revoked or expired"
    if approval.time.date() > today:
        return "it is dated in the future"
    return ""
