"""The commands ``overread qms ...``. They judge and write in the current directory, whatever package is installed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from qms.findings import Finding
from qms.gate import Profile, Project, judge, read
from qms.gate.project import NotAProjectError
from qms.items import Requirement, Risk, Soup, Status

_USAGE_ERROR = 2


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands of the quality record to the parser of ``overread qms``."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    gate = commands.add_parser("gate", help="name every gap of the quality record; exit status 1 if there is one")
    gate.add_argument("--profile", type=Profile, choices=list(Profile), default=Profile.DEVELOPMENT)
    gate.add_argument("--json", action="store_true", help="as one JSON document")
    gate.add_argument("--self-test", action="store_true", help="break a sample record in every known way instead")
    gate.set_defaults(run=_gate)


def _gate(options: argparse.Namespace) -> int:
    if options.self_test:
        return _self_test()
    try:
        project = read(Path.cwd(), options.profile)
    except NotAProjectError as error:
        print(f"overread: {error}", file=sys.stderr)
        return _USAGE_ERROR
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
    kinds = Counter(type(item) for item in project.records.items.values())
    planned = sum(item.status is Status.PLANNED for item in project.records.of(Requirement))
    counted = {test for links in project.links.values() for test in links.counted}
    signed = "DEMO key" if any(run.demo for run in project.evidence) else "signed"
    verdict = f"{len(findings)} findings" if findings else "no finding"
    return (
        f"gate ({project.profile}): {verdict}. {len(project.active)} active and {planned} planned requirements, "
        f"{kinds[Risk]} risks, {kinds[Soup]} SOUP items, {len(project.units)} units, "
        f"{len(counted)} tests that count, in {len(project.evidence)} runs ({signed})."
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
