"""The commands ``overread qms ...``. They judge and write in the current directory, whatever package is installed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qms.findings import Finding
    from qms.gate import Project

_USAGE_ERROR = 2
_PROFILES = ("development", "release")

# Imports stand inside the commands: `overread serve` and `overread status` need none of this.


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands of the quality record to the parser of ``overread qms``."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    gate = command("gate", _gate, "name every gap of the quality record; exit status 1 if there is one")
    gate.add_argument("--profile", choices=_PROFILES, default=_PROFILES[0], help="how strictly (%(default)s)")
    gate.add_argument("--json", action="store_true", help="as one JSON document")
    gate.add_argument("--self-test", action="store_true", help="break a sample record in every known way instead")

    show = command("show", _show, "tell an item's chain: need, risk, control, code, test, evidence, approval")
    show.add_argument(
        "item", nargs="+", metavar="ID", help="SRS-012, RSK-003, SOUP-numpy, a unit as node.gather.volume"
    )

    prove = command("prove", _prove, "switch each risk control off once, and see that its tests notice")
    prove.add_argument("control", nargs="*", metavar="SRS-NNN", help="default: every control of an active risk")

    sbom = command("sbom", _sbom, "write the software bill of materials (CycloneDX)")
    sbom.add_argument("--accel", choices=("cpu", "gpu"), default="cpu", help="which lock (%(default)s)")
    sbom.add_argument("--out", type=Path, metavar="FILE", required=True)

    documents = command("documents", _documents, "write the documents as pages that link to each other and to evidence")
    documents.add_argument("--out", type=Path, metavar="DIR", required=True)

    sign = command("sign", _sign, "sign items of the record")
    sign.add_argument("item", nargs="+", metavar="ID")
    sign.add_argument("--role", required=True, help="one of the approval policy's roles")
    sign.add_argument("--key", type=Path, metavar="FILE", required=True, help="the signer's Ed25519 private key (PEM)")
    sign.add_argument("--revoke", action="store_true", help="take the last approval back instead")

    public = command("public-key", _public_key, "print the public half of a signer's key, as the policy names it")
    public.add_argument("key", type=Path, metavar="FILE", help="Ed25519 private key (PEM)")

    head = command("head", _head, "print the head of the chain of approvals, to be kept elsewhere")
    head.add_argument("--check", metavar="HASH", help="compare with a head that was kept; exit status 1 if it was cut")


def _gate(options: argparse.Namespace) -> int:
    from qms.gate import Profile, judge, read
    from qms.gate.project import NotAProjectError

    if options.self_test:
        return _self_test()
    try:
        project = read(Path.cwd(), Profile(options.profile))
    except NotAProjectError as error:
        return _refuse(str(error))
    findings = judge(project)
    if options.json:
        print(json.dumps({"profile": options.profile, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            print(finding)
        print(summary(project, findings), file=sys.stderr)
    return 1 if findings else 0


def summary(project: Project, findings: list[Finding]) -> str:
    """Return one line on what was judged and what came of it."""
    from qms.items import Requirement, Risk, Soup, Status

    planned = sum(item.status is Status.PLANNED for item in project.records.of(Requirement))
    counted = {test for links in project.links.values() for test in links.counted}
    key = "DEMO key" if any(run.demo for run in project.evidence) else "signed"
    verdict = f"{len(findings)} findings" if findings else "no finding"
    return (
        f"gate ({project.profile}): {verdict}. {len(project.active)} active and {planned} planned requirements, "
        f"{sum(1 for _ in project.records.of(Risk))} risks, {sum(1 for _ in project.records.of(Soup))} SOUP items, "
        f"{len(project.units)} units, {len(counted)} tests that count, {len(project.evidence)} runs ({key})."
    )


def _self_test() -> int:
    from qms.gate.mutations import MUTATIONS
    from qms.gate.selftest import survivors

    with tempfile.TemporaryDirectory(prefix="overread-gate-") as folder:
        missed = survivors(Path(folder))
    for line in missed:
        print(line)
    print(f"gate: {len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} ways to break a record are named", file=sys.stderr)
    return 1 if missed else 0


def _show(options: argparse.Namespace) -> int:
    from qms.chain import chain
    from qms.gate import read
    from qms.gate.project import NotAProjectError

    try:
        project = read(Path.cwd())
    except NotAProjectError as error:
        return _refuse(str(error))
    status = 0
    for identifier in options.item:
        lines = chain(project, identifier)
        if lines is None:
            status = _refuse(f"there is no {identifier} in the record, and no such unit")
        else:
            print("\n".join(lines))
    return status


def _prove(options: argparse.Namespace) -> int:
    from qms.proof import main

    return main(options.control)


def _sbom(options: argparse.Namespace) -> int:
    from qms.sbom import main

    return main(["--accel", options.accel, "--out", str(options.out)])


def _documents(options: argparse.Namespace) -> int:
    from qms.documents import write
    from qms.gate import read
    from qms.gate.project import NotAProjectError

    try:
        pages = write(read(Path.cwd()), options.out)
    except NotAProjectError as error:
        return _refuse(str(error))
    print(f"{len(pages)} pages: {options.out / 'index.html'}")
    return 0


def _public_key(options: argparse.Namespace) -> int:
    from qms.evidence import EvidenceKeyError, private_key, public_key_of

    try:
        print(public_key_of(private_key(options.key.read_bytes())))
    except EvidenceKeyError as error:
        return _refuse(f"{options.key}: {error}")
    return 0


def _sign(options: argparse.Namespace) -> int:
    from qms.evidence import EvidenceKeyError, private_key, public_key_of
    from qms.load import load
    from qms.signatures import SignatureRefusedError, sign

    try:
        key = private_key(options.key.read_bytes())
    except EvidenceKeyError as error:
        return _refuse(f"{options.key}: {error}")
    records = load(Path.cwd())
    signers = records.approval_policy.signers if records.approval_policy else ()
    named = [s for s in signers if s.role == options.role and s.public_key == public_key_of(key)]
    if not named:
        return _refuse(f"the approval policy names nobody with this key as {options.role}")
    try:
        for item in options.item:
            approval = sign(Path.cwd(), records, item, named[0], key, action="revoke" if options.revoke else "approve")
            print(
                f"{approval.item}: {approval.action} by {approval.name} as {approval.role}, {approval.time.isoformat()}"
            )
    except SignatureRefusedError as error:
        return _refuse(str(error))
    return 0


def _head(options: argparse.Namespace) -> int:
    from qms.signatures import check_head, head

    if options.check is None:
        print(head(Path.cwd()))
        return 0
    findings = check_head(Path.cwd(), options.check)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def _refuse(text: str) -> int:
    print(f"overread: {text}", file=sys.stderr)
    return _USAGE_ERROR
