"""The pages: every link leads somewhere, every item has its place, what they rest on is said on each."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from qms.documents import pdf, write
from qms.documents.code import modules, rooms
from qms.documents.drawing import draw, reduced
from qms.documents.history import changes
from qms.documents.names import Entry, Names
from qms.documents.prose import Prose
from qms.documents.strictdoc import export
from qms.documents.trace import Trace
from qms.gate import Project, read, sample
from qms.gate.sample import Sample
from tests.qms import many

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.verifies("SRS-194", level="integration", technique="example")

STATEMENT = {
    "title": "DICOM conformance statement",
    "sections": [{"title": "Services", "text": "It stores.", "columns": ["what"], "rows": [["Verification <1>"]]}],
}


@dataclass
class Page(HTMLParser):
    """What a page holds, as far as these tests ask."""

    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        self.sources += [str(values[name]) for name in ("src", "action") if values.get(name)]
        if tag == "link":
            self.sources.append(str(values.get("href")))
        if tag in {"style", "script"}:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"style", "script"}:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data


def pages(written: list[Path]) -> dict[str, Page]:
    found = {}
    for path in written:
        if path.suffix == ".html":
            found[path.name] = Page()
            found[path.name].feed(path.read_text(encoding="utf-8"))
    return found


def broken(site: Mapping[str, Page], folder: Path) -> Iterator[str]:
    """Yield every link that leads nowhere in the site."""
    for name, page in site.items():
        for link in page.links:
            address, _, anchor = link.partition("#")
            file = address.partition("?")[0] or name
            anchors = site[file].ids if file in site else ()
            there = file in site or (folder / file).is_file()
            if not link.startswith("https://") and (not there or (anchor and unquote(anchor) not in anchors)):
                yield f"{name}: {link}"


@pytest.fixture
def project(tmp_path: Path) -> Sample:
    return sample.build(tmp_path / "project")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path, dict[str, Page]]:
    """The pages of this repository's record."""
    out = tmp_path_factory.mktemp("documents")
    project = read(ROOT)
    return project, out, pages(write(project, out, STATEMENT))


def of_sample(made: Sample, out: Path) -> dict[str, Page]:
    return pages(write(read(made.root, today=sample.DAY), out))


def test_every_link_of_the_sample_leads_somewhere(project: Sample, tmp_path: Path) -> None:
    site = of_sample(project, tmp_path / "out")

    assert list(broken(site, tmp_path / "out")) == []
    assert sum(len(page.links) for page in site.values()) > 500
    for name, page in site.items():
        assert len(page.ids) == len(set(page.ids)), name


@pytest.mark.verifies("SRS-194", level="integration", technique="real-data")
def test_every_link_of_this_repository_leads_somewhere(own: tuple[Project, Path, dict[str, Page]]) -> None:
    _, out, site = own
    assert list(broken(site, out)) == []
    for name, page in site.items():
        assert len(page.ids) == len(set(page.ids)), name


@pytest.mark.verifies("SRS-194", level="integration", technique="real-data")
def test_everything_has_its_place(own: tuple[Project, Path, dict[str, Page]]) -> None:
    project, _, site = own
    anchors = {anchor for page in site.values() for anchor in page.ids}
    assert set(project.records.items) - anchors == set()
    assert set(project.units) - anchors == set()
    assert {test.id for test in project.tests} - anchors == set()
    assert set(project.numbers) - anchors == set()


def test_no_page_asks_for_anything_from_elsewhere(own: tuple[Project, Path, dict[str, Page]]) -> None:
    _, out, site = own
    for name, page in site.items():
        elsewhere = [source for source in page.sources if not source.startswith("data:") and source != "index.html"]
        assert elsewhere == [], name
        assert "default-src 'none'" in (out / name).read_text(encoding="utf-8"), name


def demo_evidence(made: Sample) -> None:
    made.seal("system", demo=True)


def demo_proof(made: Sample) -> None:
    path = made.root / "qms/evidence/proofs.json"
    from qms.proofs import Proofs  # noqa: PLC0415  only here

    record = Proofs.model_validate_json(path.read_bytes()).model_copy(update={"demo": True, "signature": ""})
    path.write_text(record.signed(made.key).model_dump_json())


def demo_signer(made: Sample) -> None:
    made.change("approval_policy.yaml", lambda policy: policy["signers"][0].update(demo=True))


def demo_approval(made: Sample) -> None:
    demo_signer(made)
    made.approve("SRS-001")
    made.change("approval_policy.yaml", lambda policy: policy["signers"][0].update(demo=False))


@pytest.mark.parametrize("change", [demo_evidence, demo_proof, demo_signer, demo_approval])
def test_a_demonstration_key_is_said_on_every_page(
    project: Sample, tmp_path: Path, change: Callable[[Sample], None]
) -> None:
    change(project)
    for name, page in of_sample(project, tmp_path / "out").items():
        assert "signed with a key that is nobody's" in page.text, name
        assert "NOT FOR CLINICAL USE" in page.text, name


def test_without_one_no_page_says_so(project: Sample, tmp_path: Path) -> None:
    for name, page in of_sample(project, tmp_path / "out").items():
        assert "DEMO" not in page.text.replace("demo", ""), name
        assert "nobody's" not in page.text, name
        assert "NOT FOR CLINICAL USE" in page.text, name


@pytest.mark.parametrize(
    ("edit", "state"),
    [
        (("qms/records/requirements.yaml", "two numbers", "some numbers"), "stale"),
        (("qms/records/user_requirements.yaml", "It shall add.", "It shall add up."), "suspect"),
    ],
)
def test_an_approval_that_no_longer_holds_is_shown(
    project: Sample, tmp_path: Path, edit: tuple[str, str, str], state: str
) -> None:
    before = {each.item.id: each.state for each in Trace(read(project.root, today=sample.DAY)).approvals}
    project.edit(*edit)
    trace = Trace(read(project.root, today=sample.DAY))
    assert before["SRS-001"] == "signed"
    assert [each.state for each in trace.approvals_of["SRS-001"]] == [state]
    assert f"reviewer {state}" in " ".join(of_sample(project, tmp_path / "out")["requirements.html"].text.split())


def test_what_counts_and_what_does_not_is_shown(project: Sample) -> None:
    trace = Trace(read(project.root, today=sample.DAY))
    (shown,) = trace.requirements
    assert shown.state == "verified"
    assert [risk.id for risk, _ in shown.controls] == ["RSK-001"]
    assert trace.tests["tests/test_thing.py::test_it_adds"].counts_for == {"SRS-001": frozenset({"node.thing"})}
    assert trace.units[0].tests == ("tests/test_thing.py::test_it_adds",)
    assert trace.runs["SRS-001"] == ("system", "test")


@pytest.mark.verifies("SRS-194", level="integration", technique="bad-input")
@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"outcome": "skipped"}, "unverified", "it was skipped"),
        ({"units": ()}, "unverified", "it executes no unit of the requirement"),
        ({"hollow": "asserts nothing"}, "unverified", "it asserts nothing"),
    ],
)
def test_a_test_that_does_not_count_is_shown_with_the_reason(
    project: Sample, tmp_path: Path, change: dict[str, object], state: str, reason: str
) -> None:
    for run in ("test", "system"):
        project.seal(run, tests=(sample.test_record(**change),))
    read_again = read(project.root, today=sample.DAY)
    assert [shown.state for shown in Trace(read_again).requirements] == [state]

    site = pages(write(read_again, tmp_path / "out"))

    assert reason in site["verification.html"].text
    assert "0 of 1" in site["index.html"].text


@pytest.mark.verifies("SRS-194", level="integration", technique="bad-input")
def test_changed_code_makes_its_requirement_unverified(project: Sample, tmp_path: Path) -> None:
    project.edit("node/thing.py", "a + b", "b + a")
    site = of_sample(project, tmp_path / "out")
    assert "node/thing.py has changed since the run" in site["requirements.html"].text


@pytest.mark.verifies("SRS-194", level="integration", technique="bad-input")
def test_markup_in_the_record_stays_text(tmp_path: Path) -> None:
    made = many.build(tmp_path / "project", 3)
    made.edit("qms/narrative/plan.md", "# plan", "# plan\n\n<script>alert(1)</script> <b onclick='x'>b</b>")
    write(read(made.root, today=sample.DAY), tmp_path / "out")
    requirements = (tmp_path / "out/requirements.html").read_text()
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt; say so in <code><a " in requirements
    plan = (tmp_path / "out/plan.html").read_text()
    assert "<script>alert" not in plan
    assert "<b onclick" not in plan
    assert "</script>" not in re.sub(r"</script>", "", plan, count=1)


@pytest.mark.verifies("SRS-194", level="integration", technique="bad-input")
def test_a_record_with_holes_still_has_pages(project: Sample, tmp_path: Path) -> None:
    shutil.rmtree(project.root / "qms/evidence")
    shutil.rmtree(project.root / "qms/narrative")
    for name in ("clauses", "risk_policy", "approval_policy", "problems", "goldens", "hazards"):
        (project.root / f"qms/records/{name}.yaml").unlink()
    site = of_sample(project, tmp_path / "out")
    assert list(broken(site, tmp_path / "out")) == []
    assert "There is no evidence" in site["trace.html"].text
    assert "The record has" in site["index.html"].text


def names() -> Names:
    entries = (
        Entry("SRS-001", "Adds", "software requirement", "requirements.html"),
        Entry("node.thing", "Adds.", "unit", "design.html"),
        Entry("tests/test_a.py::test_b", "b", "test", "tests.html"),
    )
    return Names({entry.name: entry for entry in entries})


@pytest.mark.verifies("SRS-194", level="unit", technique="boundary")
@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see SRS-001.", ["requirements.html#SRS-001"]),
        ("SRS-0010, XSRS-001 and SRS-002", []),
        ("node.thing.add() in `node.thing`", ["design.html#node.thing", "design.html#node.thing"]),
        ("node.things, a.node.thing-", ["design.html#node.thing"]),
        ("tests/test_a.py::test_b and tests/test_a.py::test_c", ["tests.html#tests/test_a.py::test_b"]),
        ("`SRS-001 or not`", []),
    ],
)
def test_mentions_become_links(text: str, links: list[str]) -> None:
    page = Page()
    page.feed(str(names().linked(text)))
    assert page.links == links
    assert page.text == text.replace("`", "")


@pytest.mark.verifies("SRS-194", level="unit", technique="example")
def test_prose_links_to_pages_numbers_and_forms(tmp_path: Path) -> None:
    (tmp_path / "qms/narrative/maps").mkdir(parents=True)
    (tmp_path / "qms/narrative/maps/iso.md").write_text(
        "# ISO\n\nSee [plan](../plan.md#5.1), [none](../gone.md), [own](#part), SRS-001, Dice 0.9<!-- =dice -->.\n\n"
        "| form | what | who |\n|---|---|---|\n| FORM (site): network | who may reach it | IT |\n\n## Part\n\n## Part\n"
    )
    given = Names(names().entries | {"dice": Entry("dice", "0.9 1", "measured number", "verification.html")})
    paths = {"qms/narrative/maps/iso.md": "maps-iso.html", "qms/narrative/plan.md": "plan.html"}

    document = Prose(tmp_path, given, paths).read("qms/narrative/maps/iso.md")

    page = Page()
    page.feed(document.body)
    assert page.links == ["plan.html", "#part", "requirements.html#SRS-001", "verification.html#dice"]
    assert document.forms == (("site", "network"),)
    assert "not filled in" in page.text
    assert [heading.anchor for heading in document.headings] == ["iso", "part", "part-2"]
    assert document.anchor("Part") == "part"
    assert document.anchor("nothing") == ""


@pytest.mark.verifies("SRS-194", level="unit", technique="oracle")
def test_lines_that_follow_from_others_are_left_out() -> None:
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}
    assert reduced(edges) == {("a", "b"), ("b", "c"), ("c", "d")}


@pytest.mark.verifies("SRS-194", level="unit", technique="bad-input")
def test_rooms_that_import_each_other_are_drawn_all_the_same() -> None:
    svg = str(draw({"a": "A <1>", "b": "", "c": ""}, {("a", "b"), ("b", "a"), ("b", "c"), ("a", "c")}))
    assert svg.count("<rect") == 3
    assert svg.count("<path") == 2
    assert "A &lt;1&gt;" in svg


@pytest.mark.verifies("SRS-194", level="integration", technique="oracle")
def test_the_architecture_is_that_of_the_imports() -> None:
    """import-linter reads the same imports with a reader of its own."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("node", "models", "qms", "validation", cache_dir=None)
    found = modules(ROOT)
    for name, module in found.items():
        assert module.imports == graph.find_modules_directly_imported_by(name), name
    assert ("node.cli", "qms") in rooms(found).edges


@pytest.mark.verifies("SRS-194", level="unit", technique="example")
def test_a_function_is_shown_as_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node/__init__.py").write_text('"""The node."""\n')
    (tmp_path / "node/thing.py").write_text(
        '"""Adds.\n\nMore."""\nimport json\nimport numpy.linalg\nfrom . import other\n\n'
        'class Thing:\n    def add(self, a: int, *, b: int = 1) -> int:\n        """Add.\n\n        Long."""\n'
        "    def _hidden(self): ...\n\ndef _private(): ...\n"
    )
    (tmp_path / "node/other.py").write_text("")
    module = modules(tmp_path)["node.thing"]
    assert [(o.name, o.signature, o.purpose) for o in module.operations] == [
        ("Thing.add", "(self, a: int, *, b: int=1) -> int", "Add.")
    ]
    assert module.imports == {"node.other"}
    assert module.libraries == {"numpy"}
    assert module.purpose == "Adds."


@pytest.mark.verifies("SRS-194", level="unit", technique="bad-input")
def test_a_folder_without_git_has_no_changes(tmp_path: Path) -> None:
    assert changes(tmp_path) == ()


@pytest.mark.verifies("SRS-194", level="integration", technique="example")
def test_changes_are_those_of_git_without_who(project: Sample, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        names = ["-c", "user.name=SAMPLE nobody", "-c", "user.email=nobody@example.org"]
        subprocess.run(["git", "-C", str(project.root), *names, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "First")
    git("commit", "-q", "--allow-empty", "-m", "Second | with <marks>, of SRS-001")

    found = changes(project.root)
    page = of_sample(project, tmp_path / "out")["changes.html"]

    assert [change.subject for change in found] == ["Second | with <marks>, of SRS-001", "First"]
    assert all(len(change.commit) == 40 and change.commit in page.ids for change in found)
    assert "with <marks>, of SRS-001" in page.text
    assert "example.org" not in page.text
    assert "SAMPLE nobody" not in page.text


@pytest.mark.verifies("SRS-194", level="integration", technique="example")
def test_the_record_for_strictdoc(project: Sample, tmp_path: Path) -> None:
    write(read(project.root, today=sample.DAY), tmp_path)
    text = (tmp_path / "strictdoc/requirements.sdoc").read_text()
    assert text.startswith("[DOCUMENT]\nTITLE: Software requirements\nUID: OVERREAD-REQUIREMENTS\n")
    assert "[REQUIREMENT]\nUID: SRS-001\nSTATUS: active\nTITLE: Adds two\nSTATEMENT: >>>\nIt shall add two" in text
    assert text.endswith("RELATIONS:\n- TYPE: Parent\n  VALUE: URS-001\n")
    risks = (tmp_path / "strictdoc/risks.sdoc").read_text()
    assert "  VALUE: HAZ-001\n- TYPE: Parent\n  VALUE: SRS-001\n" in risks


@pytest.mark.verifies("SRS-194", level="integration", technique="bad-input")
def test_a_relation_to_nothing_is_not_handed_on(project: Sample) -> None:
    project.change("requirements.yaml", lambda rows: rows[0].update(user_requirements=["URS-099", "URS-001"]))
    text = export(read(project.root, today=sample.DAY).records)["requirements.sdoc"]
    assert "VALUE: URS-001" in text
    assert "URS-099" not in text


@pytest.mark.verifies("SRS-194", level="integration", technique="real-data")
def test_relations_for_strictdoc_lead_to_elements(own: tuple[Project, Path, dict[str, Page]]) -> None:
    project, out, _ = own
    texts = [path.read_text(encoding="utf-8") for path in sorted((out / "strictdoc").glob("*.sdoc"))]
    uids = re.findall(r"^UID: ([A-Z]+-[0-9]+)$", "\n".join(texts), flags=re.MULTILINE)
    parents = re.findall(r"^  VALUE: (.*)$", "\n".join(texts), flags=re.MULTILINE)
    assert len(uids) == len(set(uids)) > 200
    assert set(parents) <= set(uids)
    assert {item for item in project.records.items if item.startswith(("SRS", "URS", "RSK", "HAZ", "INT"))} == set(uids)


@pytest.mark.verifies("SRS-194", level="unit", technique="bad-input")
def test_without_a_browser_printing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "index.html").write_text("<p>page</p>")
    assert pdf.main([str(tmp_path)]) == 1
    assert "apt-get install chromium" in capsys.readouterr().err


@pytest.mark.verifies("SRS-194", level="unit", technique="bad-input")
def test_a_browser_that_prints_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "chromium"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "index.html").write_text("<p>page</p>")
    with pytest.raises(pdf.PrintError, match=r"index\.html"):
        pdf.print_page(tmp_path / "index.html", tmp_path / "index.pdf")
