"""Write the documents of a project as a folder of HTML files that need nothing else: no network, no server, no build.

Everything comes from the record, the code and the evidence as they are now; nothing is typed here. Every page says what
it rests on, and DEMO if any of that is signed with a key that is nobody's.
"""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from qms.documents import code, drawing, history, strictdoc
from qms.documents.names import Entry, Names
from qms.documents.prose import Document, Prose
from qms.documents.trace import Trace, title_of
from qms.gate import Project
from qms.items import (
    Category,
    Clause,
    Golden,
    Hazard,
    IntendedUse,
    Item,
    Problem,
    ProblemState,
    Requirement,
    Risk,
    Soup,
    UserRequirement,
    Verdict,
)
from qms.locks import LockError
from qms.proofs import Outcome

_KINDS: Mapping[type[Item], tuple[str, str]] = {
    IntendedUse: ("intended use", "intended-use.html"),
    UserRequirement: ("user requirement", "intended-use.html"),
    Requirement: ("software requirement", "requirements.html"),
    Hazard: ("hazard", "risks.html"),
    Risk: ("risk", "risks.html"),
    Soup: ("SOUP", "soup.html"),
    Clause: ("clause", "clauses.html"),
    Problem: ("problem report", "problems.html"),
    Golden: ("reference file", "changes.html"),
}

_RECORD_PAGES = {
    "qms/records/intended_use.yaml": "intended-use.html",
    "qms/records/user_requirements.yaml": "intended-use.html",
    "qms/records/requirements": "requirements.html",
    "qms/records/hazards.yaml": "risks.html",
    "qms/records/risks.yaml": "risks.html",
    "qms/records/risk_policy.yaml": "risks.html",
    "qms/records/soup": "soup.html",
    "qms/records/soup.yaml": "soup.html",
    "qms/records/clauses.yaml": "clauses.html",
    "qms/records/problems.yaml": "problems.html",
    "qms/records/goldens.yaml": "changes.html",
    "qms/records/approval_policy.yaml": "approvals.html",
    "qms/evidence": "verification.html",
}
"""Which page shows which file or folder of the record."""

_PROSE = (
    ("Plans", "qms/narrative", "*.md"),
    ("Maps of standards", "qms/narrative/*", "*.md"),
    ("Models", "models/*", "card.md"),
    ("Product documents", "docs", "*.md"),
    ("Decisions", "docs/decisions", "*.md"),
)
"""Groups of pages that are Markdown in the project: title, folders, files."""


@dataclass(frozen=True)
class Page:
    """A page of the site: its file, its title, and what an auditor knows it as."""

    file: str
    title: str
    note: str = ""


_GROUPS: tuple[tuple[str, tuple[Page, ...]], ...] = (
    ("", (Page("index.html", "State of the record"),)),
    (
        "Needs",
        (
            Page("intended-use.html", "Intended use, user requirements", "IEC 62304 5.2.1"),
            Page("requirements.html", "Software requirements", "IEC 62304 5.2"),
        ),
    ),
    (
        "Design",
        (
            Page("architecture.html", "Architecture", "IEC 62304 5.3"),
            Page("design.html", "Detailed design", "IEC 62304 5.4"),
        ),
    ),
    ("Risk", (Page("risks.html", "Risk file", "ISO 14971; IEC 62304 7"),)),
    (
        "Verification",
        (
            Page("trace.html", "Trace matrix", "IEC 62304 5.1.1 c, 7.3.3"),
            Page("verification.html", "Verification report", "IEC 62304 5.5 to 5.7"),
            Page("tests.html", "Tests", "IEC 62304 5.5 to 5.7"),
        ),
    ),
    (
        "Configuration",
        (
            Page("soup.html", "SOUP list", "IEC 62304 5.3.3, 7.1.3, 8.1.2"),
            Page("problems.html", "Problem reports", "IEC 62304 9"),
            Page("release.html", "Known anomalies, release state", "IEC 62304 5.8"),
            Page("changes.html", "Configuration and changes", "IEC 62304 8"),
        ),
    ),
    (
        "Approval",
        (
            Page("approvals.html", "Approvals", "21 CFR 11"),
            Page("clauses.html", "Clause map IEC 62304", "IEC 62304:2006+A1"),
        ),
    ),
)


def write(project: Project, out: Path, conformance: Mapping[str, Any] | None = None) -> list[Path]:
    """Write every document of a project.

    Parameters
    ----------
    project
        As `qms.gate.read` returns it.
    out
        Folder to write to; it is made if need be. Files of the same name are replaced, others are left.
    conformance
        The DICOM conformance statement as `node.conformance.collect` returns it: ``title`` and ``sections``, each with
        ``title``, ``text``, ``columns`` and ``rows``. None: there is no such page, but for docs/conformance.md.

    Returns
    -------
    list of Path
        What was written: the pages, and the record for StrictDoc in ``strictdoc/``.
    """
    return _Site(project, conformance).write(out)


class _Site:
    def __init__(self, project: Project, conformance: Mapping[str, Any] | None) -> None:
        self.project = project
        self.trace = Trace(project)
        self.modules = code.modules(project.root)
        self.conformance = conformance
        self.bills: dict[str, str] = {}
        self.names = Names({entry.name: entry for entry in self._entries()})
        self.files = dict(_prose_files(project.root))
        pages = {path: page for path, (page, _) in self.files.items()} | _RECORD_PAGES
        prose = Prose(project.root, self.names, pages)
        self.prose = {path: prose.read(path) for path in self.files}
        self.groups = list(self._groups())

    def write(self, out: Path) -> list[Path]:
        out.mkdir(parents=True, exist_ok=True)
        environment = self._environment()
        written = [out / name for name in self._write_bills(out)]
        shared = self._shared()
        own = {page.file: self._context(page.file) for _, group in _GROUPS for page in group}
        if self.conformance is not None:
            own["conformance.html"] = {"conformance": self.conformance}
        for file, context in own.items():
            page = self._page(file)
            html = environment.get_template(f"{file}.j2").render(shared | context, page=page)
            written.append(_save(out / file, html))
        for document in self.prose.values():
            if document.page not in own:
                html = environment.get_template("prose.html.j2").render(
                    shared, page=self._page(document.page), document=document
                )
                written.append(_save(out / document.page, html))
        for name, text in strictdoc.export(self.project.records).items():
            (out / "strictdoc").mkdir(exist_ok=True)
            written.append(_save(out / "strictdoc" / name, text))
        return written

    def _write_bills(self, out: Path) -> Iterator[str]:
        """Write the bills of materials, where what they are made of and with is there; say why not where it is not."""
        if importlib.util.find_spec("cyclonedx") is None:
            self.bills["cpu"] = "cyclonedx-python-lib is not installed"
            return
        from qms import sbom  # noqa: PLC0415  its library is needed for nothing else here

        for accel in get_args(sbom.Accelerator):
            name = f"sbom-{accel}.cdx.json"
            try:
                sbom.write(self.project.root, accel, out / name)
            except (sbom.SbomError, LockError) as error:
                self.bills[accel] = str(error)
                continue
            self.bills[accel] = name
            yield name

    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("qms.documents"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["linked"] = self.names.linked
        environment.globals |= {"link": self.names.link, "title_of": title_of}
        return environment

    def _entries(self) -> Iterator[Entry]:
        for item in self.project.records.items.values():
            kind, page = _KINDS[type(item)]
            yield Entry(item.id, title_of(item), kind, page, str(getattr(item, "text", "")))
        for name, unit in self.project.units.items():
            yield Entry(name, unit.purpose, "unit", "design.html")
        for test in self.project.tests:
            yield Entry(test.id, _as_sentence(test.name), "test", "tests.html")
        for name, number in self.project.numbers.items():
            yield Entry(name, f"{number.value:g} {number.unit}", "measured number", "verification.html")

    def _groups(self) -> Iterator[tuple[str, tuple[Page, ...]]]:
        statement = Page("conformance.html", "DICOM conformance", "DICOM PS3.2")
        stated = self.conformance is not None or any(page == statement.file for page, _ in self.files.values())
        for title, pages in _GROUPS:
            yield title, (*pages, statement) if title == "Design" and stated else pages
        for title, _, _ in _PROSE:
            pages = tuple(
                Page(document.page, document.title, path)
                for path, document in self.prose.items()
                if self.files[path][1] == title and document.page != statement.file
            )
            if pages:
                yield title, pages

    def _page(self, file: str) -> Page:
        return next(page for _, pages in self.groups for page in pages if page.file == file)

    def _shared(self) -> dict[str, Any]:
        """Return what every page says: where it is, what it rests on, and whether that is a demonstration."""
        findings = self.trace.findings
        return {
            "project": self.project,
            "trace": self.trace,
            "groups": self.groups,
            "demo": self.trace.demo,
            "product": _product(self.project.root),
            "codes": sorted(
                Counter(finding.code for finding in findings).items(), key=lambda pair: (-pair[1], pair[0])
            ),
        }

    def _context(self, file: str) -> dict[str, Any]:
        made = getattr(self, f"_of_{file.removesuffix('.html').replace('-', '_')}", None)
        return dict(made()) if made else {}

    def _of_index(self) -> dict[str, Any]:
        search = [[e.name, e.title, e.kind, e.href, e.text] for e in self.names.entries.values()]
        return {
            "search": search,
            "states": Counter(shown.state for shown in self.trace.requirements),
            "approvals": Counter(each.state for each in self.trace.approvals),
            "forms": self._forms(),
        }

    def _of_requirements(self) -> dict[str, Any]:
        return {"categories": [c.value for c in Category], "areas": self._areas()}

    def _of_trace(self) -> dict[str, Any]:
        return {"areas": self._areas()}

    def _of_architecture(self) -> dict[str, Any]:
        rooms = code.rooms(self.modules)
        soups = {_import_name(soup.name): soup.id for soup in self.project.records.of(Soup)}
        return {
            "rooms": rooms,
            "drawing": drawing.draw(rooms.purposes, rooms.edges.keys()),
            "modules": Counter(code.room_of(name) for name in self.project.units),
            "soup_of": lambda library: soups.get(_import_name(library), ""),
        }

    def _of_design(self) -> dict[str, Any]:
        users: dict[str, list[str]] = {}
        for module in self.modules.values():
            for other in module.imports:
                users.setdefault(other, []).append(module.name)
        return {
            "modules": self.modules,
            "users": users,
            "rooms": sorted({code.room_of(shown.unit.name) for shown in self.trace.units}),
            "room_of": code.room_of,
        }

    def _of_risks(self) -> dict[str, Any]:
        proofs = self.trace.proof_of.items()
        return {
            "topics": sorted({topic.value for risk in self.trace.risks for topic in risk.topics}),
            "proven": {item for item, each in proofs if each.outcome is Outcome.PROVED},
        }

    def _of_tests(self) -> dict[str, Any]:
        return {"techniques": sorted({mark.technique for test in self.project.tests for mark in test.marks})}

    def _of_soup(self) -> dict[str, Any]:
        soups = tuple(self.project.records.of(Soup))
        return {"soups": soups, "scopes": list(dict.fromkeys(s.scope.value for s in soups)), "bills": self.bills}

    def _of_problems(self) -> dict[str, Any]:
        return {"problems": tuple(self.project.records.of(Problem))}

    def _of_release(self) -> dict[str, Any]:
        verdicts = [soup.anomalies.verdict if soup.anomalies else None for soup in self.project.records.of(Soup)]
        return {
            "states": Counter(shown.state for shown in self.trace.requirements),
            "anomalies": [p for p in self.project.records.of(Problem) if p.state is not ProblemState.RESOLVED],
            "not_evaluated": sum(verdict in {None, Verdict.NOT_EVALUATED} for verdict in verdicts),
            "missing": sum(each.state != "signed" for each in self.trace.approvals),
        }

    def _of_changes(self) -> dict[str, Any]:
        return {
            "changes": history.changes(self.project.root),
            "goldens": tuple(self.project.records.of(Golden)),
            "soups": sum(1 for _ in self.project.records.of(Soup)),
        }

    def _of_approvals(self) -> dict[str, Any]:
        return {"policy": self.project.records.approval_policy}

    def _of_clauses(self) -> dict[str, Any]:
        return {"artefact": self._artefact, "clauses": tuple(self.project.records.of(Clause))}

    def _areas(self) -> list[str]:
        return list(dict.fromkeys(shown.area for shown in self.trace.requirements))

    def _forms(self) -> list[tuple[Document, str, str]]:
        return [(document, who, what) for document in self.prose.values() for who, what in document.forms]

    def _artefact(self, artefact: str) -> Markup:
        """Return a link to what answers a clause: a page, a heading in it, or the name of a file."""
        path, _, word = artefact.partition("#")
        document = self.prose.get(path)
        if document is not None:
            anchor = document.anchor(word) if word else ""
            href = document.page + (f"#{anchor}" if anchor else "")
            return Markup('<a href="{}">{}</a>').format(href, f"{document.title} {word}".strip())
        folder = path.rstrip("/")
        while folder and folder not in _RECORD_PAGES:
            folder = folder.rpartition("/")[0]
        if folder:
            return Markup('<a href="{}">{}</a>').format(_RECORD_PAGES[folder], path)
        name = path.removesuffix(".py").replace("/", ".")
        return self.names.link(name, path) if name in self.names.entries else Markup("<code>{}</code>").format(path)


def _prose_files(root: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield path, page and group of each Markdown file that becomes a page."""
    for title, folders, files in _PROSE:
        for path in sorted(root.glob(f"{folders}/{files}")):
            shown = path.relative_to(root).as_posix()
            words = [part for part in path.relative_to(root).with_suffix("").parts if part not in {"qms", "narrative"}]
            page = "conformance.html" if shown == "docs/conformance.md" else f"{'-'.join(words)}.html"
            yield shown, (page if page not in _own_files() or shown == "docs/conformance.md" else f"text-{page}", title)


def _own_files() -> set[str]:
    return {page.file for _, pages in _GROUPS for page in pages}


def _product(root: Path) -> dict[str, str]:
    """Return name and version of the product, as pyproject.toml has them."""
    path = root / "pyproject.toml"
    found = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}) if path.is_file() else {}
    return {"name": str(found.get("name", "sample")).capitalize(), "version": str(found.get("version", ""))}


def _import_name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "_", distribution).lower()


def _as_sentence(test: str) -> str:
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def _save(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
