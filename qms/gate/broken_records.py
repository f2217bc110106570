"""Ways to break the items and the tests that verify them, each with the finding that has to name it."""

from __future__ import annotations

from qms.gate.changes import (
    add_copy,
    append,
    both,
    edit,
    fields,
    remove,
    rename,
    seal,
    seal_test,
    within,
    write,
)
from qms.gate.mutation import RELEASE, Mutation
from qms.gate.sample import Sample

_SRS = "requirements.yaml"
_TEST_FILE = "tests/test_thing.py"
_TEST_ID = "tests/test_thing.py::test_it_adds"
_POLICY = "qms/records/risk_policy.yaml"
_UNMARKED = "\n\ndef test_other():\n    assert 1 + 1 == 2\n"
_FUNCTION = "def f():\n    return 1\n"


def _latin(sample: Sample) -> None:
    (sample.root / "qms/records/hazards.yaml").write_bytes("- id: HAZ-001\n  title: Mögliches\n".encode("latin-1"))


BROKEN_RECORDS: tuple[Mutation, ...] = (
    # the records
    Mutation(
        "a file that is not YAML", "unreadable", "qms/records/hazards.yaml", write("qms/records/hazards.yaml", "- [")
    ),
    Mutation(
        "a file that is no list", "unreadable", "qms/records/hazards.yaml", write("qms/records/hazards.yaml", "a: 1")
    ),
    Mutation(
        "a field that stands twice",
        "unreadable",
        "qms/records/hazards.yaml",
        append("qms/records/hazards.yaml", "  title: Another\n"),
    ),
    Mutation("a record that is not UTF-8", "unreadable", "qms/records/hazards.yaml", _latin),
    Mutation(
        "a day that is not in the calendar",
        "unreadable",
        "qms/records/problems.yaml",
        edit("qms/records/problems.yaml", "2026-01-15", "2026-02-30"),
    ),
    Mutation(
        "a record nested without end",
        "unreadable",
        "qms/records/hazards.yaml",
        write("qms/records/hazards.yaml", "[" * 9000),
    ),
    Mutation("a module that is not Python", "unparsable", "node/more.py", write("node/more.py", "def f(:\n")),
    Mutation(
        "a test that is not Python", "unparsable", "tests/test_more.py", write("tests/test_more.py", "def test(:\n")
    ),
    Mutation("no risk policy", "unreadable", _POLICY, remove(_POLICY)),
    Mutation("a misspelt field", "schema", "SRS-001", edit("qms/records/requirements.yaml", "rationale:", "reason:")),
    Mutation("an identifier of another shape", "schema", "SRS-1", fields(_SRS, id="SRS-1")),
    Mutation("a severity off the scale", "schema", "RSK-001", within("risks.yaml", "before", severity=6)),
    Mutation("an identifier used twice", "duplicate-id", "SRS-001", add_copy(_SRS)),
    Mutation("a need that does not exist", "unknown-id", "SRS-001", fields(_SRS, user_requirements=["URS-009"])),
    Mutation("a hazard that does not exist", "unknown-id", "RSK-001", fields("risks.yaml", hazard="HAZ-009")),
    Mutation(
        "a control that does not exist",
        "unknown-id",
        "RSK-001",
        fields("risks.yaml", controls=[{"requirement": "SRS-009", "kind": "protective-measure"}]),
    ),
    Mutation(
        "a problem of a risk that does not exist", "unknown-id", "PRB-001", fields("problems.yaml", risks=["RSK-009"])
    ),
    Mutation(
        "a use that does not exist", "unknown-id", "URS-001", fields("user_requirements.yaml", intended_use=["INT-009"])
    ),
    Mutation("a unit that does not exist", "unknown-unit", "SRS-001", fields(_SRS, units=["node.thing", "node.gone"])),
    Mutation(
        "a risk in a unit that does not exist", "unknown-unit", "RSK-001", fields("risks.yaml", units=["node.gone"])
    ),
    Mutation("a unit was renamed", "unknown-unit", "SRS-001", rename("node/thing.py", "node/other.py")),
    Mutation("a requirement that demands nothing", "no-shall", "SRS-001", fields(_SRS, text="It adds two numbers.")),
    Mutation("a need that demands nothing", "no-shall", "URS-001", fields("user_requirements.yaml", text="It adds.")),
    Mutation("a placeholder", "placeholder", "SRS-001", fields(_SRS, rationale="TBD")),
    Mutation(
        "a placeholder deep inside",
        "placeholder",
        "SOUP-alpha",
        within("soup.yaml", "anomalies", text="to be determined"),
    ),
    Mutation(
        "a placeholder in a document",
        "placeholder",
        "qms/narrative/plan.md",
        append("qms/narrative/plan.md", "\nThe maker is TBD.\n"),
    ),
    Mutation(
        "a need that nothing realises", "unrealised-need", "URS-002", add_copy("user_requirements.yaml", id="URS-002")
    ),
    Mutation("a hazard without a risk", "unused-item", "HAZ-002", add_copy("hazards.yaml", id="HAZ-002")),
    Mutation("a use that nobody needs", "unused-item", "INT-002", add_copy("intended_use.yaml", id="INT-002")),
    Mutation(
        "a planned requirement in a release",
        "planned",
        "SRS-002",
        add_copy(_SRS, id="SRS-002", status="planned"),
        RELEASE,
    ),
    Mutation(
        "code that no requirement needs",
        "unlinked-unit",
        "node.more",
        write("node/more.py", _FUNCTION),
    ),
    Mutation("a requirement that lives nowhere", "no-unit", "SRS-001", fields(_SRS, units=[])),
    Mutation(
        "a requirement realised by a file that is gone",
        "missing-artefact",
        "SRS-001",
        fields(_SRS, artefacts=["docker/gone"]),
    ),
    # verification
    Mutation(
        "a test that verifies nothing", "orphan-test", "tests/test_thing.py::test_other", append(_TEST_FILE, _UNMARKED)
    ),
    Mutation(
        "a test of a requirement that does not exist", "unknown-id", "SRS-009", edit(_TEST_FILE, "SRS-001", "SRS-009")
    ),
    Mutation("a test of what is only planned", "verifies-planned", "SRS-001", fields(_SRS, status="planned")),
    Mutation("a technique that does not exist", "bad-mark", _TEST_ID, edit(_TEST_FILE, '"example"', '"luck"')),
    Mutation("a requirement that nothing tests", "untested-requirement", "SRS-002", add_copy(_SRS, id="SRS-002")),
    Mutation("its test was skipped", "untested-requirement", "SRS-001", seal_test(outcome="skipped")),
    Mutation("its test failed as expected", "untested-requirement", "SRS-001", seal_test(outcome="xfailed")),
    Mutation(
        "its test was not in the run",
        "untested-requirement",
        "SRS-001",
        both(seal(tests=()), seal(run="system", tests=())),
    ),
    Mutation("its test asserts nothing", "untested-requirement", "SRS-001", seal_test(hollow="asserts nothing")),
    Mutation("its test executes other code", "untested-requirement", "SRS-001", seal_test(units=())),
    Mutation("the unit changed after the run", "stale-evidence", "SRS-001", edit("node/thing.py", "a + b", "b + a")),
    Mutation("the test changed after the run", "stale-evidence", "SRS-001", edit(_TEST_FILE, "== 3", "> 2")),
    Mutation(
        "an artefact changed after the run",
        "stale-evidence",
        "SRS-001",
        both(fields(_SRS, artefacts=["README.md"]), write("README.md", "# other")),
    ),
    Mutation("a helper of the tests came after the run", "stale-evidence", "SRS-001", write("tests/conftest.py", "")),
    Mutation(
        "a unit of it that no test executes",
        "unexecuted-unit",
        "SRS-001",
        both(
            write("node/second.py", _FUNCTION),
            fields(_SRS, units=["node.thing", "node.second"]),
            seal(),
            seal("system"),
        ),
    ),
    Mutation(
        "a linked test that cannot fail", "hollow-test", _TEST_ID, seal_test(hollow="asserts only what is always true")
    ),
    Mutation("a failed test", "failed-test", _TEST_ID, seal_test(outcome="failed")),
    Mutation("a test that should fail and passes", "failed-test", _TEST_ID, seal_test(outcome="xpassed")),
)
