"""Prove the risk controls: switch each off, and see that one of its tests fails.

``python -m qms.proof`` runs, for every control of an active risk, the tests that verify it in a session in which the
control does nothing (`qms.fault_plugin`), the fastest unit tests first, and ends that session at the first failure.
What failed is then run once more without any fault: a test that fails anyway proves nothing. The record is kept in
``qms/evidence/proofs.json``, signed as evidence is.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qms.evidence import Evidence, EvidenceKeyError, public_key_of, read_all, signing_key
from qms.faults import EXIT_NOT_APPLIED
from qms.items import Requirement, VerificationLevel
from qms.load import Records, load
from qms.proofs import PROOFS, Outcome, Proof, Proofs, controls_of
from qms.sources import sha256
from qms.sources import tests as tests_of

FAULT_MODELS = "tests.faults"
_NOTHING_COLLECTED = 5
_LEVELS = tuple(VerificationLevel)


@dataclass(frozen=True)
class Candidate:
    """A test function that verifies a control, with all its parameters."""

    id: str
    level: str
    seconds: float

    @property
    def order(self) -> tuple[int, float, str]:
        """Unit tests first, and of these the fastest."""
        return (_LEVELS.index(VerificationLevel(self.level)), self.seconds, self.id)


@dataclass(frozen=True)
class Limits:
    """How long proving may take.

    Attributes
    ----------
    tests_s
        Tests of one control are taken until they need so many seconds together; at least one is.
    session_s
        A session that takes longer is ended, and its control's proof is broken.
    jobs
        Sessions at a time.
    """

    tests_s: float = 60.0
    session_s: float = 180.0
    jobs: int = 2


class Prover:
    """Switches off controls of the project in a folder.

    Parameters
    ----------
    root
        The project's folder: pytest runs in it.
    models
        Package of the fault models, importable there.
    limits
        How long it may take.
    """

    def __init__(self, root: Path, models: str = FAULT_MODELS, limits: Limits | None = None) -> None:
        self._root = root
        self._models = models
        self._limits = limits or Limits()

    def prove(self, controls: Iterable[str] = ()) -> list[Proof]:
        """Prove every control of an active risk, or those that are named.

        Parameters
        ----------
        controls
            Requirements; none: all of them.
        """
        records = load(self._root)
        wanted = controls_of(records)
        named = set(controls)
        chosen = {item: risks for item, risks in wanted.items() if not named or item in named}
        tests = self._tests(chosen)
        faults = self._faults()
        with ThreadPoolExecutor(self._limits.jobs) as pool:
            proofs = list(
                pool.map(lambda item: self._prove_one(records, item, chosen[item], tests.get(item, []), faults), chosen)
            )
        return self._confirmed(proofs)

    def _prove_one(
        self,
        records: Records,
        item: str,
        risks: tuple[str, ...],
        tests: Sequence[Candidate],
        faults: Mapping[str, Any],
    ) -> Proof:
        blank = Proof(requirement=item, risks=risks, outcome=Outcome.BROKEN)
        if item not in faults:
            error = faults.get("", "")
            outcome = Outcome.BROKEN if error else Outcome.NO_FAULT_MODEL
            text = error or f"nothing in {self._models} switches it off"
            return blank.model_copy(update={"outcome": outcome, "text": text})
        fault = faults[item]
        blank = blank.model_copy(update={"fault": fault["text"], "fault_sha256": fault["sha256"]})
        if not tests:
            return blank.model_copy(update={"outcome": Outcome.NO_TEST, "text": "no test that passed verifies it"})
        picked = self._picked(tests)
        started = time.monotonic()
        code, seen = self._run([f"--fault={item}", *picked])
        # A fixture that needs the control fails before its tests have looked; those of other files may see it.
        others = [test for test in picked if test.partition("::")[0] not in _failed_before_looking(seen)]
        if others and len(others) < len(picked) and not _looked(seen):
            code, seen = self._run([f"--fault={item}", *others])
        known = {"tests": tuple(picked), "seconds": round(time.monotonic() - started, 2)}
        proof = _judged(blank.model_copy(update=known), code, seen)
        if proof.outcome is not Outcome.PROVED:
            return proof
        return proof.model_copy(update={"sources": self._sources(records, item, proof.failed)})

    def _picked(self, tests: Sequence[Candidate]) -> list[str]:
        picked: list[str] = []
        spent = 0.0
        for test in sorted(tests, key=lambda test: test.order):
            if picked and spent + test.seconds > self._limits.tests_s:
                continue
            picked.append(test.id)
            spent += test.seconds
        return picked

    def _confirmed(self, proofs: Sequence[Proof]) -> list[Proof]:
        """Run what failed once more, with every control in place: who fails then too is no witness."""
        failed = sorted({proof.failed for proof in proofs if proof.failed})
        if not failed:
            return list(proofs)
        _, seen = self._run(failed, limit_s=4 * self._limits.session_s)
        passed = {test["id"] for test in seen["tests"] if test["outcome"] == "passed" and test["when"] == "call"}
        passed -= {test["id"] for test in seen["tests"] if test["outcome"] != "passed"}
        text = "the test does not pass with the control in place either"
        return [
            proof.model_copy(update={"outcome": Outcome.BROKEN, "text": f"{proof.failed}: {text}"})
            if proof.failed and proof.failed not in passed
            else proof
            for proof in proofs
        ]

    def _tests(self, controls: Iterable[str]) -> dict[str, list[Candidate]]:
        """Return the tests of each control: from the evidence if there is any, else as they are written."""
        evidence, _ = read_all(self._root)
        rows = _witnesses(evidence) if evidence else self._written()
        found: dict[tuple[str, str], Candidate] = {}
        wanted = set(controls)
        for test, item, level, seconds in rows:
            if item in wanted and level in _LEVELS:
                function = test.partition("[")[0]
                before = found.get((item, function), Candidate(function, level, 0.0))
                found[item, function] = replace(before, seconds=before.seconds + seconds)
        tests: dict[str, list[Candidate]] = defaultdict(list)
        for (item, _), candidate in found.items():
            tests[item].append(candidate)
        return tests

    def _written(self) -> Iterator[tuple[str, str, str, float]]:
        for test in tests_of(self._root):
            for mark in test.marks:
                yield test.id, mark.item, mark.level, 0.0

    def _faults(self) -> dict[str, Any]:
        """Return text and hash of each fault model; under "" why they cannot be loaded.

        They are read in a process of their own: they import the product, and the gate's process must not.
        """
        script = (
            "import json, sys; from qms.faults import load_faults; from qms.sources import sha256; "
            "print(json.dumps({f.requirement: {'text': f.text, 'sha256': sha256(f.path)} "
            "for f in load_faults(sys.argv[1]).values()}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, self._models], cwd=self._root, capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            return {"": lines[-1] if lines else f"the fault models in {self._models} cannot be loaded"}
        loaded: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return loaded

    def _run(self, arguments: Sequence[str], *, limit_s: float | None = None) -> tuple[int, dict[str, Any]]:
        """Run one session of pytest; return its exit status and what the plugin saw."""
        with tempfile.TemporaryDirectory(prefix="overread-proof-") as folder:
            report = Path(folder) / "report.json"
            command = [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "qms.fault_plugin"),
                *(f"--fault-models={self._models}", f"--fault-report={report}"),
                *arguments,
            ]
            limit = limit_s or self._limits.session_s
            try:
                done = subprocess.run(command, cwd=self._root, capture_output=True, check=False, timeout=limit)
            except subprocess.TimeoutExpired:
                return -1, {**_NOTHING_SEEN, "error": f"the session did not end within {limit:g} s"}
            if not report.exists():
                return done.returncode, {**_NOTHING_SEEN, "error": _last_line(done.stdout + done.stderr)}
            seen: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            return done.returncode, seen

    def _sources(self, records: Records, item: str, test: str) -> dict[str, str]:
        requirement = records.get(Requirement, item)
        units = requirement.units if requirement else ()
        files = [test.partition("::")[0]]
        for unit in units:
            path = Path(*unit.split("."))
            files += [name.as_posix() for name in (path.with_suffix(".py"), path / "__init__.py")]
        return {name: sha256(self._root / name) for name in files if (self._root / name).is_file()}


_NOTHING_SEEN: Mapping[str, Any] = {"applied": False, "error": "", "tests": []}


def _witnesses(evidence: Iterable[Evidence]) -> Iterator[tuple[str, str, str, float]]:
    """Yield test, requirement, level and seconds of every test that passed and can fail."""
    for run in evidence:
        for test in run.tests:
            if test.outcome == "passed" and not test.hollow:
                for mark in test.verifies:
                    yield test.id, mark.item, mark.level, test.seconds


def _judged(proof: Proof, code: int, seen: Mapping[str, Any]) -> Proof:
    """Tell a control that is missed from everything else that makes a session fail."""
    failed = [test for test in seen["tests"] if test["outcome"] == "failed"]
    first = next(iter(_looked(seen) or failed), None)
    if code == EXIT_NOT_APPLIED or seen["error"] or not seen["applied"]:
        change: dict[str, Any] = {"text": seen["error"] or "the fault was not applied"}
    elif first is None:
        change = _without_failure(code, seen)
    elif first["by_fault"]:
        change = {"text": f"the fault model itself raised in {first['id']}: {first['line']}"}
    elif first["when"] != "call":
        change = {"text": f"{first['when']} failed before anything was tested: {first['id']}: {first['line']}"}
    else:
        change = {"outcome": Outcome.PROVED, "failed": first["id"], "failure": first["line"]}
    return proof.model_copy(update=change)


def _looked(seen: Mapping[str, Any]) -> list[Any]:
    """Return the tests that failed where they look, and not because of the fault model's own lines."""
    failed = (test for test in seen["tests"] if test["outcome"] == "failed")
    return [test for test in failed if test["when"] == "call" and not test["by_fault"]]


def _failed_before_looking(seen: Mapping[str, Any]) -> set[str]:
    """Return the files of the tests that failed in a fixture."""
    failed = (test for test in seen["tests"] if test["outcome"] == "failed" and test["when"] != "call")
    return {test["id"].partition("::")[0] for test in failed}


def _without_failure(code: int, seen: Mapping[str, Any]) -> dict[str, Any]:
    if code == _NOTHING_COLLECTED or not any(test["outcome"] == "passed" for test in seen["tests"]):
        return {"text": "no test ran: they are skipped or gone"}
    if code:
        return {"text": f"pytest ended with status {code} and no test failed"}
    return {"outcome": Outcome.SURVIVED}


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "pytest said nothing"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove the controls of the project in the current directory; 0 if every one is proved, else 1."""
    parser = argparse.ArgumentParser(prog="python -m qms.proof", description=__doc__.partition("\n")[0])
    parser.add_argument("control", nargs="*", help="requirements, as SRS-001; none: every control of an active risk")
    parser.add_argument("--fault-models", metavar="PACKAGE", default=FAULT_MODELS, help="where they lie (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="sessions at a time (%(default)s)")
    options = parser.parse_args(arguments)
    root, started = Path.cwd(), dt.datetime.now(dt.UTC)
    try:
        key, demo = signing_key()  # said now, and not after minutes of work
    except EvidenceKeyError as error:
        print(error, file=sys.stderr)  # noqa: T201  a command
        return 1
    proofs = Prover(root, options.fault_models, Limits(jobs=max(1, options.jobs))).prove(options.control)
    for proof in proofs:
        print(proof)  # noqa: T201  a command
    if not options.control:  # a part of the controls is no record of all
        _write(root, started, proofs, key=key, demo=demo)
    unproved = [proof for proof in proofs if proof.outcome is not Outcome.PROVED]
    print(f"{len(proofs) - len(unproved)} of {len(proofs)} controls proved")  # noqa: T201  a command
    return 1 if unproved or not proofs else 0


def _write(root: Path, started: dt.datetime, proofs: Sequence[Proof], *, key: Ed25519PrivateKey, demo: bool) -> None:
    record = Proofs(
        started=started,
        finished=dt.datetime.now(dt.UTC),
        proofs=tuple(proofs),
        demo=demo,
        public_key=public_key_of(key),
    )
    path = root / PROOFS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.signed(key).model_dump_json(indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
