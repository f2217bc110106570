"""The pages in a real browser, with 500 requirements: search, filters, links into what is folded, printing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qms.documents import pdf, write
from qms.gate import read, sample
from tests.qms import many

pytestmark = [pytest.mark.system, pytest.mark.verifies("SRS-194", level="system", technique="example")]

COUNT = 500
TESTED = {n for n in range(1, COUNT + 1) if n % 7}
PLANNED = {n for n in range(1, COUNT + 1) if n % 10 == 0}
BEGINS_WITH_41 = TESTED & {41, *range(410, 420)}  # tests; each verifies its own number and the next
LONGEST_FILTER_MS = 250  # what a reader does not take for a standstill, on a loaded machine without a GPU


class Rows(HTMLParser):
    """The rows of the list in a page: which are shown; and whatever has a text that these tests ask for."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.shown = 0
        self.hidden = 0
        self.open_details = 0
        self.results: list[str] = []
        self._in_results = False
        self.feed(dom)
        self.count = re.findall(r'<output for="\w+" data-ms="(\d+)">(\d+) of (\d+)</output>', dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if "data-row" in values:
            self.hidden += "hidden" in values
            self.shown += "hidden" not in values
        self.open_details += tag == "details" and "open" in values
        self._in_results = self._in_results or values.get("id") == "results"
        if self._in_results and tag == "a":
            self.results.append(str(values["href"]))

    def handle_endtag(self, tag: str) -> None:
        self._in_results = self._in_results and tag != "ul"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not any(map(shutil.which, pdf.BROWSERS)):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Chromium is not installed: apt-get install chromium")
    made = many.build(tmp_path_factory.mktemp("many") / "project", COUNT)
    out = tmp_path_factory.mktemp("site")
    write(read(made.root, today=sample.DAY), out)
    return out


def opened(page: Path, address: str, tmp_path: Path) -> Rows:
    """Open a page in the browser, let its script run, and return what it became."""
    command = [pdf.browser(), *pdf.arguments(tmp_path / "profile"), "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri() + address], capture_output=True, check=True, timeout=120, text=True)
    return Rows(done.stdout)


def test_the_matrix_shows_everything_at_first(site: Path, tmp_path: Path) -> None:
    rows = opened(site / "trace.html", "", tmp_path)
    assert (rows.shown, rows.hidden) == (COUNT, 0)
    assert [pair[1:] for pair in rows.count] == [(str(COUNT), str(COUNT))]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("?state=planned", PLANNED),
        ("?state=unverified", set(range(7, COUNT + 1, 7)) - PLANNED),
        ("?state=verified&area=gather", {n for n in TESTED - PLANNED if n % 5 == 1}),
        ("?text=srs-123", {123}),
        ("?text=CASE%20499", {499}),
        ("?unit=node.thing", set(range(1, COUNT + 1))),
        ("?test=test_case_41", {n for n in TESTED - PLANNED if {n, n - 1} & BEGINS_WITH_41}),
        ("?risk=no-such-risk", set()),
    ],
)
def test_filters_show_what_fits(site: Path, tmp_path: Path, address: str, expected: set[int]) -> None:
    rows = opened(site / "trace.html", address, tmp_path)
    assert rows.shown == len(expected)
    assert rows.hidden == COUNT - len(expected)
    assert [(int(shown), int(total)) for _, shown, total in rows.count] == [(len(expected), COUNT)]
    assert all(int(milliseconds) < LONGEST_FILTER_MS for milliseconds, _, _ in rows.count)


@pytest.mark.parametrize("page", ["requirements.html", "design.html", "verification.html", "tests.html"])
def test_every_list_can_be_searched(site: Path, tmp_path: Path, page: str) -> None:
    everything = opened(site / page, "", tmp_path)
    nothing = opened(site / page, "?text=no+such+words", tmp_path)
    assert everything.shown > 0
    assert everything.hidden == 0
    assert (nothing.shown, nothing.hidden) == (0, everything.shown)


def test_the_search_finds_items_tests_and_units(site: Path, tmp_path: Path) -> None:
    exact = opened(site / "index.html", "?q=srs-123", tmp_path)
    assert exact.results[0] == "requirements.html#SRS-123"
    assert opened(site / "index.html", "?q=node.thing", tmp_path).results[0] == "design.html#node.thing"
    case = opened(site / "index.html", "?q=case+499", tmp_path).results
    assert {"requirements.html#SRS-499", "tests.html#tests/test_thing.py::test_case_499"} <= set(case)
    assert opened(site / "index.html", "?q=no+such+words", tmp_path).results == []


def test_a_link_into_what_is_filtered_out_shows_it(site: Path, tmp_path: Path) -> None:
    assert opened(site / "requirements.html", "?state=planned#SRS-120", tmp_path).shown == len(PLANNED)
    assert opened(site / "requirements.html", "?state=planned#SRS-123", tmp_path).shown == COUNT


def test_printing_unfolds_everything(site: Path, tmp_path: Path) -> None:
    assert opened(site / "risks.html", "", tmp_path).open_details == 0
    assert opened(site / "risks.html", "?print", tmp_path).open_details > 0


def test_a_page_becomes_a_pdf(site: Path, tmp_path: Path) -> None:
    pdf.print_page(site / "risks.html", tmp_path / "risks.pdf")
    content = (tmp_path / "risks.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(content) > 10_000
